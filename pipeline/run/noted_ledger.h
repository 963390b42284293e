// NotedLedger: the ledger, whose stored files the table board knows, too: by them the sweep tells
// of which copy of a table its ranges are.
#pragma once

#include <string>
#include <vector>

#include "pipeline/apply/table_board.h"
#include "pipeline/ports/ledger.h"
#include "pipeline/watch/shape_watch.h"

namespace lockstep {

// Of what the bookkeeping says of a table; marks of what is still to be done with it do not count.
inline Hash128 stored_as(const KnownFiles& known) {
  return hash128(files_text(known.files, known.horizon.value_or(0), known.definition), 0);
}

// Supervisor thread only.  Borrows both.
//
// Invariant: the board learns of files once they are stored, and so after whatever is said there of
// the copy that they came with.
class NotedLedger final : public Ledger {
 public:
  // `known`: by TableId, as the bookkeeping has them now.
  NotedLedger(Ledger& ledger, TableBoard& board, const std::vector<KnownFiles>& known)
      : ledger_(ledger), board_(board) {
    for (TableId id = 0; id < known.size(); ++id) board_.stored(id, stored_as(known[id]));
  }

  Status save_files(TableId table, const std::string& files) override {
    LOCKSTEP_TRY(ledger_.save_files(table, files));
    const auto known = parse_files(files);
    CHECK(known);
    board_.stored(table, stored_as(*known));
    return {};
  }

  Result<std::vector<DebtCount>> count_debts() override { return ledger_.count_debts(); }
  Status still_has(const std::function<std::vector<ProgressRow>()>& committed) override {
    return ledger_.still_has(committed);
  }
  Status save_stop(TableId table, const std::string& reason) override {
    return ledger_.save_stop(table, reason);
  }
  Status forget_chunks(TableId table) override { return ledger_.forget_chunks(table); }
  Result<std::vector<TableId>> replaced_targets() override { return ledger_.replaced_targets(); }
  Result<std::vector<TargetChange>> target_changes() override { return ledger_.target_changes(); }
  Result<std::vector<std::string>> lock_holders() override { return ledger_.lock_holders(); }

 private:
  Ledger& ledger_;
  TableBoard& board_;
};

}  // namespace lockstep
