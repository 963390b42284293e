#include "pipeline/tables/table_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "pipeline/model/row.h"
#include "pipeline/tables/table_cast.h"
#include "pipeline/tables/table_checks.h"
#include "pipeline/tables/table_key.h"
#include "pipeline/tables/table_stream.h"
#include "pipeline/tables/type_oids.h"

namespace lockstep {
namespace {

bool is_array(const Column& column) { return column.type.kind == TypeKind::Array; }

// One plan in the making: each step adds to `map_` or to `problems_`.
class MapPlanner {
 public:
  MapPlanner(const TableSpec& source, const TableSpec& target, const TableRule& rule,
             const StreamTraits& stream)
      : rule_(rule), stream_(stream) {
    map_.source = source;
    map_.target = target;
    map_.lanes = rule.lanes;
    map_.partitions = rule.partitions;
    owner_.resize(target.columns.size());
  }

  MapOutcome plan() && {
    check_relations();
    check_stream();
    check_rule();
    map_columns();
    add_constants();
    check_unfed_columns();
    plan_key_and_lanes(map_, stream_.kind, problems_);
    map_.direct_copy = std::all_of(map_.columns.begin(), map_.columns.end(), [](const auto& c) {
      return !c.cast && c.plane == Plane::Binary;
    });
    if (!failed())
      std::ranges::move(target_problems(map_, map_.target), std::back_inserter(problems_));
    MapOutcome outcome;
    if (!failed()) outcome.map = std::move(map_);
    outcome.problems = std::move(problems_);
    return outcome;
  }

 private:
  void error(RulePart part, const std::string& column, std::string text, std::string hint) {
    problems_.push_back({Severity::Error, part, column, std::move(text), std::move(hint)});
  }
  void warn(RulePart part, const std::string& column, std::string text, std::string hint) {
    problems_.push_back({Severity::Warning, part, column, std::move(text), std::move(hint)});
  }
  bool failed() const {
    return std::ranges::find(problems_, Severity::Error, &MapProblem::severity) != problems_.end();
  }
  std::string source_name(const std::string& column) const {
    return map_.source.name.text() + "." + column;
  }
  std::string target_name(const std::string& column) const {
    return map_.target.name.text() + "." + column;
  }

  void check_relations() {
    for (const TableSpec* side : {&map_.source, &map_.target}) {
      if (side->kind == RelationKind::Other) {
        error(RulePart::Table, "", side->name.text() + " is not a table", "name a table");
      }
    }
  }

  // Columns that the rule drops are sent, too.
  void check_stream() {
    if (stream_.kind != StreamKind::Direct) return;
    for (const Column& column : map_.source.columns) {
      if (column.generated || !fails_in_binary(column.type)) continue;
      error(RulePart::Table, column.name,
            fmt::format("{} is {}: PostgreSQL's replication fails on values of this type",
                        source_name(column.name), column.type.sql),
            "leave the table out (`skip: true`), or use stream: debezium");
    }
  }

  // Every column that the rule names must exist, and no two entries may contradict each other.
  void check_rule() {
    for (const auto& [from, to] : rule_.rename) {
      require_source(RulePart::Rename, from);
      if (rule_.drop.contains(from)) {
        error(RulePart::Drop, from, source_name(from) + " is both renamed and dropped",
              "keep one of the two");
      }
    }
    for (const std::string& name : rule_.drop) require_source(RulePart::Drop, name);
    for (const std::string& name : rule_.compare_value) require_source(RulePart::Compare, name);
    for (const std::string& name : rule_.reread_arrays) {
      const auto at = require_source(RulePart::ArrayBounds, name);
      if (at && !is_array(map_.source.columns[*at])) {
        error(RulePart::ArrayBounds, name, source_name(name) + " is not an array",
              "array_bounds is for arrays only");
      }
    }
  }

  std::optional<std::size_t> require_source(RulePart part, const std::string& name) {
    const auto at = map_.source.find(name);
    if (!at) {
      error(part, name, source_name(name) + " does not exist on the source",
            "the source's columns are " + column_list(map_.source));
    }
    return at;
  }

  static std::string column_list(const TableSpec& spec) {
    std::string names;
    for (const Column& column : spec.columns) names += (names.empty() ? "" : ", ") + column.name;
    return names;
  }

  void map_columns() {
    for (std::size_t i = 0; i < map_.source.columns.size(); ++i) {
      const Column& from = map_.source.columns[i];
      if (rule_.drop.contains(from.name)) continue;
      const auto renamed = rule_.rename.find(from.name);
      const bool is_renamed = renamed != rule_.rename.end();
      const std::string& to = is_renamed ? renamed->second : from.name;
      const auto at = map_.target.find(to);
      if (!at) {
        report_missing(from, to, is_renamed);
      } else if (from.generated && map_.target.columns[*at].generated) {
        map_.computed.emplace_back(i, *at);  // Carried by neither: compared by how it is computed.
      } else if (writable(from, map_.target.columns[*at]) && claim(*at, from.name)) {
        map_column(i, *at);
      }
    }
  }

  void report_missing(const Column& from, const std::string& to, bool is_renamed) {
    if (from.generated && !is_renamed) return;  // Never carried: nothing is lost.
    error(is_renamed ? RulePart::Rename : RulePart::Table, from.name,
          fmt::format("{} has no column on the target: {} does not exist", source_name(from.name),
                      target_name(to)),
          fmt::format("add it to {}, or put it under columns.rename or columns.drop",
                      map_.target.name.text()));
  }

  // One that is generated on one side only must be given up in so many words.
  bool writable(const Column& from, const Column& to) {
    if (!from.generated && !to.generated) return true;
    error(RulePart::Table, from.name,
          from.generated
              ? fmt::format("{} is generated on the source, and {} is not on the target: it would "
                            "stay empty",
                            source_name(from.name), target_name(to.name))
              : fmt::format("{} is generated on the target: the source's value cannot be written",
                            target_name(to.name)),
          "define the column alike on both sides, or put it under columns.drop");
    return false;
  }

  bool claim(std::size_t target, const std::string& column) {
    if (owner_[target].empty()) {
      owner_[target] = column;
      return true;
    }
    error(RulePart::Rename, column,
          fmt::format("{} is given both {} and {}", target_name(map_.target.columns[target].name),
                      owner_[target], column),
          "rename or drop one of them");
    return false;
  }

  void map_column(std::size_t i, std::size_t at) {
    const Column& from = map_.source.columns[i];
    const Column& to = map_.target.columns[at];
    const CastVerdict verdict = judge_cast(from.type, to.type);
    if (verdict.kind == CastKind::Refused) {
      error(
          RulePart::Table, from.name,
          fmt::format("{} is {} on the source, {} is {} on the target: {}", source_name(from.name),
                      from.type.sql, target_name(to.name), to.type.sql, verdict.reason),
          verdict.hint.empty() ? fmt::format("give {} of the target the type {}",
                                             target_name(to.name), from.type.sql)
                               : verdict.hint);
      return;
    }
    if (to.not_null && !from.not_null) {
      warn(RulePart::Table, from.name,
           fmt::format("{} is NOT NULL and {} is not: a row with NULL would be quarantined",
                       target_name(to.name), source_name(from.name)),
           fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL on the target",
                       quoted(map_.target.name), quote_identifier(to.name)));
    }
    ColumnMap column{.source = i,
                     .target = at,
                     .cast = verdict.kind == CastKind::Lossless,
                     .reread_arrays = rule_.reread_arrays.contains(from.name)};
    choose_plane(column, from, to);
    if (rule_.compare_value.contains(from.name)) compare_value(column, from, to);
    map_.columns.push_back(column);
  }

  void compare_value(ColumnMap& column, const Column& from, const Column& to) {
    column.compared = compared_rule(to, column.plane);
    if (column.compared != CanonicalRule::Opaque) return;
    error(RulePart::Compare, from.name,
          fmt::format("compare: value is impossible: when two values of {}, which is {}, are equal "
                      "is known to PostgreSQL only",
                      target_name(to.name), to.type.sql),
          fmt::format("leave {} out of columns.compare: it is compared by its bytes then",
                      from.name));
  }

  void choose_plane(ColumnMap& column, const Column& from, const Column& to) {
    // A cast from a type that only the source knows: the target could not name it.
    const bool foreign_cast = column.cast && is_user_defined(from.type);
    // Under another cast the target reads the source's type, which both know.
    const bool travels = binary_travels(from.type, column.cast ? from.type : to.type);
    const bool binary = from.type.has_binary && to.type.has_binary && !foreign_cast && travels &&
                        !refuses_its_binary(from.type);
    column.plane = binary ? Plane::Binary : Plane::Text;
    if (stream_.kind == StreamKind::Direct) return check_direct(column, from);
    const WireVerdict wire = debezium_form(from.type, stream_);
    if (wire.form != WireForm::Codec) column.plane = Plane::Text;
    if (wire.form != WireForm::Never) return;
    column.doubtful_always = true;
    warn(RulePart::Table, from.name,
         fmt::format("every change of {} is read from the source again: {}", source_name(from.name),
                     wire.reason),
         wire.remedy.empty() ? "no setting of Debezium avoids it"
                             : "set " + wire.remedy + " on the connector");
  }

  // pgoutput sends what has a binary form in binary; where the target must be given text, the value
  // is read again.
  void check_direct(ColumnMap& column, const Column& from) {
    const bool carried =
        column.plane == Plane::Binary || !from.type.has_binary || text_is_binary(from.type);
    if (carried) return;
    column.doubtful_always = true;
    warn(RulePart::Table, from.name,
         fmt::format("every change of {} is read from the source again: the target does not "
                     "understand its binary form",
                     source_name(from.name)),
         "");
  }

  void add_constants() {
    for (const auto& [name, text] : rule_.set) {
      const auto at = map_.target.find(name);
      if (!at) {
        error(RulePart::Set, name, target_name(name) + " does not exist on the target",
              "the target's columns are " + column_list(map_.target));
        continue;
      }
      const Column& column = map_.target.columns[*at];
      if (column.generated) {
        error(RulePart::Set, name, target_name(name) + " is generated and cannot be set",
              "leave it out of columns.set");
      } else if (!text && (column.not_null || refuses_null(column.type))) {
        error(RulePart::Set, name, target_name(name) + " is NOT NULL and set to null",
              "give it a value");
      } else if (!owner_[*at].empty()) {
        error(RulePart::Set, name,
              fmt::format("{} is set to a constant and fed by {}", target_name(name),
                          source_name(owner_[*at])),
              fmt::format("put {} under columns.drop, or leave out the constant", owner_[*at]));
      } else {
        map_.constants.push_back({*at, text});
      }
    }
  }

  void check_unfed_columns() {
    for (std::size_t i = 0; i < map_.target.columns.size(); ++i) {
      const Column& column = map_.target.columns[i];
      const bool is_set = rule_.set.contains(column.name);
      const bool fills_itself = column.has_default || column.type.has_default || column.generated ||
                                column.identity != Identity::None;
      const bool may_be_null = !column.not_null && !refuses_null(column.type);
      if (!owner_[i].empty() || is_set || fills_itself || may_be_null) continue;
      error(
          RulePart::Table, column.name,
          fmt::format("{} is NOT NULL without default and gets no value", target_name(column.name)),
          fmt::format("give it a constant: columns: {{set: {{{}: ...}}}}, or a default",
                      column.name));
    }
  }

  const TableRule& rule_;
  const StreamTraits stream_;
  TableMap map_;
  std::vector<std::string> owner_;  // By target column: the source column that feeds it.
  std::vector<MapProblem> problems_;
};

void append_text(std::string& out, std::string_view text) { append_value(out, text); }

void append_number(std::string& out, std::uint64_t number) { append_be64(out, number); }

void append_column(std::string& out, const Column& column) {
  append_text(out, column.name);
  append_text(out, column.type.identity);
  append_text(out, column.type.base_identity);
  append_number(out, static_cast<std::uint64_t>(column.type.typmod));
}

}  // namespace

MapOutcome plan_table(const TableSpec& source, const TableSpec& target, const TableRule& rule,
                      const StreamTraits& stream) {
  return MapPlanner(source, target, rule, stream).plan();
}

std::uint64_t mapping_fingerprint(const TableMap& map) {
  std::string bytes;
  append_text(bytes, map.source.name.schema);
  append_text(bytes, map.source.name.table);
  append_text(bytes, map.target.name.schema);
  append_text(bytes, map.target.name.table);
  append_number(bytes, map.target.oid);
  append_number(bytes, map.columns.size());
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    append_column(bytes, map.source_column(i));
    append_column(bytes, map.target_column(i));
    append_number(bytes, static_cast<std::uint64_t>(map.target_column(i).attnum));
    append_number(bytes, static_cast<std::uint64_t>(map.columns[i].plane));
    append_number(bytes, map.columns[i].cast ? 1 : 0);
  }
  append_number(bytes, map.constants.size());
  for (const Constant& constant : map.constants) {
    append_column(bytes, map.target.columns[constant.target]);
    if (constant.text) {
      append_text(bytes, *constant.text);
    } else {
      append_null(bytes);
    }
  }
  append_number(bytes, map.key.size());
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    append_number(bytes, map.key[i]);
    append_number(bytes, static_cast<std::uint64_t>(map.canonical[i]));
  }
  append_number(bytes, map.one_lane ? 1 : 0);
  append_number(bytes, map.ordered ? 1 : 0);
  return hash128(bytes, 0).low;
}

}  // namespace lockstep
