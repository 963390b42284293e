#include "config/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace lockstep {
namespace {

class Selector {
 public:
  explicit Selector(const Manifest& manifest) : manifest_(manifest) {}

  void select(std::span<const ListedTable> listed) {
    for (const ListedTable& table : listed) {
      const ManifestRule* const rule = winner(table);
      if (rule == nullptr || rule->skip) continue;
      TableName target = table.name;
      if (rule->target) {
        const NamePattern& pattern = rule->target->value;
        target = {pattern.schema.text, pattern.table.glob ? table.name.table : pattern.table.text};
      }
      selection_.tables.push_back({table.name, std::move(target), rule});
    }
    report_unmatched(listed);
    report_shared_targets();
    report_shared_names();
    report_leaves(listed);
    put_in_order();
  }

  Selection take() && { return std::move(selection_); }

 private:
  void error(Where where, std::string text, std::string hint) {
    selection_.problems.push_back(
        manifest_.problem(where, Severity::Error, std::move(text), std::move(hint)));
  }

  const ManifestRule* winner(const ListedTable& table) {
    const ManifestRule* found = nullptr;
    for (const ManifestRule& rule : manifest_.rules) {
      const NamePattern& pattern = rule.source.value;
      if (!pattern.matches(table.name) || (pattern.is_glob() && table.root)) continue;
      matched_.insert(&rule);
      const bool is_exact = found != nullptr && !found->source.value.is_glob();
      if (!is_exact || !pattern.is_glob()) found = &rule;
    }
    return found;
  }

  void report_unmatched(std::span<const ListedTable> listed) {
    std::vector<std::string> names;
    for (const ListedTable& table : listed) names.push_back(table.name.text());
    for (const ManifestRule& rule : manifest_.rules) {
      if (matched_.contains(&rule)) continue;
      const NamePattern& pattern = rule.source.value;
      const std::string text = pattern.schema.text + "." + pattern.table.text;
      const std::string close = nearest(text, names);
      error(rule.source.where, fmt::format("{} matches no table of the source", text),
            close.empty() ? "names are case-sensitive; the reader must be allowed to see the table"
                          : fmt::format("did you mean {}?", close));
    }
    for (const At<NamePattern>& first : manifest_.backfill.order) {
      const bool names_one = std::any_of(
          selection_.tables.begin(), selection_.tables.end(),
          [&](const SelectedTable& table) { return first.value.matches(table.source); });
      if (!names_one) {
        error(first.where, "backfill.order names no table that is copied", "");
      }
    }
  }

  void report_shared_targets() {
    std::map<TableName, TableName> owners;
    for (const SelectedTable& table : selection_.tables) {
      const auto [owner, is_new] = owners.emplace(table.target, table.source);
      if (is_new) continue;
      const Where where = table.rule->target ? table.rule->target->where : table.rule->source.where;
      error(where,
            fmt::format("{} and {} both go to {}", owner->second.text(), table.source.text(),
                        table.target.text()),
            "give one of them another target");
    }
  }

  // What lockstep remembers of a table it finds by the name that it prints.
  void report_shared_names() {
    std::map<std::string, TableName> owners;
    for (const SelectedTable& table : selection_.tables) {
      const auto [owner, is_new] = owners.emplace(table.source.text(), table.source);
      if (is_new) continue;
      error(table.rule->source.where,
            fmt::format("{} and {} are both printed {}, by which lockstep would take one for the "
                        "other",
                        quoted(owner->second), quoted(table.source), table.source.text()),
            "leave one of them out (`skip: true`) and move it by a migration of its own; or rename "
            "it");
    }
  }

  void report_leaves(std::span<const ListedTable> listed) {
    std::set<TableName> selected;
    for (const SelectedTable& table : selection_.tables) selected.insert(table.source);
    for (const ListedTable& table : listed) {
      if (!table.root || !selected.contains(table.name) || !selected.contains(*table.root))
        continue;
      const auto one = std::find_if(selection_.tables.begin(), selection_.tables.end(),
                                    [&](const auto& t) { return t.source == table.name; });
      error(one->rule->source.where,
            fmt::format("{} is copied through {} already", table.name.text(), table.root->text()),
            "leave out this rule, or skip the root");
    }
  }

  void put_in_order() {
    const auto& order = manifest_.backfill.order;
    const auto rank = [&](const SelectedTable& table) {
      return std::find_if(order.begin(), order.end(),
                          [&](const auto& first) { return first.value.matches(table.source); }) -
             order.begin();
    };
    std::stable_sort(selection_.tables.begin(), selection_.tables.end(),
                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  }

  const Manifest& manifest_;
  Selection selection_;
  std::set<const ManifestRule*> matched_;
};

}  // namespace

Selection select_tables(const Manifest& manifest, std::span<const ListedTable> listed) {
  Selector selector(manifest);
  selector.select(listed);
  return std::move(selector).take();
}

}  // namespace lockstep
