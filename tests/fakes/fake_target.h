// FakeTarget: one fenced connection to the TargetStore, of a lane or a scanner.
#pragma once

#include <memory>
#include <vector>

#include "pipeline/ports/digests.h"
#include "pipeline/ports/ledger.h"
#include "tests/fakes/chaos.h"
#include "tests/fakes/target_store.h"

namespace lockstep {

// What killed processes have sent and the server has not carried out yet.
using Zombies = std::vector<std::unique_ptr<SentTransaction>>;

class FakeTarget final : public Target {
 public:
  struct Connection {
    std::uint64_t epoch = 0;
    std::uint64_t number = 0;  // Distinct in one store.
  };
  FakeTarget(TargetStore& store, Zombies& zombies, Chaos& chaos, Connection connection)
      : store_(store), zombies_(zombies), chaos_(chaos), connection_(connection) {}
  ~FakeTarget() override { store_.abort_copy(connection_.number); }

  Result<ApplyOutcome> apply(const LaneTransaction& transaction) override;
  Status copy(const TableMap& table, const RowBatch& rows,
              std::span<const std::uint32_t> chosen) override;
  Status copy_commit(const std::optional<ChunkMark>& done) override;
  Status copy_abort() override;
  Status mark_done(const ChunkMark& mark) override;
  Status truncate(const Truncation& truncation) override;
  Result<std::vector<Debt>> open_debts(TableId table, std::size_t limit) override;

  // The table's next transaction finds it unusable (a grant was revoked).
  void break_table(TableId table) { broken_ = table; }

 private:
  // Runs `work` as one call whose end chance decides.
  template <typename Work>
  Status call(std::string_view where, Work work);

  TargetStore& store_;
  Zombies& zombies_;
  Chaos& chaos_;
  const Connection connection_;
  std::optional<TableId> broken_;
};

// A connection that reads the target's rows under a snapshot, for a sweep.
class FakeTargetReader final : public DigestReader, public OwedKeys {
 public:
  // `other_order`: of its keys, than the source's.
  FakeTargetReader(const TargetStore& store, const std::vector<TableMap>& tables, Chaos& chaos,
                   bool other_order)
      : store_(store), tables_(tables), chaos_(chaos), other_order_(other_order) {}

  Result<std::optional<std::string>> bound_after(const TableMap&, const KeyRange&,
                                                 std::uint64_t) override;
  Result<OpenSnapshot> begin() override;
  Result<bool> flushed(Lsn) override { return true; }
  Status start_range(const TableMap& table, const KeyRange& range) override;
  Status start_keys(const TableMap& table, std::span<const std::string> keys) override;
  Result<bool> read(RowBatch& out, std::size_t max_bytes) override;
  Status check_shape(const TableMap&) override { return {}; }
  void end() override;
  Result<std::string> digest_probe() override { return probe_; }
  // As a server of another version may.
  void digest_otherwise() { probe_ = "otherwise"; }
  Status start_bounds(const TableMap& table, const KeyRange& range, std::uint64_t every,
                      std::size_t most) override;
  Result<std::optional<std::vector<std::string>>> read_bounds(
      std::chrono::milliseconds wait) override;
  Status start_digest(const TableMap& table, const KeyRange& range,
                      const DigestForm& form) override;
  Result<std::optional<std::vector<PartDigest>>> read_digest(
      std::chrono::milliseconds wait) override;
  Status start_parts(const TableMap& table, const KeyRange& range, const DigestForm& form,
                     std::span<const std::size_t> parts) override;
  Result<KeyDebts> owed(const TableMap& table, std::span<const Hash128> keys) override;
  Result<TargetWriter> writer(const TableMap&, const std::string&) override {
    return TargetWriter();
  }

 private:
  Status alive(std::string_view where);
  Result<std::vector<std::string>> bounds_after(const TableMap& table, const KeyRange& range,
                                                std::uint64_t every, std::size_t most);
  void take_rows(const TableMap& table, const KeyRange& range);
  // Where the key stands in the target's order.
  int place_of(int id) const;
  bool is_within(const TableMap& table, int id, const KeyRange& range) const;

  const TargetStore& store_;
  const std::vector<TableMap>& tables_;
  Chaos& chaos_;
  const bool other_order_;
  std::vector<TargetStore::Rows> snapshot_;  // By TableId.
  std::vector<Debt> debts_;
  std::vector<Debt> accepted_;
  std::vector<std::string> rows_;
  std::size_t next_ = 0;
  std::vector<PartDigest> digest_;
  std::optional<std::vector<std::string>> bounds_;  // Asked for, and not read yet.
  std::string probe_ = "alike";
};

// The bookkeeping of whole tables, over a connection of its own.
class FakeLedger final : public Ledger {
 public:
  FakeLedger(TargetStore& store, Chaos& chaos) : store_(store), chaos_(chaos) {}
  Result<std::vector<DebtCount>> count_debts() override;
  Status still_has(const std::function<std::vector<ProgressRow>()>& committed) override;
  Status save_files(TableId table, const std::string& files) override;
  Status save_stop(TableId, const std::string&) override { return {}; }
  Status forget_chunks(TableId table) override;
  Result<std::vector<TableId>> replaced_targets() override { return std::vector<TableId>(); }
  Result<std::vector<TargetChange>> target_changes() override {
    return std::vector<TargetChange>();
  }
  Result<std::vector<std::string>> lock_holders() override { return std::vector<std::string>(); }

 private:
  Status call(std::string_view where, const std::function<void()>& work);

  TargetStore& store_;
  Chaos& chaos_;
};

}  // namespace lockstep
