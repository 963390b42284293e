// Grants: what our roles lack, with the statement that gives it and who must run it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/wire/write_needs.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

struct Privilege {
  const char* name;
  bool TablePrivileges::* held;
};

constexpr Privilege kTablePrivileges[] = {{"SELECT", &TablePrivileges::select},
                                          {"INSERT", &TablePrivileges::insert},
                                          {"UPDATE", &TablePrivileges::update},
                                          {"DELETE", &TablePrivileges::remove},
                                          {"TRUNCATE", &TablePrivileges::truncate}};
constexpr std::size_t kOfSource = 1;  // The first so many are needed on the source.

// Tables that lack the same, of one owner and one rule of the manifest: one statement grants them.
struct Lack {
  Where where;
  std::string privileges;
  std::string owner;
  friend auto operator<=>(const Lack&, const Lack&) = default;
};

struct SchemaLack {
  Where where;
  std::string schema;
  std::string owner;
  friend auto operator<=>(const SchemaLack&, const SchemaLack&) = default;
};

// The grants of one side.
class GrantCheck {
 public:
  GrantCheck(Validation& validation, CheckedServer& server)
      : findings_(validation.findings),
        server_(server),
        side_(server.connection.options().side),
        role_(quote_identifier(server.facts.role.name)) {}

  // `places`: the rule of each table.  `unfed`: of the target's tables.
  Status check(const std::map<TableName, Where>& places, const std::vector<UnfedColumn>& unfed) {
    std::vector<TableName> names;
    names.reserve(places.size());
    for (const auto& [name, where] : places) names.push_back(name);
    LOCKSTEP_ASSIGN(const auto held, read_privileges(server_.connection, names));
    LOCKSTEP_ASSIGN(const auto owners, read_owners(server_.connection, names));
    std::map<TableName, TableOwner> owner_of;
    for (const TableOwner& owner : owners) owner_of[owner.name] = owner;
    for (const TablePrivileges& table : held) {
      const TableOwner& owner = owner_of[table.name];
      const Where where = places.at(table.name);
      if (!table.usage) schemas_.insert({where, table.name.schema, owner.schema_owner});
      const std::string lacking = lacking_privileges(table, side_);
      if (!lacking.empty()) tables_[{where, lacking, owner.owner}].push_back(table.name);
    }
    if (side_ == "target") {
      LOCKSTEP_TRY(check_types(places, names));
      LOCKSTEP_ASSIGN(needs_, lacking_for_writes(server_.connection, names, unfed));
    }
    report(places);
    return {};
  }

 private:
  // Batches name the types of columns.
  Status check_types(const std::map<TableName, Where>& places,
                     const std::vector<TableName>& names) {
    LOCKSTEP_ASSIGN(const auto types, read_type_schemas(server_.connection, names));
    for (const TypeSchema& type : types)
      if (!type.usage) schemas_.insert({places.at(type.table), type.schema, type.owner});
    return {};
  }

  void report(const std::map<TableName, Where>& places) {
    std::set<std::string> told;
    for (const SchemaLack& lack : schemas_) {
      if (!told.insert(lack.schema).second) continue;
      findings_.error(lack.where,
                      fmt::format("role {} lacks USAGE on schema {} of the {}",
                                  server_.facts.role.name, lack.schema, side_),
                      fmt::format("GRANT USAGE ON SCHEMA {} TO {}; as {} or a superuser of the {}",
                                  quote_identifier(lack.schema), role_, lack.owner, side_));
    }
    for (const auto& [lack, tables] : tables_)
      findings_.error(lack.where,
                      fmt::format("role {} lacks {} on {} of the {}", server_.facts.role.name,
                                  lack.privileges, shown_list(tables), side_),
                      fmt::format("GRANT {} ON TABLE {} TO {}; as {} or a superuser of the {}",
                                  lack.privileges, quoted_list(tables), role_, lack.owner, side_));
    report_needs(places);
  }

  // One statement may help many tables, for several reasons: the first one is told.
  void report_needs(const std::map<TableName, Where>& places) {
    std::map<std::string, std::vector<TableName>> tables;
    for (const WriteNeed& need : needs_) {
      std::vector<TableName>& so_far = tables[need.grant];
      if (so_far.empty() || so_far.back() != need.table) so_far.push_back(need.table);
    }
    for (const WriteNeed& need : needs_) {
      const auto lacking = tables.extract(need.grant);
      if (lacking.empty()) continue;
      findings_.error(
          places.at(need.table),
          fmt::format("role {} lacks {} on {} of the {}: {} when rows of {} are written",
                      server_.facts.role.name, need.privilege, need.object, side_, need.why,
                      shown_list(lacking.mapped())),
          fmt::format("{} TO {}; as {} or a superuser of the {}", need.grant, role_, need.owner,
                      side_));
    }
  }

  Findings& findings_;
  CheckedServer& server_;
  const std::string side_;
  const std::string role_;
  std::set<SchemaLack> schemas_;
  std::map<Lack, std::vector<TableName>> tables_;
  std::vector<WriteNeed> needs_;
};

}  // namespace

std::string lacking_privileges(const TablePrivileges& held, std::string_view side) {
  std::string lacking;
  for (const Privilege& privilege :
       std::span(kTablePrivileges)
           .first(side == "source" ? kOfSource : std::size(kTablePrivileges)))
    if (!(held.*privilege.held))
      lacking += (lacking.empty() ? "" : ", ") + std::string(privilege.name);
  return lacking;
}

void check_source_grants(Validation& validation) {
  std::map<TableName, Where> places;
  for (const PlannedTable& table : validation.plan.tables)
    if (!table.source.name.table.empty())
      places[table.source.name] = table.selected.rule->source.where;
  const Status checked = GrantCheck(validation, validation.source).check(places, {});
  if (!checked) validation.findings.failed(validation.source.where, checked.error());

  const RoleFacts& role = validation.source.facts.role;
  const bool slot_exists = validation.slot && validation.slot->exists;
  const bool direct = validation.manifest.source.stream.value == StreamKind::Direct;
  if ((slot_exists && !direct) || role.replication || role.superuser) return;
  validation.findings.error(
      validation.source.where,
      direct ? fmt::format("role {} lacks REPLICATION: it may not read the stream", role.name)
             : fmt::format("role {} lacks REPLICATION, and nobody has made the slot yet: the "
                           "connector that connector-config prints could not",
                           role.name),
      fmt::format("ALTER ROLE {} REPLICATION; as a superuser of the source",
                  quote_identifier(role.name)));
}

namespace {

// Refused rows are set aside by functions of our own.
void check_guard_language(Validation& validation) {
  const CheckedServer& target = validation.target;
  const auto language = read_guard_language(validation.target.connection);
  if (!language) return validation.findings.failed(target.where, language.error());
  const std::string& role = target.facts.role.name;
  if (!language->exists)
    validation.findings.error(
        target.where,
        "the target lacks the language plpgsql, without which the first row "
        "that the target refuses stops its table",
        fmt::format("CREATE EXTENSION plpgsql; in database {}, as its owner or "
                    "a superuser of the target",
                    target.facts.database));
  else if (!language->usage)
    validation.findings.error(
        target.where,
        fmt::format("role {} lacks USAGE on language plpgsql of the target: the first row that the "
                    "target refuses would stop its table",
                    role),
        fmt::format("GRANT USAGE ON LANGUAGE plpgsql TO {}; as {} or a superuser of the target",
                    quote_identifier(role), language->owner));
}

}  // namespace

void check_target_grants(Validation& validation) {
  std::map<TableName, Where> places;
  std::vector<UnfedColumn> unfed;
  for (const PlannedTable& table : validation.plan.tables) {
    places[table.selected.target] = table.selected.rule->source.where;
    if (table.map) add_unfed_columns(*table.map, unfed);
  }
  const Status checked = GrantCheck(validation, validation.target).check(places, unfed);
  if (!checked) validation.findings.failed(validation.target.where, checked.error());
  check_guard_language(validation);

  const auto database = read_database(validation.target.connection);
  if (!database) return validation.findings.failed(validation.target.where, database.error());
  if (database->create_temporary) return;
  const ServerFacts& facts = validation.target.facts;
  validation.findings.error(
      validation.target.where,
      fmt::format("role {} lacks TEMPORARY on database {} of the target", facts.role.name,
                  facts.database),
      fmt::format("GRANT TEMPORARY ON DATABASE {} TO {}; as {} or a superuser of the target",
                  quote_identifier(facts.database), quote_identifier(facts.role.name),
                  database->owner));
}

void check_bookkeeping_grants(Validation& validation) {
  const At<std::string>& schema = validation.manifest.target.schema;
  Findings& findings = validation.findings;
  if (findings.spoiled(schema.where)) return;
  const ServerFacts& facts = validation.target.facts;
  const std::string role = quote_identifier(facts.role.name);
  const std::string name = quote_identifier(schema.value);
  const auto grants = read_bookkeeping_grants(validation.target.connection, schema.value);
  if (!grants) return findings.failed(schema.where, grants.error());
  if (!grants->schema_exists) {
    if (facts.role.create_in_database || facts.role.superuser) return;
    findings.error(schema.where,
                   fmt::format("schema {} for the bookkeeping does not exist on the target, and "
                               "role {} lacks CREATE on database {}",
                               schema.value, facts.role.name, facts.database),
                   fmt::format("GRANT CREATE ON DATABASE {} TO {}; as its owner or a superuser of "
                               "the target; or CREATE SCHEMA {} AUTHORIZATION {}",
                               quote_identifier(facts.database), role, name, role));
    return;
  }
  const bool complete = grants->tables.size() == bookkeeping_tables().size();
  if (!grants->usage || (!complete && !grants->create)) {
    const char* const lacking = complete ? "USAGE" : "USAGE, CREATE";
    findings.error(schema.where,
                   fmt::format("role {} lacks {} on schema {} of the target, where the bookkeeping "
                               "lives",
                               facts.role.name, lacking, schema.value),
                   fmt::format("GRANT {} ON SCHEMA {} TO {}; as {} or a superuser of the target",
                               lacking, name, role, grants->owner));
  }
  if (grants->not_ours.empty()) return;
  std::vector<TableName> tables;
  tables.reserve(grants->not_ours.size());
  for (const std::string& table : grants->not_ours) tables.push_back({schema.value, table});
  findings.error(schema.where,
                 fmt::format("role {} may not read and write the bookkeeping: {}", facts.role.name,
                             shown_list(tables)),
                 fmt::format("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {} TO {}; as their "
                             "owner or a superuser of the target",
                             quoted_list(tables), role));
}

}  // namespace lockstep
