// InitServer: one server as whoever prepares a migration reaches it, and what lockstep's own role
// has there by now.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "config/manifest.h"
#include "connectors/postgres/wire/checks.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/result.h"

namespace lockstep {

// What `lockstep init` was told of one server.
struct InitAsked {
  std::string side;              // "source" or "target".
  std::string conninfo;          // A URI or key=value, with or without a password.
  std::string role;              // Lockstep's own.
  std::filesystem::path secret;  // The file of that role's password, whether it is there or not.
};

struct InitServer {
  InitAsked asked;
  Connect connect;  // As somebody reaches it: host, port, database and user are there.
  PostgresConnection connection;
  ServerFacts facts;  // The role is the one that was given.
  DatabaseFacts database;
  NamedRole role;   // Lockstep's own.
  Secret password;  // Of it.
  bool secret_exists = false;
  // Lockstep's own role, logged in; nothing: it does not exist yet, and has no grants.
  std::optional<PostgresConnection> as_role;
  RoleFacts held;  // What it has.

  // "db1:5432/shop".
  std::string text() const { return connect.display(); }
  // What the manifest says of the way to it, as lockstep's own role; without the password.
  ConnectKeywords settings() const;
  // For psql and pg_dump, as `user`; without a password.
  std::string conninfo_of(const std::string& user) const;
};

// Connects, asks, and makes a password where the role has none.  Changes nothing.
// Permission: the role exists, and the secret that is there does not open it.
Result<InitServer> look_at(const InitAsked& asked);

// The database that a text names, or the environment; "": neither does.
std::string database_named(const std::string& conninfo);

// Whether a text that somebody gave as a server holds a password.
bool holds_password(const std::string& conninfo);

}  // namespace lockstep
