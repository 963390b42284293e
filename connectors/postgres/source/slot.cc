#include "connectors/postgres/source/slot.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr int kAskEveryMs = 500;

// Of a slot that is gone there is nothing to be read: one row in any case.
constexpr const char* kStream = R"(
SELECT pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot()),
       coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn), 0)::bigint,
       coalesce(a.application_name, ''), current_setting('synchronous_standby_names')
FROM (VALUES ($1::name)) w(name)
LEFT JOIN pg_replication_slots s ON s.slot_name = w.name
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid)";

}  // namespace

std::optional<std::string> slot_fault(const SlotFacts& slot, const std::string& database) {
  if (slot.plugin.empty()) return "is a physical slot";
  if (slot.plugin != "pgoutput") return "has plugin " + slot.plugin + ", not pgoutput";
  if (slot.database != database) return "belongs to database " + slot.database;
  if (slot.temporary) return "is temporary";
  if (slot.two_phase) return "decodes prepared transactions before they commit (two_phase)";
  if (slot.wal_status == "lost") return "has lost its log (wal_status lost)";
  return std::nullopt;
}

std::optional<std::string> stream_fault(const std::string& name, const SlotFacts& slot,
                                        Lsn insert_lsn, Lsn progress) {
  if (const Lsn at = slot.confirmed_flush_lsn.value_or(0); at > progress)
    return fmt::format(
        "slot {} stands at {}, ahead of lockstep's progress {}: somebody else read "
        "from it or made it again, and what lies between is lost to the stream",
        name, lsn_text(at), lsn_text(progress));
  if (insert_lsn < progress)
    return fmt::format(
        "the source's log ends at {}, before lockstep's progress {}: it was "
        "restored from a backup",
        lsn_text(insert_lsn), lsn_text(progress));
  return std::nullopt;
}

// A server on an operating system that cannot tell (Windows, old ones of macOS) refuses it, and
// notices only at its next word to us.
Status ask_to_look_for_us(PostgresConnection& connection) {
  constexpr std::string_view kRefusedValue = "22023";
  auto asked = connection.run("SET client_connection_check_interval = '1s'");
  if (asked || asked.error().code == kRefusedValue) return {};
  return fail(for_server(std::move(asked).error()));
}

Result<Lsn> make_slot(PostgresConnection& connection, const std::string& name,
                      const std::function<bool()>& goes_on) {
  LOCKSTEP_TRY(ask_to_look_for_us(connection));
  LOCKSTEP_ASSIGN(const PgResult made,
                  make_slot_by(connection,
                               fmt::format("SELECT lsn FROM pg_catalog."
                                           "pg_create_logical_replication_slot({}, 'pgoutput')",
                                           quote_literal(name)),
                               name, goes_on));
  return parse_lsn(field(made, 0, 0));
}

Result<PgResult> make_slot_by(PostgresConnection& connection, const std::string& command,
                              const std::string& name, const std::function<bool()>& goes_on) {
  PGconn* const raw = connection.raw();
  if (PQsendQuery(raw, command.c_str()) != 1) {
    Error error = connection.error_of(nullptr);
    connection.close();
    return fail(std::move(error));
  }
  bool given_up = false;
  while (PQisBusy(raw) == 1) {
    pollfd socket{PQsocket(raw), POLLIN, 0};
    const int ready = ::poll(&socket, 1, kAskEveryMs);
    if (ready != 0 && PQconsumeInput(raw) == 0) break;  // The result says what was lost.
    if (ready != 0 || given_up || goes_on()) continue;
    connection.cancel();
    given_up = true;
  }
  auto made = connection.check(PQgetResult(raw));
  while (connection.is_open()) {
    const PgResult rest(PQgetResult(raw));
    if (rest == nullptr) break;
  }
  if (given_up) return fail(Reaction::Cancel, "asked to stop", ExitCode::Ok);
  if (!made) return fail(for_server(std::move(made).error()).during("while making slot " + name));
  return made;
}

Result<StreamFacts> read_stream_facts(PostgresConnection& connection, const std::string& slot) {
  StreamFacts facts;
  LOCKSTEP_ASSIGN(facts.slot, read_slot(connection, slot));
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kStream, {{.value = slot}}));
  LOCKSTEP_ASSIGN(facts.insert_lsn, parse_lsn(field(row, 0, 0)));
  facts.next_xid = number_field<Xid>(row, 0, 1);
  facts.kept_bytes = number_field<std::uint64_t>(row, 0, 2);
  facts.reader = text_field(row, 0, 3);
  facts.synchronous_standby_names = text_field(row, 0, 4);
  return facts;
}

bool is_synchronous(std::string_view names, std::string_view name) {
  std::string element;
  bool quoted = false;
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  const auto ends = [&] { return element == "*" || std::ranges::equal(element, name, same); };
  for (const char c : names) {
    if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || c == '(' || c == ')')) {
      if (ends()) return true;
      element.clear();
    } else if (quoted || c != ' ') {
      element += c;
    }
  }
  return ends();
}

Status drop_slot(PostgresConnection& connection, const std::string& name,
                 std::optional<int> reader) {
  if (reader)
    LOCKSTEP_TRY(connection.ask("SELECT pg_terminate_backend($1::int, 5000)",
                                {{.value = std::to_string(*reader)}}));
  LOCKSTEP_TRY(connection.ask("SELECT pg_drop_replication_slot($1)", {{.value = name}}));
  return {};
}

Status end_reader(PostgresConnection& connection, int pid) {
  const std::string number = std::to_string(pid);
  LOCKSTEP_TRY(connection.ask("SELECT pg_terminate_backend($1::int)", {{.value = number}}));
  return {};
}

}  // namespace lockstep
