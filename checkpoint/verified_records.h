// VerifiedRecords: VerifiedStore in the state directory's database.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/codec.h"
#include "checkpoint/database.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

// What VerifiedStore answers, beside an owner.
Result<std::vector<VerifiedRange>> load_ranges(const Database& database, std::string_view table);
Result<std::optional<Finding>> find_finding(const Database& database, std::string_view table,
                                            const Hash128& key_hash);

// One thread.  Nothing is synced: what a power cut takes away is compared again.
class VerifiedRecords final : public VerifiedStore {
 public:
  // Borrows the database.
  explicit VerifiedRecords(Database& database) : database_(database) {}

  Result<std::vector<VerifiedRange>> load_ranges(std::string_view table) override {
    return lockstep::load_ranges(database_, table);
  }
  Status save_ranges(std::string_view table, std::span<const VerifiedRange> put,
                     std::span<const std::optional<std::string>> gone) override;
  Status forget_ranges(std::string_view table) override;
  Result<std::string> load_heal(std::string_view table) override;
  Status save_heal(std::string_view table, std::string_view missed) override;
  Result<std::string> load_shape(std::string_view table) override;
  Status begin_shape(std::string_view table, std::string_view shape) override;
  Result<std::string> load_copy(std::string_view table) override;
  Status save_copy(std::string_view table, std::string_view copy) override;
  Result<Lsn> load_target_end() override;
  Status save_target_end(Lsn end) override;
  Status forget_compared() override;
  Status prune(std::int64_t before_us, std::size_t most) override;
  Result<std::optional<Finding>> find(std::string_view table, const Hash128& key_hash) override {
    return find_finding(database_, table, key_hash);
  }
  Result<std::optional<Finding>> find(std::uint64_t id) override;
  Result<std::uint64_t> save_finding(const Finding& finding) override;
  Result<std::uint64_t> count_open(std::string_view table) override;
  Result<std::vector<Finding>> open_findings(std::string_view table, std::size_t limit) override;

 private:
  Result<std::uint64_t> new_id();
  Result<std::string> load_text(const std::string& key) const;
  Status save_text(std::string key, std::string_view text);
  // Removals of findings that are not open and were last seen before `before_us`.
  Status add_closed(std::int64_t before_us, std::vector<RecordWrite>& writes) const;
  // Removals of all records of a kind of a table.
  Status add_removals(RecordKind kind, std::string_view table, std::vector<RecordWrite>& writes);

  Database& database_;
  std::uint64_t last_id_ = 0;  // 0: not looked up yet.
};

// Calls `visit` for every finding that can be read, in no order that means anything.  Others go
// when the directory is opened by its owner, who tells of them.
using VisitFinding = std::function<Status(const Finding& finding)>;
Status for_each_finding(const Database& database, const VisitFinding& visit);

}  // namespace lockstep
