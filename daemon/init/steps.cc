#include "daemon/init/steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "config/connector_config.h"
#include "connectors/postgres/wire/conninfo.h"
#include "connectors/postgres/wire/write_needs.h"
#include "daemon/init/schema_step.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

constexpr std::size_t kStatementColumns = 100;
constexpr int kGrantableParameters = 150000;

// "a, b, c" behind `begin`, with a new line where one is full.
std::string list_in_lines(const std::string& begin, const std::vector<std::string>& items) {
  std::string text;
  std::size_t column = begin.size();
  for (const std::string& item : items) {
    if (!text.empty()) text += ",";
    const bool full = column + item.size() + 2 > kStatementColumns;
    text += full ? "\n  " : text.empty() ? "" : " ";
    column = (full ? 2 : column + 2) + item.size();
    text += item;
  }
  return begin + text;
}

struct LackingGrants {
  std::vector<std::string> schemas;                        // USAGE.
  std::map<std::string, std::vector<std::string>> tables;  // By what is lacking, quoted.
  std::vector<std::string> others;                         // "GRANT EXECUTE ON FUNCTION f()".
};

// What lockstep's role lacks on `names`; a role that does not exist yet lacks everything.
// `types`: schemas of the columns' types.
Result<LackingGrants> lacking_grants(InitServer& server, const std::vector<TableName>& names,
                                     const std::vector<TypeSchema>& types) {
  std::map<TableName, TablePrivileges> held;
  if (server.as_role) {
    LOCKSTEP_ASSIGN(const auto privileges, read_privileges(*server.as_role, names));
    for (const TablePrivileges& table : privileges) held[table.name] = table;
  }
  LackingGrants lacking;
  std::set<std::string> schemas;
  for (const TypeSchema& type : types)
    if (!type.usage) schemas.insert(quote_identifier(type.schema));
  for (const TableName& name : names) {
    const TablePrivileges& table = held[name];
    if (!table.usage) schemas.insert(quote_identifier(name.schema));
    const std::string privileges = lacking_privileges(table, server.asked.side);
    if (!privileges.empty()) lacking.tables[privileges].push_back(quoted(name));
  }
  lacking.schemas.assign(schemas.begin(), schemas.end());
  return lacking;
}

void add_grants(const LackingGrants& lacking, const std::string& role,
                std::vector<std::string>& lines) {
  if (!lacking.schemas.empty())
    lines.push_back(list_in_lines("GRANT USAGE ON SCHEMA ", lacking.schemas) + " TO " + role + ";");
  for (const auto& [privileges, tables] : lacking.tables)
    lines.push_back(list_in_lines("GRANT " + privileges + " ON TABLE ", tables) + " TO " + role +
                    ";");
  for (const std::string& grant : lacking.others) lines.push_back(grant + " TO " + role + ";");
}

class Preparing {
 public:
  Preparing(InitServer& source, InitServer& target, const InitChoice& choice,
            const InitPeople& people)
      : source_(source),
        target_(target),
        choice_(choice),
        people_(people),
        names_(choice.moved_names()) {}

  Result<std::vector<InitStep>> plan() {
    LOCKSTEP_TRY(know_owners());
    LOCKSTEP_TRY(source_superuser());
    LOCKSTEP_TRY(publication());
    LOCKSTEP_TRY(target_superuser());
    if (!choice_.restored) {
      LOCKSTEP_ASSIGN(InitStep schema, schema_step(source_, target_, owner_));
      steps_.push_back(std::move(schema));
    }
    // Also where init is run again before this was.
    LOCKSTEP_ASSIGN(const bool lifted, is_lifted(source_, target_, owner_));
    if (owner_is_lifted_ || lifted) add(target_, as_superuser(target_), lower_owner(owner_));
    LOCKSTEP_TRY(target_grants());
    return std::move(steps_);
  }

 private:
  static std::string as_superuser(const InitServer& server) {
    return "as a superuser" +
           (server.facts.role.superuser ? ", such as " + server.facts.role.name : std::string());
  }
  void add(const InitServer& server, const std::string& who, std::vector<std::string> lines) {
    if (lines.empty()) return;
    steps_.push_back({fmt::format("On the {}, {}, {}", server.asked.side, server.text(), who),
                      std::move(lines)});
  }

  // The one that all of these have; "": there are several.
  static std::string single_owner(const std::vector<TableOwner>& owners) {
    const auto of_another = [&](const TableOwner& table) {
      return table.owner != owners.front().owner;
    };
    return owners.empty() || std::ranges::any_of(owners, of_another) ? "" : owners.front().owner;
  }

  enum class Needs : bool { Nothing, Create };

  // The tables' owner, where one may log in, and CREATE in the database where that is needed.
  static Result<std::string> by_owner(InitServer& server, const std::string& owner, Needs needs) {
    LOCKSTEP_ASSIGN(const NamedRole role, read_role(server.connection, owner));
    if (!role.login || (needs == Needs::Create && !role.create_in_database))
      return as_superuser(server);
    return "as " + owner + ", who owns the tables, or a superuser";
  }

  Status know_owners() {
    LOCKSTEP_ASSIGN(const auto of_source, read_owners(source_.connection, names_));
    source_owner_ = single_owner(of_source);
    LOCKSTEP_ASSIGN(const auto of_target, read_owners(target_.connection, names_));
    const auto& acting = choice_.restored ? of_target : of_source;
    source_secured_ = std::ranges::any_of(of_source, &TableOwner::row_security);
    target_secured_ = std::ranges::any_of(acting, &TableOwner::row_security);
    owner_ = choice_.restored         ? single_owner(of_target)
             : !people_.owner.empty() ? people_.owner
                                      : target_.database.owner;
    return {};
  }

  // CREATE ROLE, or what an existing one lacks.
  Status role(InitServer& server, std::vector<std::string> attributes,
              std::vector<std::string>& lines) {
    const std::string name = quote_identifier(server.asked.role);
    if (server.as_role) {
      if (server.held.superuser) return {};
      if (server.held.replication) std::erase(attributes, "REPLICATION");
      if (server.held.bypass_rls) std::erase(attributes, "BYPASSRLS");
      if (!attributes.empty())
        lines.push_back(fmt::format("ALTER ROLE {} {};", name, fmt::join(attributes, " ")));
      return {};
    }
    attributes.insert(attributes.begin(), "LOGIN");
    // psql refuses the second form: nobody is to have a password that stands nowhere.
    std::string password = "<of the file that lockstep init writes without --dry-run>";
    if (people_.secrets_stand || server.secret_exists) {
      LOCKSTEP_ASSIGN(
          const std::string verifier,
          password_verifier(server.connection, server.asked.role, server.password.reveal()));
      password = "'" + verifier + "'";
    }
    lines.push_back(
        fmt::format("CREATE ROLE {} {} PASSWORD {};", name, fmt::join(attributes, " "), password));
    return {};
  }

  static void on_database(const InitServer& server, const char* privilege,
                          std::vector<std::string>& lines) {
    lines.push_back(fmt::format("GRANT {} ON DATABASE {} TO {};", privilege,
                                quote_identifier(server.facts.database),
                                quote_identifier(server.asked.role)));
  }

  std::vector<std::string> settings() const {
    const ServerFacts& facts = source_.facts;
    constexpr int kMore = 10;
    std::vector<std::string> lines;
    const auto raise = [&lines](const char* name, int used, int most) {
      if (used >= most)
        lines.push_back(fmt::format("ALTER SYSTEM SET {} = {};", name, used + kMore));
    };
    if (facts.wal_level != "logical") lines.emplace_back("ALTER SYSTEM SET wal_level = 'logical';");
    raise("max_replication_slots", facts.replication_slots_used, facts.replication_slots_max);
    raise("max_wal_senders", facts.wal_senders_used, facts.wal_senders_max);
    return lines;
  }

  Status source_superuser() {
    std::vector<std::string> lines = settings();
    const bool restart = !lines.empty();
    std::vector<std::string> attributes{"REPLICATION"};
    if (source_secured_) attributes.emplace_back("BYPASSRLS");
    LOCKSTEP_TRY(role(source_, std::move(attributes), lines));
    if (!source_.as_role && !source_.database.everybody_connects)
      on_database(source_, "CONNECT", lines);
    LOCKSTEP_ASSIGN(const LackingGrants lacking, lacking_grants(source_, names_, {}));
    add_grants(lacking, quote_identifier(source_.asked.role), lines);
    add(source_, as_superuser(source_), std::move(lines));
    if (restart)
      steps_.push_back({fmt::format("On the machine of the source, {}, as who may restart its "
                                    "server",
                                    source_.text()),
                        {"# Restart the server: what ALTER SYSTEM has set needs a restart, which "
                         "ends every session."}});
    return {};
  }

  Status publication() {
    const std::string& name = choice_.manifest.source.publication.value;
    LOCKSTEP_ASSIGN(const auto facts, read_publication(source_.connection, name, names_));
    std::vector<std::string> lines;
    for (const std::string& statement : choice_.identities) lines.push_back(statement + ";");
    if (!facts.exists)
      lines.push_back(publication_sql(choice_.manifest, choice_.moved) + ";");
    else if (!facts.missing.empty())
      for (const std::string& statement :
           extend_publication_sql(choice_.manifest, choice_.moved, facts.missing))
        lines.push_back(statement + ";");
    LOCKSTEP_ASSIGN(const std::string who,
                    by_owner(source_, facts.exists ? "" : source_owner_, Needs::Create));
    add(source_, who, std::move(lines));
    return {};
  }

  // Who is to own what is restored, and may make it.
  Status target_owner(std::vector<std::string>& lines) {
    if (choice_.restored) return {};
    LOCKSTEP_ASSIGN(const NamedRole owner, read_role(target_.connection, owner_));
    if (!owner.exists) lines.push_back(fmt::format("CREATE ROLE {};", quote_identifier(owner_)));
    if (target_.database.owner != owner_)
      lines.push_back(fmt::format("ALTER DATABASE {} OWNER TO {};",
                                  quote_identifier(target_.facts.database),
                                  quote_identifier(owner_)));
    return {};
  }

  Status target_superuser() {
    std::vector<std::string> lines;
    const std::string name = quote_identifier(target_.asked.role);
    LOCKSTEP_TRY(target_owner(lines));
    if (!choice_.restored) {
      LOCKSTEP_TRY(add_what_schema_needs(source_, target_, owner_, lines));
      LOCKSTEP_ASSIGN(owner_is_lifted_, lift_owner(source_, target_, owner_, lines));
    }
    std::vector<std::string> attributes;
    if (target_secured_) attributes.emplace_back("BYPASSRLS");
    LOCKSTEP_TRY(role(target_, std::move(attributes), lines));
    if (!target_.held.set_replication_role)
      lines.push_back(
          target_.facts.version >= kGrantableParameters
              ? fmt::format("GRANT SET ON PARAMETER session_replication_role TO {};", name)
              : fmt::format("ALTER ROLE {} SUPERUSER;", name));
    LOCKSTEP_TRY(target_database(lines));
    add(target_, as_superuser(target_), std::move(lines));
    return {};
  }

  Status target_database(std::vector<std::string>& lines) {
    if (!target_.as_role) {
      if (!target_.database.everybody_connects) on_database(target_, "CONNECT", lines);
      if (!target_.database.everybody_creates_temporary) on_database(target_, "TEMPORARY", lines);
      on_database(target_, "CREATE", lines);
      return {};
    }
    LOCKSTEP_ASSIGN(const DatabaseFacts database, read_database(*target_.as_role));
    if (!database.create_temporary) on_database(target_, "TEMPORARY", lines);
    LOCKSTEP_ASSIGN(const GuardLanguage language, read_guard_language(*target_.as_role));
    if (!language.exists) lines.emplace_back("CREATE EXTENSION plpgsql;");
    if (language.exists && !language.usage)
      lines.push_back(fmt::format("GRANT USAGE ON LANGUAGE plpgsql TO {};",
                                  quote_identifier(target_.asked.role)));
    const std::string& schema = choice_.manifest.target.schema.value;
    LOCKSTEP_ASSIGN(const BookkeepingGrants grants,
                    read_bookkeeping_grants(*target_.as_role, schema));
    if (!grants.schema_exists && !target_.held.create_in_database)
      on_database(target_, "CREATE", lines);
    return {};
  }

  Status target_grants() {
    std::vector<std::string> lines;
    // Before the schema is restored the source says what will be there.
    const bool knows = choice_.restored && target_.as_role;
    LOCKSTEP_ASSIGN(auto types,
                    read_type_schemas(knows ? *target_.as_role : source_.connection, names_));
    if (!knows)
      for (TypeSchema& type : types) type.usage = false;
    LOCKSTEP_ASSIGN(LackingGrants lacking, lacking_grants(target_, names_, types));
    bool by_one = true;
    if (knows) {
      LOCKSTEP_ASSIGN(by_one, add_needs_of_writes(lacking.others));
    }
    add_grants(lacking, quote_identifier(target_.asked.role), lines);
    LOCKSTEP_ASSIGN(const std::string owner, by_owner(target_, owner_, Needs::Nothing));
    add(target_, by_one ? owner : as_superuser(target_), std::move(lines));
    return {};
  }

  // What a restore by init's own steps never lacks: it makes everything as it is for everybody.
  // Returns whether the tables' owner may grant all of it.
  Result<bool> add_needs_of_writes(std::vector<std::string>& grants) {
    LOCKSTEP_ASSIGN(const auto needs, lacking_for_writes(*target_.as_role, names_, choice_.unfed));
    std::set<std::string> all;
    for (const WriteNeed& need : needs) all.insert(need.grant);
    grants.assign(all.begin(), all.end());
    return std::ranges::all_of(needs,
                               [this](const WriteNeed& need) { return need.owner == owner_; });
  }

  InitServer& source_;
  InitServer& target_;
  const InitChoice& choice_;
  const InitPeople& people_;
  const std::vector<TableName> names_;
  std::vector<InitStep> steps_;
  std::string source_owner_;     // Of every table that moves; "": several.
  std::string owner_;            // Of the target's tables; "": several.
  bool source_secured_ = false;  // Some table has row-level security.
  bool target_secured_ = false;
  bool owner_is_lifted_ = false;  // To a superuser, until the schema is restored.
};

}  // namespace

Result<std::vector<InitStep>> steps_to_prepare(InitServer& source, InitServer& target,
                                               const InitChoice& choice, const InitPeople& people) {
  return Preparing(source, target, choice, people).plan();
}

}  // namespace lockstep
