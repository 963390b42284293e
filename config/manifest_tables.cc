#include "config/manifest_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

// Reads one entry of `tables`.
class RuleReader {
 public:
  RuleReader(const YamlNode& node, std::string path, Report& report)
      : path_(path), report_(report), fields_(node, std::move(path), report) {
    rule_.where = node.where;
  }

  std::optional<ManifestRule> read() && {
    std::optional<At<NamePattern>> source;
    if (const YamlNode* const node = fields_.require("source", "source: schema.table")) {
      source = read_pattern(*node, path_ + ".source", report_);
    }
    if (const YamlNode* const node = fields_.find("target")) read_target(*node, source);
    rule_.skip = fields_.flag("skip", false).value;
    const auto lanes = fields_.choice("lanes", {"auto", "one", "all"});
    rule_.table.lanes = static_cast<LaneMode>(lanes.value);
    rule_.places[{RulePart::Lanes, ""}] = lanes.where;
    const auto partitions = fields_.choice("partitions", {"heal", "stop", "keep"});
    rule_.table.partitions = static_cast<PartitionPolicy>(partitions.value);
    const YamlNode* const columns = fields_.find("columns");
    if (columns != nullptr) read_columns(*columns);
    const bool shapes = columns != nullptr || fields_.find("target") != nullptr ||
                        fields_.find("lanes") != nullptr || fields_.find("partitions") != nullptr;
    fields_.finish();
    if (rule_.skip && shapes) {
      report_.error(rule_.where, path_ + " skips the table and says how to copy it",
                    "leave out skip, or everything else");
    }
    if (!source) return std::nullopt;
    rule_.source = std::move(*source);
    return std::move(rule_);
  }

 private:
  void read_target(const YamlNode& node, const std::optional<At<NamePattern>>& source) {
    auto target = read_pattern(node, path_ + ".target", report_);
    if (!target) return;
    const NamePattern& name = target->value;
    const bool keeps_table = name.table.glob && name.table.text == "*";
    if (name.schema.glob || (name.table.glob && !keeps_table)) {
      report_.error(node.where, path_ + ".target must be one table",
                    "schema.table, or schema.* to keep the tables' names");
    } else if (source && source->value.is_glob() && !keeps_table) {
      report_.error(node.where, path_ + " gives many tables one target",
                    fmt::format("target: {}.*", name.schema.text));
    }
    rule_.target = std::move(target);
  }

  void read_columns(const YamlNode& node) {
    Fields columns(node, path_ + ".columns", report_);
    if (const YamlNode* const rename = columns.find("rename")) read_rename(*rename, columns);
    if (const YamlNode* const drop = columns.find("drop")) read_drop(*drop, columns);
    if (const YamlNode* const set = columns.find("set")) read_set(*set, columns);
    if (const YamlNode* const bounds = columns.find("array_bounds")) {
      read_words(*bounds, columns.name("array_bounds"), "reread", RulePart::ArrayBounds);
    }
    if (const YamlNode* const compare = columns.find("compare")) {
      read_words(*compare, columns.name("compare"), "value", RulePart::Compare);
    }
    columns.finish();
  }

  void read_rename(const YamlNode& node, const Fields& columns) {
    const Fields names(node, columns.name("rename"), report_);
    std::map<std::string, std::string> taken;
    for (const YamlEntry& entry : node.entries) {
      const auto to = scalar_text(entry.value, names.name(entry.key.text), report_);
      if (!to) continue;
      if (const auto [other, is_new] = taken.emplace(*to, entry.key.text); !is_new) {
        report_.error(entry.value.where, fmt::format("{} and {} are both renamed to {}",
                                                     other->second, entry.key.text, *to));
      }
      rule_.table.rename[entry.key.text] = *to;
      rule_.places[{RulePart::Rename, entry.key.text}] = entry.key.where;
    }
  }

  void read_drop(const YamlNode& node, const Fields& columns) {
    if (node.kind != YamlKind::List) {
      report_.error(node.where, columns.name("drop") + " must be a list of columns",
                    "drop: [a, b]");
      return;
    }
    for (const YamlNode& item : node.items) {
      const auto name = scalar_text(item, columns.name("drop"), report_);
      if (!name) continue;
      if (!rule_.table.drop.insert(*name).second) {
        report_.error(item.where, fmt::format("{} is dropped twice", *name));
      }
      if (rule_.table.rename.contains(*name)) {
        report_.error(item.where, fmt::format("{} is both renamed and dropped", *name),
                      "keep one of the two");
      }
      rule_.places[{RulePart::Drop, *name}] = item.where;
    }
  }

  void read_set(const YamlNode& node, const Fields& columns) {
    const Fields names(node, columns.name("set"), report_);
    for (const YamlEntry& entry : node.entries) {
      std::optional<std::string> constant;
      if (entry.value.kind != YamlKind::Null) {
        constant = scalar_text(entry.value, names.name(entry.key.text), report_);
        if (!constant) continue;
      }
      check_not_renamed_to(entry);
      rule_.table.set[entry.key.text] = std::move(constant);
      rule_.places[{RulePart::Set, entry.key.text}] = entry.key.where;
    }
  }

  void check_not_renamed_to(const YamlEntry& entry) {
    for (const auto& [from, to] : rule_.table.rename) {
      if (to != entry.key.text) continue;
      report_.error(entry.key.where,
                    fmt::format("{} is set to a constant, and {} is renamed to it", to, from),
                    "keep one of the two");
    }
  }

  // A map of columns to the one word that may stand there.
  void read_words(const YamlNode& node, const std::string& path, std::string_view word,
                  RulePart part) {
    const Fields names(node, path, report_);
    for (const YamlEntry& entry : node.entries) {
      if (entry.value.kind != YamlKind::Scalar || entry.value.text != word) {
        report_.error(entry.value.where,
                      fmt::format("{} must be {}", names.name(entry.key.text), word));
        continue;
      }
      auto& columns =
          part == RulePart::Compare ? rule_.table.compare_value : rule_.table.reread_arrays;
      columns.insert(entry.key.text);
      rule_.places[{part, entry.key.text}] = entry.key.where;
    }
  }

  const std::string path_;
  Report& report_;
  Fields fields_;
  ManifestRule rule_;
};

bool same_name(const NamePattern& a, const NamePattern& b) {
  return !a.is_glob() && !b.is_glob() && a.exact() == b.exact();
}

// Two rules for one table, or two targets that are one.
void check_pair(const ManifestRule& earlier, const ManifestRule& later, Report& report) {
  const NamePattern& source = later.source.value;
  if (same_name(source, earlier.source.value)) {
    report.error(later.source.where, fmt::format("a second rule for {}", source.exact().text()),
                 fmt::format("the first is in line {}", earlier.source.where.line));
    return;
  }
  if (!later.target.has_value() || !earlier.target.has_value()) return;
  if (later.skip || earlier.skip) return;
  const NamePattern& target = later.target->value;
  if (!same_name(target, earlier.target->value)) return;
  report.error(later.target->where,
               fmt::format("two rules give the target {}", target.exact().text()),
               fmt::format("the first is in line {}", earlier.target->where.line));
}

}  // namespace

Where ManifestRule::place_of(const MapProblem& problem) const {
  for (const auto& key :
       {std::pair{problem.part, problem.column}, std::pair{problem.part, std::string()}}) {
    if (const auto place = places.find(key); place != places.end()) return place->second;
  }
  return source.where;
}

std::optional<At<NamePattern>> read_pattern(const YamlNode& node, std::string_view what,
                                            Report& report) {
  const auto text = scalar_text(node, what, report);
  if (!text) return std::nullopt;
  auto pattern = parse_name_pattern(*text);
  if (!pattern) {
    report.error(node.where, fmt::format("{}: {}", what, pattern.error()),
                 "schema.table or a glob; quote other names as in SQL: 'public.\"Order Items\"'");
    return std::nullopt;
  }
  return At<NamePattern>{std::move(*pattern), node.where};
}

std::vector<ManifestRule> read_rules(const YamlNode& node, Report& report) {
  std::vector<ManifestRule> rules;
  if (node.kind != YamlKind::List) {
    report.error(node.where, "tables must be a list of rules", "- source: public.*");
    return rules;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    auto rule = RuleReader(node.items[i], fmt::format("tables[{}]", i), report).read();
    if (rule) rules.push_back(std::move(*rule));
  }
  const bool copies_any =
      std::any_of(rules.begin(), rules.end(), [](const ManifestRule& rule) { return !rule.skip; });
  if (!copies_any && rules.size() == node.items.size()) {
    report.error(node.where, "tables names nothing to copy", "- source: public.*");
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) check_pair(rules[j], rules[i], report);
  }
  return rules;
}

}  // namespace lockstep
