#include "connectors/postgres/wire/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

// Unless the manifest gives them: a peer that vanished is noticed within about a minute.
constexpr std::array<std::pair<const char*, const char*>, 6> kDefaults{{
    {"connect_timeout", "10"},
    {"keepalives", "1"},
    {"keepalives_idle", "30"},
    {"keepalives_interval", "10"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "60000"},
}};

// Whatever a server, a database or a role sets by default, our sessions are alike: text forms and
// how they are read, name resolution, which rows a statement sees, whether it may write, and no
// limit of the role's, since a snapshot is held for as long as it is read.  None of them needs a
// snapshot: under a default of serializable, read only and deferrable the first one may wait for
// every transaction that writes.
constexpr std::array kSession{
    "SET default_transaction_isolation = 'read committed'",
    "SET default_transaction_read_only = off",
    "SET default_transaction_deferrable = off",
    "SET default_tablespace = ''",
    "SET statement_timeout = 0",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    // The source is told to forget what was committed (I13): a server must not lose it by a crash.
    // Set whatever it is: another default must not reach a session that is open already.
    "SELECT pg_catalog.set_config('synchronous_commit', CASE v WHEN 'off' THEN 'on' ELSE v END,"
    " false) FROM pg_catalog.current_setting('synchronous_commit') v",
};

// Of these, what texts and names mean, and which rows a statement sees.
constexpr std::array kMeaning{
    "SET client_encoding = 'UTF8'",   "SET DateStyle = 'ISO, MDY'",
    "SET IntervalStyle = 'postgres'", "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",       "SET TimeZone = 'UTC'",
    "SET lc_monetary = 'C'",          "SET quote_all_identifiers = off",
    "SET search_path = ''",           "SET xmloption = content",
    "SET row_security = off",         "SET transform_null_equals = off",
    "SET array_nulls = on",           "SET standard_conforming_strings = on",
};

// Those that not every version has.
constexpr const char* kSessionWhereKnown =
    "SELECT pg_catalog.set_config(s.name, v.value, false)"
    " FROM (VALUES ('idle_session_timeout', '0'), ('transaction_timeout', '0'),"
    " ('timezone_abbreviations', 'Default'), ('xmlbinary', 'base64'), ('exit_on_error', 'off'),"
    " ('backslash_quote', 'safe_encoding'), ('gin_fuzzy_search_limit', '0')) v(name, value)"
    " JOIN pg_catalog.pg_settings s USING (name)";

// A replication connection takes one statement at a time; any other takes all in one round trip.
bool takes_lists(const PostgresOptions& options) {
  return std::ranges::none_of(options.keywords,
                              [](const auto& keyword) { return keyword.first == "replication"; });
}

bool starts_with_any(std::string_view code, std::initializer_list<std::string_view> classes) {
  return std::any_of(classes.begin(), classes.end(),
                     [code](std::string_view prefix) { return code.starts_with(prefix); });
}

// One line of a message that may have several.  Until its session is set up a server says it in an
// encoding of its own.
std::string trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string line;
  for (const char c : text) {
    if (c != '\n' && c != '\t')
      line += c;
    else if (!line.ends_with(' '))
      line += ' ';
  }
  return valid_utf8(std::move(line));
}

// Leaves out what stands between quotes: messages of class 22 quote the offending value there.
// A value may hold quotes itself, hence from the first to the last one.
std::string without_quoted(std::string message) {
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"\"", "\""},
                                    {"\u00ab", "\u00bb"},
                                    {"\u201e", "\u201c"}}) {
    const auto first = message.find(open);
    const auto last = message.rfind(close);
    if (first == std::string::npos || last == std::string::npos || last <= first) continue;
    message.replace(first, last + close.size() - first, "(value not shown)");
  }
  return message;
}

std::string_view result_field(const PGresult* result, int which) {
  const char* text = result == nullptr ? nullptr : PQresultErrorField(result, which);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

// In which function of the database a name was not found, or a right was lacking: such a line of
// the context holds no value, as that of a COPY or of a statement does.
std::string function_of(const PGresult* result) {
  const std::string_view code = result_field(result, PG_DIAG_SQLSTATE);
  if (!code.starts_with("42")) return {};
  std::string_view context = result_field(result, PG_DIAG_CONTEXT);
  while (!context.empty()) {
    const std::string_view line = context.substr(0, context.find('\n'));
    context.remove_prefix(std::min(line.size() + 1, context.size()));
    if (!line.starts_with("SQL function \"") && !line.starts_with("PL/")) continue;
    return fmt::format(
        " in {}{}", trimmed(line),
        code == "42501" ? ""
                        : ": our search_path is empty, ALTER FUNCTION .. SET search_path cures it");
  }
  return {};
}

}  // namespace

bool names_a_function(const Error& error) {
  return error.code.starts_with("42") &&
         (error.message.find(" in PL/") != error.message.npos ||
          error.message.find(" in SQL function") != error.message.npos);
}

namespace {

bool succeeded(const PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_PIPELINE_SYNC:
      return true;
    default:
      return false;
  }
}

// The last SQLSTATE in a verbose connection error, "...: FATAL:  28P01: password ...", or "".
// The severity word is translated by the server, so only the code's shape is looked for.
std::string sqlstate_in(std::string_view message) {
  const auto is_code = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
  std::string found;
  for (std::size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view code = message.substr(at + 3, 5);
    if (code.size() == 5 && std::all_of(code.begin(), code.end(), is_code) &&
        message.substr(at + 8, 2) == ": ")
      found = code;
  }
  return found;
}

// Whether a server has said why it refuses us, and not its SQLSTATE: "FATAL:  password ..".  What
// libpq says itself has no such form.
bool lacks_sqlstate(std::string_view message) {
  return message.find(":  ") != message.npos && sqlstate_in(message).empty();
}

// Of a list of hosts libpq takes the first that answers, which may be a standby while the primary
// starts again.
bool has_several_hosts(const ConnectKeywords& keywords) {
  return std::ranges::any_of(keywords, [](const auto& keyword) {
    return (keyword.first == "host" || keyword.first == "hostaddr") &&
           keyword.second.find(',') != std::string::npos;
  });
}

// What a message of libpq asks the operator to do, where it does not say so itself.
std::string_view remedy(std::string_view message) {
  const auto says = [&](std::string_view words) { return message.find(words) != message.npos; };
  if (says("does not support SSL"))
    return "; lockstep asks for sslmode verify-full unless `connect` says otherwise: turn TLS on "
           "at "
           "the server, or write `sslmode: disable` where nobody else can reach the network";
  if (says("root certificate file"))
    return "; write `sslrootcert: FILE` (the authority that signed the server's certificate) into "
           "`connect`, or `sslmode: require` to encrypt without knowing to whom";
  return {};
}

}  // namespace

Reaction reaction_to(std::string_view sqlstate) {
  if (starts_with_any(sqlstate,
                      {"08", "57", "40", "53", "58", "55006", "55P03", "25006", "25P03", "25P04"}))
    return Reaction::Retry;
  if (starts_with_any(sqlstate, {"22", "23", "44000", "42804"})) return Reaction::Reject;
  if (starts_with_any(sqlstate, {"42", "0A000", "3F000"})) return Reaction::StopTable;
  return Reaction::Halt;
}

Error for_server(Error error) {
  if (error.reaction == Reaction::StopTable || error.reaction == Reaction::Reject)
    error.reaction = Reaction::Halt;
  return error;
}

Error for_table(Error error) {
  if (error.reaction == Reaction::Reject) error.reaction = Reaction::StopTable;
  return stop_if_damaged(std::move(error));
}

Error stop_if_damaged(Error error) {
  const bool damaged = error.code.starts_with("XX");
  if (!damaged && !error.code.starts_with("54")) return error;
  error.reaction = Reaction::StopTable;
  error.message += damaged ? "; where this says that the table or an index of it is damaged there: "
                             "REINDEX TABLE, and repair or delete the rows that cannot be read"
                           : "; a row of it is too large for that server to send: make it smaller";
  return error;
}

std::span<const char* const> meaning_of_sql() { return kMeaning; }

PostgresConnection::PostgresConnection(PostgresOptions options) : options_(std::move(options)) {}

Status PostgresConnection::open() {
  if (is_open()) return {};
  LOCKSTEP_TRY(connect());
  // Warnings of the server are for its log; libpq's default would write them to stderr.
  PQsetNoticeProcessor(raw(), [](void*, const char*) {}, nullptr);
  if (auto prepared = prepare_session(); !prepared.has_value()) {
    close();
    return fail(for_server(std::move(prepared).error()).during("while setting up a session"));
  }
  return {};
}

Status PostgresConnection::connect() {
  std::vector<const char*> names;
  std::vector<const char*> values;
  const auto add = [&](const char* name, const char* value) {
    names.push_back(name);
    values.push_back(value);
  };
  for (const auto& [name, value] : kDefaults) add(name, value);
  if (has_several_hosts(options_.keywords)) add("target_session_attrs", "primary");
  // Of a keyword given twice libpq takes the last.
  for (const auto& [name, value] : options_.keywords) add(name.c_str(), value.c_str());
  LOCKSTEP_ASSIGN(const ConnectKeywords secrets,
                  options_.secrets ? options_.secrets() : ConnectKeywords());
  for (const auto& [name, value] : secrets) add(name.c_str(), value.c_str());
  if (!options_.application_name.empty())
    add("application_name", options_.application_name.c_str());
  add(nullptr, nullptr);

  connection_.reset(PQconnectdbParams(names.data(), values.data(), 0));
  if (connection_ == nullptr) return fail(Reaction::Retry, "out of memory in libpq");
  if (PQstatus(raw()) != CONNECTION_OK && lacks_sqlstate(PQerrorMessage(raw()))) {
    // libpq tells the SQLSTATE of a refused connection only in a verbose message, and verbosity
    // can be set only on a PGconn that exists: so ask once more, but nobody who has not answered.
    PQsetErrorVerbosity(raw(), PQERRORS_VERBOSE);
    PQreset(raw());
  }
  if (PQstatus(raw()) != CONNECTION_OK) {
    Error error = connect_error();
    close();
    return fail(std::move(error));
  }
  PQsetErrorVerbosity(raw(), PQERRORS_DEFAULT);
  open_ =
      std::make_unique<OpenConnection>(PQsocket(raw()), options_.side, options_.application_name);
  return {};
}

Error PostgresConnection::connect_error() const {
  PGconn* connection = connection_.get();
  const std::string message = PQerrorMessage(connection);
  Error error{Reaction::Retry, {}, ExitCode::Unreachable, sqlstate_in(message)};
  const std::string_view code = error.code;
  if (starts_with_any(code, {"28", "42501"}) || PQconnectionNeedsPassword(connection) == 1) {
    // Of a role that was let in before, somebody changes the password or pg_hba.conf just now.
    error.reaction = options_.refused == Refused::Waits ? Reaction::Retry : Reaction::Halt;
    error.exit = ExitCode::Permission;
  } else if (!code.empty() && !starts_with_any(code, {"08", "53", "55", "57", "58"})) {
    // 3D000 (no such database) and the like: asking again changes nothing.
    error.reaction = Reaction::Halt;
  }
  // The verbose form goes on with LOCATION, which says nothing to people.
  const std::string shown = message.substr(0, message.find("\nLOCATION:"));
  error.message =
      fmt::format("cannot connect to the {}: {}{}", options_.side, trimmed(shown), remedy(message));
  return error;
}

Status PostgresConnection::prepare_session() {
  if (takes_lists(options_)) {
    LOCKSTEP_TRY(run(fmt::format("{};{}", fmt::join(kSession, ";"), fmt::join(kMeaning, ";"))));
  } else {
    for (const char* statement : kSession) LOCKSTEP_TRY(run(statement));
    for (const char* statement : kMeaning) LOCKSTEP_TRY(run(statement));
  }
  LOCKSTEP_TRY(run(kSessionWhereKnown));
  for (const std::string& statement : options_.setup) LOCKSTEP_TRY(run(statement));
  return {};
}

void PostgresConnection::close() {
  copied_.reset();
  open_.reset();
  connection_.reset();
}

void PostgresConnection::cancel() {
  if (!is_open()) return;
  const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> handle(PQgetCancel(raw()), PQfreeCancel);
  std::array<char, 256> why{};  // Nobody asks: the statement's own result says what became of it.
  if (handle != nullptr) PQcancel(handle.get(), why.data(), static_cast<int>(why.size()));
}

Result<PgResult> PostgresConnection::run(const std::string& sql) {
  if (!is_open()) return fail(Reaction::Retry, options_.side + ": not connected");
  return check(waits([&](PGconn* raw) { return PQexec(raw, sql.c_str()); }));
}

Result<PgResult> PostgresConnection::run(const std::string& sql, const std::vector<PgParam>& params,
                                         bool binary_results) {
  if (!is_open()) return fail(Reaction::Retry, options_.side + ": not connected");
  const std::size_t count = params.size();
  std::vector<Oid> types(count);
  std::vector<const char*> values(count);
  std::vector<int> lengths(count);
  std::vector<int> formats(count);
  std::vector<std::string> terminated;  // libpq reads text parameters up to their NUL.
  terminated.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const PgParam& param = params[i];
    types[i] = param.type;
    formats[i] = param.binary ? 1 : 0;
    if (!param.value.has_value()) continue;
    if (param.binary) {
      // An empty view may have a null pointer, which libpq would send as NULL.
      values[i] = param.value->empty() ? "" : param.value->data();
      lengths[i] = static_cast<int>(param.value->size());
    } else {
      values[i] = terminated.emplace_back(*param.value).c_str();
    }
  }
  return check(waits([&](PGconn* raw) {
    return PQexecParams(raw, sql.c_str(), static_cast<int>(count), types.data(), values.data(),
                        lengths.data(), formats.data(), binary_results ? 1 : 0);
  }));
}

Result<PgResult> PostgresConnection::ask(const std::string& sql,
                                         const std::vector<PgParam>& params) {
  quoted_ = Quoted::Shown;
  auto result = run(sql, params);
  quoted_ = Quoted::Hidden;
  if (!result.has_value()) return fail(for_server(std::move(result).error()));
  return result;
}

Result<PgResult> PostgresConnection::check(PGresult* result) {
  PgResult owned(result);
  if (succeeded(result)) return owned;
  Error error = error_of(result);
  if (!is_open()) return fail(std::move(error));
  const std::string_view severity = result_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (PQstatus(raw()) == CONNECTION_BAD || severity == "FATAL" || severity == "PANIC") close();
  return fail(std::move(error));
}

Result<std::optional<std::string_view>> PostgresConnection::next_copy() {
  copied_.reset();
  if (!is_open()) return fail(Reaction::Retry, options_.side + ": not connected");
  char* bytes = nullptr;
  const int length = waits([&](PGconn* raw) { return PQgetCopyData(raw, &bytes, 0); });
  if (length > 0) {
    copied_.reset(bytes);
    return std::string_view(bytes, static_cast<std::size_t>(length));
  }
  if (length < -1) {
    LOCKSTEP_TRY(check(waits(PQgetResult)));
    return fail(Reaction::Retry, options_.side + ": the COPY broke off");
  }
  // Read to the end, or the connection stays busy; the first failure is the answer.
  std::optional<Error> failure;
  while (is_open()) {
    PGresult* result = waits(PQgetResult);
    if (result == nullptr) break;
    if (auto checked = check(result); !checked.has_value() && !failure.has_value())
      failure = std::move(checked).error();
  }
  if (failure.has_value()) return fail(std::move(*failure));
  return std::optional<std::string_view>();
}

Error PostgresConnection::error_of(const PGresult* result) const {
  const std::string_view code = result_field(result, PG_DIAG_SQLSTATE);
  const std::string_view severity = result_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (code.empty()) {
    const std::string message =
        connection_ == nullptr ? "not connected" : trimmed(PQerrorMessage(connection_.get()));
    return {
        Reaction::Retry, fmt::format("{}: {}", options_.side, message), ExitCode::Unreachable, {}};
  }
  std::string primary = trimmed(result_field(result, PG_DIAG_MESSAGE_PRIMARY));
  const std::string detail = trimmed(result_field(result, PG_DIAG_MESSAGE_DETAIL));
  if (quoted_ == Quoted::Shown && !detail.empty()) primary += ": " + detail;
  Error error = error_of(code, primary);
  error.message += function_of(result);
  // The server ended the session; whatever the reason, the next one may live.
  if (severity == "FATAL" || severity == "PANIC") error.reaction = Reaction::Retry;
  if (error.reaction == Reaction::Retry) error.exit = ExitCode::Unreachable;
  return error;
}

Error PostgresConnection::error_of(std::string_view code, std::string_view primary) const {
  std::string message = trimmed(primary);
  if (quoted_ == Quoted::Hidden && code.starts_with("22"))
    message = without_quoted(std::move(message));
  Error error{reaction_to(code), fmt::format("{}: {} ({})", options_.side, message, code),
              code == "42501" ? ExitCode::Permission : ExitCode::BadData, std::string(code)};
  if (error.reaction == Reaction::Retry) error.exit = ExitCode::Unreachable;
  return error;
}

}  // namespace lockstep
