#include "daemon/init/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "config/manifest_connect.h"
#include "connectors/postgres/wire/conninfo.h"
#include "daemon/init/files.h"

namespace lockstep {
namespace {

// What belongs to the role that was given, or to one session, and not to the way.
constexpr std::array<std::string_view, 12> kNotOfTheWay = {"user",
                                                           "password",
                                                           "passfile",
                                                           "application_name",
                                                           "fallback_application_name",
                                                           "client_encoding",
                                                           "replication",
                                                           "sslcert",
                                                           "sslkey",
                                                           "sslpassword",
                                                           "requirepeer",
                                                           "krbsrvname"};
// Files: the manifest may be used from another folder.
constexpr std::array<std::string_view, 3> kFiles = {"sslrootcert", "sslcrl", "sslcrldir"};

template <typename Names>
bool is_one_of(std::string_view name, const Names& names) {
  return std::ranges::find(names, name) != names.end();
}

void put(Connect& connect, const std::string& name, const std::string& value) {
  if (value.empty() || connect.find(name) != nullptr) return;
  connect.keywords.push_back({name, Secret(value), ReferenceKind::Literal, {}, {}});
}

Result<Connect> connect_of(const InitAsked& asked) {
  auto keywords = parse_conninfo(asked.conninfo);
  if (!keywords) return fail(std::move(keywords).error().during("--" + asked.side));
  Connect connect;
  for (auto& [name, value] : *keywords) {
    std::error_code unknown;
    if (is_one_of(name, kFiles) && std::filesystem::exists(value, unknown))
      value = std::filesystem::absolute(value).string();
    put(connect, name, value);
  }
  const bool names_host = connect.find("host") != nullptr || connect.find("hostaddr") != nullptr ||
                          connect.find("service") != nullptr;
  const char* const host = environment("PGHOST");
  put(connect, "host", !names_host && host != nullptr ? host : "");
  // Without a host it is this machine's socket.
  if (names_host || host != nullptr) add_default_sslmode(connect);
  connect.sound = true;
  return connect;
}

PostgresOptions options_of(const InitAsked& asked, ConnectKeywords keywords) {
  PostgresOptions options;
  options.keywords = std::move(keywords);
  options.application_name = "lockstep init";
  options.side = asked.side;
  return options;
}

// What the person who gave the URI can do about it.
Error with_remedy(Error error, const Connect& connect) {
  constexpr std::string_view kNoDatabase = "3D000";
  if (error.message.contains("`sslmode: ") || error.message.contains("`sslrootcert: "))
    error.message +=
        "; lockstep init takes both from what it is given: "
        "postgres://..?sslmode=..&sslrootcert=..";
  const Setting* const name = connect.find("dbname");
  if (error.code != kNoDatabase || name == nullptr) return error;
  error.message += fmt::format(
      "; a superuser makes it: CREATE DATABASE {} OWNER .. TEMPLATE template0 ENCODING 'UTF8'; "
      "then "
      "run lockstep init again",
      quote_identifier(name->value.reveal()));
  return error;
}

// The keywords with another user, and that user's password or none.
ConnectKeywords as_another(const Connect& connect, const std::string& user,
                           const std::string& password) {
  ConnectKeywords keywords;
  for (const auto& [name, value] : connect.revealed())
    if (name != "user" && name != "password") keywords.emplace_back(name, value);
  keywords.emplace_back("user", user);
  if (!password.empty()) keywords.emplace_back("password", password);
  return keywords;
}

// The way to a server as another user, in the order that people write it.
ConnectKeywords settings_of(const Connect& connect, const std::string& user) {
  ConnectKeywords settings;
  for (const char* const name : {"service", "host", "hostaddr", "port", "dbname"})
    if (const Setting* const setting = connect.find(name))
      settings.emplace_back(name, setting->value.reveal());
  settings.emplace_back("user", user);
  for (const Setting& setting : connect.keywords) {
    const bool is_there = std::ranges::find(settings, setting.name, [](const auto& pair) {
                            return pair.first;
                          }) != settings.end();
    if (!is_there && !is_one_of(setting.name, kNotOfTheWay) && is_connect_keyword(setting.name))
      settings.emplace_back(setting.name, setting.value.reveal());
  }
  return settings;
}

Result<Secret> known_password(const InitServer& server, const std::string& used) {
  if (server.secret_exists) return read_secret(server.asked.secret.string());
  return Secret(server.facts.role.name == server.asked.role ? used : "");
}

// Logs in as lockstep's own role, if there is one.
Status meet_role(InitServer& server, const std::string& used) {
  const InitAsked& asked = server.asked;
  LOCKSTEP_ASSIGN(server.role, read_role(server.connection, asked.role));
  std::error_code unknown;
  server.secret_exists = std::filesystem::exists(asked.secret, unknown);
  LOCKSTEP_ASSIGN(server.password, known_password(server, used));
  if (server.role.exists) {
    PostgresConnection as_role(
        options_of(asked, as_another(server.connect, asked.role, server.password.reveal())));
    const auto facts = read_server(as_role);
    if (!facts)
      return fail(
          Reaction::Halt,
          fmt::format("role {} exists on the {}, and {}: {}; put its password into that file (mode "
                      "0600), or give lockstep another role with --{}",
                      asked.role, asked.side,
                      server.secret_exists
                          ? "the password in " + asked.secret.string() + " does not open it"
                          : "there is no " + asked.secret.string() + " with its password",
                      facts.error().message, asked.side == "source" ? "reader" : "writer"),
          ExitCode::Permission);
    server.held = facts->role;
    if (server.password.empty()) server.password = Secret(reached(as_role).password);
    server.as_role.emplace(std::move(as_role));
  }
  // A role that is there and is let in without one has none that could be written down.
  if (server.password.empty() && !server.role.exists) {
    LOCKSTEP_ASSIGN(server.password, make_password());
  }
  return {};
}

}  // namespace

ConnectKeywords InitServer::settings() const { return settings_of(connect, asked.role); }

std::string InitServer::conninfo_of(const std::string& user) const {
  return conninfo_text(settings_of(connect, user));
}

Result<InitServer> look_at(const InitAsked& asked) {
  LOCKSTEP_ASSIGN(Connect connect, connect_of(asked));
  PostgresConnection connection(options_of(asked, connect.revealed()));
  if (auto opened = connection.open(); !opened)
    return fail(with_remedy(std::move(opened).error(), connect));
  const Reached where = reached(connection);
  if (connect.find("service") == nullptr) {
    if (connect.find("hostaddr") == nullptr) put(connect, "host", where.host);
    put(connect, "port", where.port);
    put(connect, "dbname", where.database);
  }
  put(connect, "user", where.user);
  InitServer server{asked, std::move(connect), std::move(connection), {}, {}, {}, {}, false, {},
                    {}};
  LOCKSTEP_ASSIGN(server.facts, read_server(server.connection));
  LOCKSTEP_ASSIGN(server.database, read_database(server.connection));
  LOCKSTEP_TRY(meet_role(server, where.password));
  return server;
}

std::string database_named(const std::string& conninfo) {
  if (const auto keywords = parse_conninfo(conninfo))
    for (const auto& [name, value] : *keywords)
      if (name == "dbname") return value;
  const char* const database = environment("PGDATABASE");
  return database == nullptr ? "" : database;
}

bool holds_password(const std::string& conninfo) {
  const auto keywords = parse_conninfo(conninfo);
  return keywords && std::ranges::any_of(*keywords, [](const auto& keyword) {
           return keyword.first == "password" || keyword.first == "sslpassword";
         });
}

}  // namespace lockstep
