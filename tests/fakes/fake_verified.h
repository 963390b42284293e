// FakeVerified: what a sweep keeps, in memory; it outlives a process.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/ports/verified.h"

namespace lockstep {

class FakeVerified final : public VerifiedStore {
 public:
  Result<std::vector<VerifiedRange>> load_ranges(std::string_view table) override {
    std::vector<VerifiedRange> all;
    for (const auto& [lower, range] : ranges_[std::string(table)]) all.push_back(range);
    return all;
  }
  Status save_ranges(std::string_view table, std::span<const VerifiedRange> put,
                     std::span<const std::optional<std::string>> gone) override {
    Ranges& ranges = ranges_[std::string(table)];
    for (const auto& lower : gone) ranges.erase(lower);
    for (const VerifiedRange& range : put) ranges[range.range.lower] = range;
    return {};
  }
  Status forget_ranges(std::string_view table) override {
    ranges_.erase(std::string(table));
    return {};
  }
  Result<std::string> load_heal(std::string_view table) override {
    return heals_[std::string(table)];
  }
  Status save_heal(std::string_view table, std::string_view missed) override {
    heals_[std::string(table)] = missed;
    return {};
  }
  Result<std::string> load_shape(std::string_view table) override {
    return shapes_[std::string(table)];
  }
  Status begin_shape(std::string_view table, std::string_view shape) override {
    ranges_.erase(std::string(table));
    std::erase_if(findings_, [&](const auto& finding) { return finding.first.first == table; });
    shapes_[std::string(table)] = shape;
    return {};
  }
  Result<std::string> load_copy(std::string_view table) override {
    return copies_[std::string(table)];
  }
  Status save_copy(std::string_view table, std::string_view copy) override {
    copies_[std::string(table)] = copy;
    return {};
  }
  Result<Lsn> load_target_end() override { return target_end_; }
  Status save_target_end(Lsn end) override {
    target_end_ = end;
    return {};
  }
  Status forget_compared() override {
    ranges_.clear();
    heals_.clear();
    copies_.clear();
    target_end_ = 0;
    std::erase_if(findings_, [](const auto& finding) { return !is_open(finding.second.state); });
    return {};
  }
  Status prune(std::int64_t before_us, std::size_t) override {
    std::erase_if(findings_, [&](const auto& finding) {
      return !is_open(finding.second.state) && finding.second.last_seen_us < before_us;
    });
    return {};
  }
  Result<std::optional<Finding>> find(std::string_view table, const Hash128& key_hash) override {
    const auto known = findings_.find({std::string(table), key_hash});
    return known == findings_.end() ? std::optional<Finding>() : known->second;
  }
  Result<std::optional<Finding>> find(std::uint64_t id) override {
    for (const auto& [key, finding] : findings_)
      if (finding.id == id) return std::optional(finding);
    return std::optional<Finding>();
  }
  Result<std::uint64_t> save_finding(const Finding& finding) override {
    Finding saved = finding;
    if (saved.id == 0) saved.id = ++last_id_;
    findings_[{saved.table, saved.key_hash}] = saved;
    return saved.id;
  }
  Result<std::uint64_t> count_open(std::string_view table) override {
    return open_findings(table, findings_.size())->size();
  }
  Result<std::vector<Finding>> open_findings(std::string_view table, std::size_t limit) override {
    std::vector<Finding> open;
    for (const auto& [key, finding] : findings_)
      if (key.first == table && is_open(finding.state) && open.size() < limit)
        open.push_back(finding);
    return open;
  }

  void wipe() { *this = {}; }

 private:
  using Ranges = std::map<std::optional<std::string>, VerifiedRange>;
  std::map<std::string, Ranges> ranges_;  // By lower bound.
  std::map<std::pair<std::string, Hash128>, Finding> findings_;
  std::map<std::string, std::string> shapes_;
  std::map<std::string, std::string> heals_;
  std::map<std::string, std::string> copies_;
  Lsn target_end_ = 0;
  std::uint64_t last_id_ = 0;
};

}  // namespace lockstep
