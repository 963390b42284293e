// Fields: reads the keys of one map of the manifest and reports everything that is wrong with them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/problem.h"
#include "config/yaml_tree.h"

namespace lockstep {

// A value of the manifest and its place, for the checks that come later.
template <typename T>
struct At {
  T value{};
  Where where;
};

// Collects problems of one file.
class Report {
 public:
  explicit Report(std::string file) : file_(std::move(file)) {}

  void error(Where where, std::string text, std::string hint = {}) {
    problems_.push_back({file_, where, Severity::Error, std::move(text), std::move(hint)});
  }
  void warn(Where where, std::string text, std::string hint = {}) {
    problems_.push_back({file_, where, Severity::Warning, std::move(text), std::move(hint)});
  }
  // Errors so far: whether it grew tells if a part could be read as it stands.
  std::size_t errors() const {
    return static_cast<std::size_t>(
        std::count_if(problems_.begin(), problems_.end(),
                      [](const Problem& problem) { return problem.severity == Severity::Error; }));
  }
  std::vector<Problem> take() && { return std::move(problems_); }

 private:
  std::string file_;
  std::vector<Problem> problems_;
};

struct NumberLimits {
  std::uint64_t otherwise;  // When the key is absent.
  std::uint64_t least;
  std::uint64_t most;
};

// Returns the candidate closest to `word`, or "" when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// One map.  Each key that is asked for is known; finish() reports the others.
class Fields {
 public:
  // Reports a node that is no map, and keys that are no text or stand twice.
  // Borrows both arguments.  `path` is how messages name the map: "source.debezium".
  Fields(const YamlNode& node, std::string path, Report& report);

  // Returns the value of `key`, or nothing when it is absent or null.
  const YamlNode* find(std::string_view key);
  // The same, and reports its absence with `hint`.
  const YamlNode* require(std::string_view key, std::string hint = {});

  std::optional<At<std::string>> text(std::string_view key);
  std::optional<At<std::string>> require_text(std::string_view key, std::string hint = {});
  At<std::uint64_t> number(std::string_view key, const NumberLimits& limits);
  At<bool> flag(std::string_view key, bool otherwise);
  // A number and its unit: 30s, 15m, 24h, 7d; from one second to a year.
  At<std::chrono::seconds> duration(std::string_view key, std::chrono::seconds otherwise);
  // Returns the index of the word; the first one is the default.
  At<std::size_t> choice(std::string_view key, std::initializer_list<std::string_view> words);

  // Reports every key that nobody asked for, with the nearest known one.
  void finish();

  Where where() const { return node_.where; }
  std::string name(std::string_view key) const;

 private:
  const YamlNode& node_;
  const std::string path_;
  Report& report_;
  std::vector<std::string> known_;
};

// Returns the text of a scalar, or reports that `what` must be one.
std::optional<std::string> scalar_text(const YamlNode& node, std::string_view what, Report& report);

}  // namespace lockstep
