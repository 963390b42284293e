#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

// Of one table: a root has as many partitions as it likes.
constexpr int kToldMax = 3;

const char* lack_of(const RowIdentity& identity) {
  switch (identity.kind) {
    case ReplicaIdentity::Nothing:
      return "REPLICA IDENTITY NOTHING";
    case ReplicaIdentity::Index:
      return "the index of its REPLICA IDENTITY is gone";
    case ReplicaIdentity::Full:
      return "a generated column is part of it";
    case ReplicaIdentity::Default:
      return "REPLICA IDENTITY DEFAULT without a primary key that is NOT DEFERRABLE";
  }
  return "";
}

// Of an identity by which updates and deletes do not say which row they mean.
bool names_others(const TableSpec& source, const RowIdentity& identity) {
  if (!identity.usable || identity.kind == ReplicaIdentity::Full) return false;
  return !std::ranges::all_of(source.key, [&](std::size_t column) {
    return std::ranges::find(identity.columns, column) != identity.columns.end();
  });
}

std::string identity_by(const TableSpec& source, const std::string& index) {
  return fmt::format("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}", quoted(source.name),
                     quote_identifier(index));
}

class SourceChecks {
 public:
  explicit SourceChecks(const TableSpec& source) : source_(source) {}

  std::vector<MapProblem> run() && {
    problems_ = hidden_rows(source_, "source");
    check_updates();
    check_order();
    if (source_.key.empty())
      explain_no_key();
    else if (source_.key_deferrable)
      error(fmt::format("the key {} of {} on the source is DEFERRABLE: within a transaction two "
                        "rows may have one key",
                        source_.key_index, source_.name.text()),
            fmt::format("{} on the source, and the like on the target; or leave the table out "
                        "(`skip: true`)",
                        make_key_immediate(source_)));
    else
      check_identities();
    return std::move(problems_);
  }

 private:
  void error(std::string text, std::string hint) {
    problems_.push_back({Severity::Error, RulePart::Table, "", std::move(text), std::move(hint)});
  }

  void explain_no_key() {
    const std::vector<std::string> names = rival_keys(source_);
    if (names.empty())
      return error(source_.name.text() +
                       " has no usable key: no primary key, and no immediate unique index over "
                       "NOT NULL columns",
                   fmt::format("leave it out (`skip: true`), or add a primary key to {} on the "
                               "source",
                               source_.name.text()));
    const bool root = source_.kind == RelationKind::PartitionedRoot;
    error(fmt::format("{} has several unique keys ({}), and neither a primary key nor its replica "
                      "identity says which of them names its rows",
                      source_.name.text(), fmt::join(names, ", ")),
          fmt::format("{}add a primary key to {} on the source",
                      root ? "" : choose_by_identity(source_, names.front()) + ", or ",
                      source_.name.text()));
  }

  // Copy and comparison take ranges of the key's index: a row that is not where the order of today
  // looks for it lies in no range, and both would miss it alike.
  void check_order() {
    for (const std::size_t i : source_.key) {
      const Column& column = source_.columns[i];
      if (column.outdated_order.empty()) continue;
      const bool named = column.outdated_order.starts_with("collation ");
      error(fmt::format("the key column {}.{} is ordered by {}, whose library has another version "
                        "now than the one that the index was made with: rows may be found nowhere",
                        source_.name.text(), column.name, column.outdated_order),
            fmt::format("REINDEX TABLE {} on the source, then ALTER {} REFRESH {}VERSION",
                        quoted(source_.name), named ? column.outdated_order : "DATABASE ..",
                        named ? "" : "COLLATION "));
      return;
    }
  }

  // Published, a table without an identity refuses the application's UPDATE and DELETE.
  void check_updates() {
    for (const RowIdentity& identity : source_.identities) {
      // Of a deferrable key it is told what cures both.
      const bool told = source_.key.empty() || source_.key_deferrable;
      if (identity.usable || (identity.kind == ReplicaIdentity::Default && told)) continue;
      error(fmt::format("{} has no replica identity ({}): once it is published, PostgreSQL refuses "
                        "its updates and deletes on the source",
                        identity.table.text(), lack_of(identity)),
            identity_hint(identity));
      if (++told_ == kToldMax) break;
    }
    if (!source_.key.empty() && !source_.key_deferrable && told_ == 0 && !can_be_published(source_))
      error(fmt::format("{} has no primary key that a partition made later would take from it: "
                        "without replica identity PostgreSQL refuses updates and deletes of what "
                        "is published",
                        source_.name.text()),
            fmt::format("leave it out (`skip: true`), or add a primary key to {} on the source",
                        quoted(source_.name)));
  }

  std::string identity_hint(const RowIdentity& identity) const {
    std::string wanted = "FULL";
    std::vector<std::string> keys = rival_keys(source_);
    if (!source_.key.empty() && !source_.key_deferrable) keys = {source_.key_index};
    if (source_.key_is_primary && !source_.key_deferrable &&
        identity.kind != ReplicaIdentity::Default)
      wanted = "DEFAULT";
    else if (identity.table == source_.name && !keys.empty())
      return choose_by_identity(source_, keys.front());
    return fmt::format("ALTER TABLE {} REPLICA IDENTITY {} on the source", quoted(identity.table),
                       wanted);
  }

  void check_identities() {
    for (const RowIdentity& identity : source_.identities) {
      if (!names_others(source_, identity)) continue;
      error(fmt::format("the replica identity of {} is ({}), the key of {} is ({}): updates and "
                        "deletes would not say which row they mean",
                        identity.table.text(), names_of(source_, identity.columns),
                        source_.name.text(), names_of(source_, source_.key)),
            identity_hint(identity));
      if (++told_ == kToldMax) break;
    }
  }

  const TableSpec& source_;
  std::vector<MapProblem> problems_;
  int told_ = 0;
};

}  // namespace

std::string names_of(const TableSpec& spec, const std::vector<std::size_t>& columns) {
  std::string names;
  for (const std::size_t i : columns) names += (names.empty() ? "" : ", ") + spec.columns[i].name;
  return names;
}

std::string make_key_immediate(const TableSpec& spec) {
  std::string columns;
  for (const std::size_t i : spec.key)
    columns += (columns.empty() ? "" : ", ") + quote_identifier(spec.columns[i].name);
  return fmt::format("ALTER TABLE {} DROP CONSTRAINT {}, ADD PRIMARY KEY ({})", quoted(spec.name),
                     quote_identifier(spec.key_index), columns);
}

std::string choose_by_identity(const TableSpec& source, const std::string& index) {
  return identity_by(source, index) + " on the source";
}

std::string statement_for_identity(const TableSpec& source) {
  const bool has_key = !source.key.empty() && !source.key_deferrable && !source.key_is_primary;
  const bool is_plain =
      source.kind != RelationKind::PartitionedRoot && source.identities.size() == 1;
  if (!has_key || !is_plain) return "";
  const RowIdentity& identity = source.identities.front();
  if (identity.usable || identity.kind != ReplicaIdentity::Default) return "";
  return identity_by(source, source.key_index);
}

std::vector<MapProblem> source_problems(const TableSpec& source) {
  return SourceChecks(source).run();
}

bool names_other_rows(const TableSpec& source) {
  return std::ranges::any_of(source.identities, [&](const RowIdentity& identity) {
    return names_others(source, identity);
  });
}

std::vector<MapProblem> hidden_rows(const TableSpec& table, const char* side) {
  if (table.hidden_from.empty()) return {};
  return {{Severity::Error, RulePart::Table, "",
           fmt::format("row-level security of {} on the {} hides rows from role {}",
                       table.name.text(), side, table.hidden_from),
           fmt::format("ALTER ROLE {} BYPASSRLS; as a superuser of the {}",
                       quote_identifier(table.hidden_from), side)}};
}

}  // namespace lockstep
