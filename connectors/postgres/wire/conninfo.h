// What a person writes to reach a server, and a role's password in the form that may be shown.
#pragma once

#include <string>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"

namespace lockstep {

// Reads "postgres://.." or "key=value ..", as libpq does; only what is written there is returned.
// The error never quotes the text, which may hold a password.
Result<ConnectKeywords> parse_conninfo(const std::string& text);

// Keywords as one "key='value' .." that parse_conninfo() and psql read.
std::string conninfo_text(const ConnectKeywords& keywords);

// Where a connection has led, its defaults filled in by libpq.
struct Reached {
  std::string host;  // Or the directory of the socket.
  std::string port;
  std::string database;
  std::string user;
  std::string password;  // That the server asked for, wherever libpq found it; "": it did not ask.
};
// REQUIRES: the connection is open.
Reached reached(PostgresConnection& connection);

// What the server would store for a password: CREATE ROLE takes it in the password's place, and
// nobody can log in with it.  Another one each time.
// REQUIRES: the connection is open.
Result<std::string> password_verifier(PostgresConnection& connection, const std::string& role,
                                      const std::string& password);

}  // namespace lockstep
