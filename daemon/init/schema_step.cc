#include "daemon/init/schema_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <set>
#include <utility>

#include "connectors/postgres/wire/catalog.h"
#include "daemon/status_json.h"
#include "pipeline/base/number.h"

namespace lockstep {
namespace {

std::string shell_quoted(const std::string& text) {
  std::string quoted_text = "'";
  for (const char c : text) quoted_text += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted_text + "'";
}

// pg_dump locks every table, for which one needs to read it.
Result<std::string> who_may_dump(InitServer& source) {
  LOCKSTEP_ASSIGN(const auto names, list_tables(source.connection));
  LOCKSTEP_ASSIGN(const auto held, read_privileges(source.connection, names));
  const bool reads_all = std::ranges::all_of(
      held, [](const TablePrivileges& table) { return table.usage && table.select; });
  if (reads_all) return source.facts.role.name;
  return source.database.owner;
}

// Of the source, and lacking on the target in a way that its owner cannot cure: only a superuser
// may make it, or such a one requires it.
Result<std::vector<ExtensionFacts>> of_superusers(InitServer& source, InitServer& target) {
  LOCKSTEP_ASSIGN(std::vector<ExtensionFacts> all, read_extensions(source.connection));
  LOCKSTEP_ASSIGN(const auto there, read_extensions(target.connection));
  std::vector<std::string> names;
  for (const ExtensionFacts& extension : all) names.push_back(extension.name);
  LOCKSTEP_ASSIGN(const auto trusted, read_trusted(target.connection, names));
  std::set<std::string> required;
  std::vector<ExtensionFacts> made;
  for (ExtensionFacts& extension : std::views::reverse(all)) {
    const bool is_there =
        std::ranges::find(there, extension.name, &ExtensionFacts::name) != there.end();
    const bool is_trusted = std::ranges::find(trusted, extension.name) != trusted.end();
    if (is_there || (is_trusted && !required.contains(extension.name))) continue;
    required.insert(extension.required.begin(), extension.required.end());
    made.push_back(std::move(extension));
  }
  std::ranges::reverse(made);
  return made;
}

bool has_own_schema(const ExtensionFacts& extension) {
  return extension.schema != "public" && extension.schema != "pg_catalog";
}

// What of a dump fails for who does not own the extensions, or finds schemas that came with them.
Result<std::string> filter_of_dump(InitServer& source) {
  LOCKSTEP_ASSIGN(const auto all, read_extensions(source.connection));
  if (all.empty()) return std::string();
  return "  sed -e '/^COMMENT ON EXTENSION /d' "
         "-e 's/^CREATE SCHEMA \\(.*;\\)$/CREATE SCHEMA IF NOT EXISTS \\1/' |";
}

// A transaction keeps a lock of each relation that it makes, and others need some, too.
Result<bool> fits_one_transaction(InitServer& source, InitServer& target) {
  LOCKSTEP_ASSIGN(const PgResult made, source.connection.ask("SELECT count(*) FROM pg_class WHERE "
                                                             "oid >= 16384"));
  LOCKSTEP_ASSIGN(
      const PgResult slots,
      target.connection.ask("SELECT current_setting('max_locks_per_transaction')::int8 * "
                            "(current_setting('max_connections')::int8 + "
                            "current_setting('max_prepared_transactions')::int8)"));
  std::int64_t relations = 0;
  std::int64_t locks = 0;
  CHECK(parse_number(PQgetvalue(made.get(), 0, 0), relations));
  CHECK(parse_number(PQgetvalue(slots.get(), 0, 0), locks));
  return relations <= locks / 2;
}

Status add_roles(InitServer& source, InitServer& target, std::vector<std::string>& lines) {
  LOCKSTEP_ASSIGN(const auto names, read_roles_of_schema(source.connection));
  for (const std::string& name : names) {
    LOCKSTEP_ASSIGN(const NamedRole there, read_role(target.connection, name));
    if (!there.exists) lines.push_back(fmt::format("CREATE ROLE {};", quote_identifier(name)));
  }
  return {};
}

}  // namespace

Result<bool> lift_owner(InitServer& source, InitServer& target, const std::string& owner,
                        std::vector<std::string>& lines) {
  LOCKSTEP_ASSIGN(const auto objects, read_of_superusers(source.connection));
  LOCKSTEP_ASSIGN(const NamedRole role, read_role(target.connection, owner));
  if (objects.empty() || role.superuser) return false;
  lines.push_back(fmt::format(
      "-- Until the schema is restored, since only a superuser may make {}:", some_of(objects)));
  lines.push_back(fmt::format("ALTER ROLE {} SUPERUSER;", quote_identifier(owner)));
  return true;
}

// Never the role that initdb made, without which nobody could cure anything, nor one that is a
// superuser of the source as well.
Result<bool> is_lifted(InitServer& source, InitServer& target, const std::string& owner) {
  LOCKSTEP_ASSIGN(const NamedRole role, read_role(target.connection, owner));
  LOCKSTEP_ASSIGN(const NamedRole at_source, read_role(source.connection, owner));
  if (!role.superuser || at_source.superuser) return false;
  LOCKSTEP_ASSIGN(const auto objects, read_of_superusers(source.connection));
  if (objects.empty()) return false;
  LOCKSTEP_ASSIGN(const PgResult first,
                  target.connection.ask("SELECT rolname FROM pg_roles WHERE oid = 10"));
  return PQntuples(first.get()) == 0 || PQgetvalue(first.get(), 0, 0) != owner;
}

std::vector<std::string> lower_owner(const std::string& owner) {
  return {fmt::format("-- It is a superuser for the restore of the schema. Leave this out only if "
                      "it is to stay one:"),
          fmt::format("ALTER ROLE {} NOSUPERUSER;", quote_identifier(owner))};
}

Status add_what_schema_needs(InitServer& source, InitServer& target, const std::string& owner,
                             std::vector<std::string>& lines) {
  LOCKSTEP_TRY(add_roles(source, target, lines));
  LOCKSTEP_ASSIGN(const auto extensions, of_superusers(source, target));
  for (const ExtensionFacts& extension : extensions) {
    const std::string schema = quote_identifier(extension.schema);
    if (has_own_schema(extension))
      lines.push_back(fmt::format("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {};", schema,
                                  quote_identifier(owner)));
    lines.push_back(
        fmt::format("CREATE EXTENSION {} SCHEMA {};", quote_identifier(extension.name), schema));
  }
  return {};
}

Result<InitStep> schema_step(InitServer& source, InitServer& target, const std::string& owner) {
  LOCKSTEP_ASSIGN(const std::string dumper, who_may_dump(source));
  LOCKSTEP_ASSIGN(const std::string filter, filter_of_dump(source));
  LOCKSTEP_ASSIGN(const NamedRole owning, read_role(target.connection, owner));
  const RoleFacts& given = target.facts.role;
  const bool may_be_it = given.name == owner || given.superuser || (owning.exists && owning.ours);
  const std::string& restorer = may_be_it ? given.name : owner;
  LOCKSTEP_ASSIGN(const bool whole, fits_one_transaction(source, target));
  std::vector<std::string> lines{"(set -o pipefail"};
  if (!whole)
    lines.emplace_back(
        "# Too much for one transaction (max_locks_per_transaction of the target): if it breaks "
        "off,\n"
        "# drop what it has made before you try again.");
  lines.insert(
      lines.end(),
      {"pg_dump --schema-only --no-owner --no-privileges --no-publications --no-subscriptions \\",
       fmt::format("    -d {} |", shell_quoted(source.conninfo_of(dumper)))});
  if (!filter.empty()) lines.push_back(filter);
  const std::string as_owner =
      restorer == owner
          ? ""
          : fmt::format(" -c {}",
                        shell_quoted(fmt::format("SET ROLE {}", quote_identifier(owner))));
  lines.push_back(fmt::format("  psql -X -q{} -v ON_ERROR_STOP=1 -d {}{} -f -)", whole ? " -1" : "",
                              shell_quoted(target.conninfo_of(restorer)), as_owner));
  return InitStep{
      fmt::format("In a shell (bash), with the passwords of {} on the source and {} on the target "
                  "at hand (~/.pgpass, or psql asks)",
                  dumper, restorer),
      std::move(lines)};
}

}  // namespace lockstep
