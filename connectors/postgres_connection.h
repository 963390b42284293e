// PostgresConnection: one libpq connection, its errors classified once.
//
// postgres_catalog, postgres_reader, postgres_probe, postgres_target and postgres_bookkeeping are
// built on it; nothing else includes libpq.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/result.h"

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

// How to reach a server.  Keywords as in PQconnectdbParams; passwords included, so never printed.
struct PostgresOptions {
  std::vector<std::pair<std::string, std::string>> keywords;
  std::string application_name;     // "lockstep shop lane 0"
  std::vector<std::string> setup;   // Statements run after each connect, one by one.
  std::string side;                 // "source" or "target", for messages.
};

// Not thread-safe.  Sets, on every connect: client_encoding UTF8, DateStyle ISO, IntervalStyle
// postgres, extra_float_digits 3, bytea_output hex, TimeZone UTC, lc_monetary C, search_path '' ,
// row_security off, statement_timeout 0, standard_conforming_strings on; keepalives and
// tcp_user_timeout unless given.
class PostgresConnection {
 public:
  explicit PostgresConnection(PostgresOptions options);

  // Connects if not connected.  Retry: unreachable; Halt: refused for good (bad password, no
  // database), with exit code Unreachable or Permission.
  Status open();
  void close();
  bool is_open() const { return connection_ != nullptr; }

  // Runs statements by the simple protocol; every one must succeed.  Returns the last result.
  // A lost connection closes this object's connection and answers Retry.
  Result<PgResult> run(const std::string& sql);
  // Runs one statement with parameters.  Results in text form unless `binary_results`.
  Result<PgResult> run(const std::string& sql, const std::vector<PgParam>& params,
                       bool binary_results = false);

  // The error of a failed result (or of the connection when null), classified by SQLSTATE:
  //   08*, 57P0*, 40001, 40P01, 53*, 55P03, 25006 and lost connections: Retry;
  //   22*, 23*, 42804 on a row's data: Reject;  42703, 42P01, 42883, 42501 and other 42*: StopTable;
  //   anything else: Halt.  Message holds the primary message and SQLSTATE, never row values
  //   (no DETAIL).
  Error error_of(const PGresult* result) const;

  // For COPY and pipeline mode.  REQUIRES: is_open().
  PGconn* raw() { return connection_.get(); }
  const PostgresOptions& options() const { return options_; }

 private:
  struct ConnectionDeleter {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  PostgresOptions options_;
  std::unique_ptr<PGconn, ConnectionDeleter> connection_;
};

// The text of a field, "" when NULL.
inline std::string_view field(const PgResult& result, int row, int column) {
  return {PQgetvalue(result.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result.get(), row, column))};
}
inline bool is_null(const PgResult& result, int row, int column) {
  return PQgetisnull(result.get(), row, column) == 1;
}

}  // namespace lockstep
