// PostgresConnection: one libpq connection, its errors classified once.
//
// wire/catalog, source/reader, source/probe, source/stream, target/target and
// target/bookkeeping are built on it; nothing else includes libpq.
#pragma once

#include <libpq-fe.h>

#include <charconv>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connectors/postgres/wire/open_connections.h"
#include "pipeline/base/result.h"

namespace lockstep {

struct PgResultDeleter {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, PgResultDeleter>;

// One parameter of a query: text form unless `binary`.
struct PgParam {
  std::optional<std::string_view> value;  // Nothing: NULL.
  bool binary = false;
  Oid type = 0;  // 0: the server infers it.
};

// What an SQLSTATE asks for; the table is at PostgresConnection::error_of().
Reaction reaction_to(std::string_view sqlstate);

// An error of a statement that concerns no single table or row: what would stop one of them halts.
Error for_server(Error error);
// Whether the message says in which function of the database a name was not found, or a right was
// lacking.
bool names_a_function(const Error& error);
// An error of reading a table: no single row can be set aside, so the table stops.
Error for_table(Error error);
// An error of a statement for one table whose files are damaged (XX), or of which a row is larger
// than the server can send (54): it stops, since the others can go on.  Any other stays as it is.
Error stop_if_damaged(Error error);

// As in PQconnectdbParams; passwords included, so never printed.
using ConnectKeywords = std::vector<std::pair<std::string, std::string>>;

// What a refused login (wrong password, pg_hba.conf) means.
enum class Refused : std::uint8_t {
  Halts,  // Nobody has ever let us in: the manifest or the server must be changed.
  Waits,  // We were let in before: it may be so again.
};

// How to reach a server.
struct PostgresOptions {
  ConnectKeywords keywords;
  // Values that may change while we run, such as a password's file: read at each connect, after
  // `keywords`.  May be empty.
  std::function<Result<ConnectKeywords>()> secrets;
  Refused refused = Refused::Halts;
  std::string application_name;    // "lockstep shop lane 0"
  std::vector<std::string> setup;  // Statements run after each connect, one by one.
  std::string side;                // "source" or "target", for messages.
};

// Returns `options` with one more statement to run after each connect.
inline PostgresOptions with_setup(PostgresOptions options, std::string statement) {
  options.setup.push_back(std::move(statement));
  return options;
}

// Returns `options` for a connection to a walsender: simple protocol only.
inline PostgresOptions for_replication(PostgresOptions options) {
  options.keywords.emplace_back("replication", "database");
  return options;
}

// The SET statements, without their semicolons, under which our sessions write values and names as
// text: what such text means elsewhere depends on them.
std::span<const char* const> meaning_of_sql();

// Not thread-safe.  On every connect it sets what a default of the server, the database or the role
// could change about a statement of ours (kSession, kMeaning), with SET: PgBouncer refuses start-up
// options. keepalives and tcp_user_timeout unless given; of several hosts the primary.
class PostgresConnection {
 public:
  explicit PostgresConnection(PostgresOptions options);

  // Connects if not connected.  Retry: unreachable; Halt: refused for good (bad password, no
  // database), with exit code Unreachable or Permission.
  Status open();
  void close();
  bool is_open() const { return connection_ != nullptr; }
  // Asks the server to end the statement that is under way.  It blocks for a connection's time, and
  // what it asks for may come too late.
  void cancel();

  // Runs statements by the simple protocol; every one must succeed.  Returns the last result.
  // A lost connection closes this object's connection and answers Retry.
  Result<PgResult> run(const std::string& sql);
  // Runs one statement with parameters.  Results in text form unless `binary_results`.
  Result<PgResult> run(const std::string& sql, const std::vector<PgParam>& params,
                       bool binary_results = false);

  // run() for statements that concern no single table and hold no value of a row: answers Retry or
  // Halt only, with all that the server said.
  Result<PgResult> ask(const std::string& sql, const std::vector<PgParam>& params = {});

  // Takes ownership of `result` and returns it, or its error; closes the connection when it was
  // lost.  For COPY and pipeline mode; run() uses it too.
  Result<PgResult> check(PGresult* result);

  // What a call of libpq answers that may have to wait for the server: OpenConnections knows of it
  // meanwhile.
  template <typename Call>
  auto waits(Call call) {
    std::optional<OpenConnection::Wait> wait;
    if (open_ != nullptr) wait.emplace(*open_);
    return call(raw());
  }

  // The next piece of a COPY ... TO STDOUT that run() started: one whole tuple in binary format,
  // borrowed until the next call.  Nothing: the COPY has ended well.
  // Waits for the server.
  Result<std::optional<std::string_view>> next_copy();

  // The error of a failed result (or of the connection when null), classified by SQLSTATE:
  //   08*, 57*, 40*, 53*, 58*, 55006, 55P03, 25006, 25P0[34] and lost connections: Retry;
  //   22*, 23*, 44000, 42804 on a row's data: Reject;
  //   42703, 42P01, 42883, 42501 and other 42*, 0A000, 3F000: StopTable;
  //   anything else: Halt.  Message holds the primary message and SQLSTATE, never row values (no
  //   DETAIL; of class 22, whose messages quote the value, what is quoted is left out), but of
  //   ask()'s statements, whose quotes hold names, everything.
  Error error_of(const PGresult* result) const;

  // The same of a failure that the server reported in a row.
  Error error_of(std::string_view code, std::string_view primary) const;

  // For COPY and pipeline mode.  REQUIRES: is_open().
  PGconn* raw() { return connection_.get(); }
  const PostgresOptions& options() const { return options_; }

 private:
  struct ConnectionDeleter {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  struct CopyDeleter {
    void operator()(char* bytes) const noexcept { PQfreemem(bytes); }
  };

  Status connect();
  Status prepare_session();
  Error connect_error() const;

  enum class Quoted : std::uint8_t { Hidden, Shown };

  PostgresOptions options_;
  Quoted quoted_ = Quoted::Hidden;             // Whether what a message quotes is a name.
  std::unique_ptr<char, CopyDeleter> copied_;  // What next_copy() lent last.
  std::unique_ptr<PGconn, ConnectionDeleter> connection_;
  std::unique_ptr<OpenConnection> open_;  // Of `connection_`, once it is connected.
};

// The text of a field, "" when NULL.
inline std::string_view field(const PgResult& result, int row, int column) {
  return {PQgetvalue(result.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result.get(), row, column))};
}
inline bool is_null(const PgResult& result, int row, int column) {
  return PQgetisnull(result.get(), row, column) == 1;
}

// A field in text form as what it is; 0 or false when NULL.
template <typename Number>
Number number_field(const PgResult& result, int row, int column) {
  Number value{};
  const std::string_view text = field(result, row, column);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}
inline std::string text_field(const PgResult& result, int row, int column) {
  return std::string(field(result, row, column));
}
inline bool bool_field(const PgResult& result, int row, int column) {
  return field(result, row, column) == "t";
}

}  // namespace lockstep
