#include "config/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "pipeline/base/number.h"

namespace lockstep {
namespace {

const char* kind_text(YamlKind kind) {
  switch (kind) {
    case YamlKind::Null:
      return "empty";
    case YamlKind::Scalar:
      return "a single value";
    case YamlKind::List:
      return "a list";
    case YamlKind::Map:
      return "a map";
  }
  return "";
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t kWordMax = 64;  // Longer ones are no slips, and would cost time.
  if (word.size() > kWordMax) return {};
  std::string best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

std::optional<std::string> scalar_text(const YamlNode& node, std::string_view what,
                                       Report& report) {
  if (node.kind != YamlKind::Scalar) {
    report.error(node.where, fmt::format("{} must be text, not {}", what, kind_text(node.kind)));
    return std::nullopt;
  }
  if (node.text.find('\0') != std::string::npos) {
    report.error(node.where, fmt::format("{} holds a NUL character", what));
    return std::nullopt;
  }
  return node.text;
}

Fields::Fields(const YamlNode& node, std::string path, Report& report)
    : node_(node), path_(std::move(path)), report_(report) {
  if (node.kind != YamlKind::Map) {
    report.error(node.where,
                 fmt::format("{} must be a map of keys and values, not {}",
                             path_.empty() ? "the manifest" : path_, kind_text(node.kind)));
    return;
  }
  for (std::size_t i = 0; i < node.entries.size(); ++i) {
    const YamlNode& key = node.entries[i].key;
    if (key.kind != YamlKind::Scalar) {
      report.error(key.where, "a key must be text");
      continue;
    }
    const auto first = std::find_if(node.entries.begin(), node.entries.end(), [&](const auto& e) {
      return e.key.kind == YamlKind::Scalar && e.key.text == key.text;
    });
    if (first != node.entries.begin() + static_cast<std::ptrdiff_t>(i)) {
      report.error(key.where, fmt::format("{} stands here a second time", name(key.text)),
                   fmt::format("the first is in line {}", first->key.where.line));
    }
  }
}

std::string Fields::name(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const YamlNode* Fields::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  for (const YamlEntry& entry : node_.entries) {
    if (entry.key.kind != YamlKind::Scalar || entry.key.text != key) continue;
    return entry.value.kind == YamlKind::Null ? nullptr : &entry.value;
  }
  return nullptr;
}

const YamlNode* Fields::require(std::string_view key, std::string hint) {
  const YamlNode* const value = find(key);
  if (value == nullptr && node_.kind == YamlKind::Map) {
    report_.error(node_.where, fmt::format("{} is missing", name(key)), std::move(hint));
  }
  return value;
}

std::optional<At<std::string>> Fields::text(std::string_view key) {
  const YamlNode* const value = find(key);
  if (value == nullptr) return std::nullopt;
  auto text = scalar_text(*value, name(key), report_);
  if (!text) return std::nullopt;
  return At<std::string>{std::move(*text), value->where};
}

std::optional<At<std::string>> Fields::require_text(std::string_view key, std::string hint) {
  return require(key, std::move(hint)) == nullptr ? std::nullopt : text(key);
}

At<std::uint64_t> Fields::number(std::string_view key, const NumberLimits& limits) {
  const YamlNode* const value = find(key);
  if (value == nullptr) return {limits.otherwise, node_.where};
  std::uint64_t number = 0;
  const std::string& text = value->text;
  const bool is_number =
      value->kind == YamlKind::Scalar && !value->quoted && parse_number(text, number);
  if (!is_number || number < limits.least || number > limits.most) {
    report_.error(value->where, fmt::format("{} must be a whole number from {} to {}", name(key),
                                            limits.least, limits.most));
    return {limits.otherwise, value->where};
  }
  return {number, value->where};
}

At<std::chrono::seconds> Fields::duration(std::string_view key, std::chrono::seconds otherwise) {
  const YamlNode* const value = find(key);
  if (value == nullptr) return {otherwise, node_.where};
  constexpr std::string_view kUnits = "smhd";
  constexpr std::array<std::uint64_t, 4> kSeconds{1, 60, 3600, 86'400};
  constexpr std::uint64_t kYear = 366 * kSeconds[3];
  const std::string_view text = value->text;
  const std::size_t unit = text.empty() ? kUnits.npos : kUnits.find(text.back());
  std::uint64_t number = 0;
  if (value->kind != YamlKind::Scalar || unit == kUnits.npos ||
      !parse_number(text.substr(0, text.size() - 1), number) || number == 0 ||
      number > kYear / kSeconds[unit]) {
    report_.error(value->where,
                  fmt::format("{} must be a time such as 30s, 15m, 24h or 7d", name(key)));
    return {otherwise, value->where};
  }
  return {std::chrono::seconds(number * kSeconds[unit]), value->where};
}

At<bool> Fields::flag(std::string_view key, bool otherwise) {
  const YamlNode* const value = find(key);
  if (value == nullptr) return {otherwise, node_.where};
  const bool is_flag = value->kind == YamlKind::Scalar && !value->quoted &&
                       (value->text == "true" || value->text == "false");
  if (!is_flag) {
    report_.error(value->where, fmt::format("{} must be true or false", name(key)));
    return {otherwise, value->where};
  }
  return {value->text == "true", value->where};
}

At<std::size_t> Fields::choice(std::string_view key,
                               std::initializer_list<std::string_view> words) {
  const YamlNode* const value = find(key);
  if (value == nullptr) return {0, node_.where};
  const auto word = std::find(words.begin(), words.end(), value->text);
  if (value->kind != YamlKind::Scalar || word == words.end()) {
    report_.error(value->where,
                  fmt::format("{} must be one of {}", name(key), fmt::join(words, ", ")));
    return {0, value->where};
  }
  return {static_cast<std::size_t>(word - words.begin()), value->where};
}

void Fields::finish() {
  for (const YamlEntry& entry : node_.entries) {
    if (entry.key.kind != YamlKind::Scalar) continue;
    const std::string& key = entry.key.text;
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string close = nearest(key, known_);
    report_.error(entry.key.where, fmt::format("unknown key {}", name(key)),
                  close.empty() ? fmt::format("known keys: {}", fmt::join(known_, ", "))
                                : fmt::format("did you mean {}?", close));
  }
}

}  // namespace lockstep
