#include "daemon/status_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <exception>
#include <map>

#include "daemon/key_text.h"
#include "daemon/verdict.h"

namespace lockstep {
namespace {

namespace json = boost::json;

double shown_estimate(const RunTableStatus& table) {
  const auto done = static_cast<double>(table.counts.rows_done);
  return table.counts.life.copied ? done : std::max(table.counts.rows_estimated, done);
}

double age_seconds(std::int64_t us) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max(0.0, std::chrono::duration<double>(now - std::chrono::microseconds(us)).count());
}

// How much was compared on both sides, when, and what of it is not equal.  Null where nobody knows.
void add_verified(json::object& object, const RunTableStatus& table, ShowValues values) {
  object["verified_through"] = nullptr;
  object["verified_age_seconds"] = nullptr;
  object["verified_rows"] = nullptr;
  object["findings"] = nullptr;
  object["clean_pass_since"] = nullptr;
  object["not_compared"] = nullptr;
  object["healed_rows"] = nullptr;
  object["compared_bytes"] = nullptr;
  object["digested_rows"] = nullptr;
  object["not_digested"] = nullptr;
  object["sample_matches"] = nullptr;
  object["sample_divergences"] = nullptr;
  object["repairs_wait"] = nullptr;
  object["ranges"] = nullptr;
  object["ranges_total"] = nullptr;
  if (!table.sweep) return;
  const TableSweep& sweep = *table.sweep;
  object["verified_rows"] = sweep.verified_rows;
  object["findings"] = sweep.open_findings;
  object["healed_rows"] = sweep.healed;
  object["ranges"] = ranges_json(sweep, values);
  object["ranges_total"] = sweep.ranges_total;
  object["compared_bytes"] =
      json::object{{"source", sweep.source_bytes}, {"target", sweep.target_bytes}};
  object["digested_rows"] = sweep.digested;
  if (!sweep.no_digests.empty()) object["not_digested"] = sweep.no_digests;
  object["sample_matches"] = sweep.sample_matches;
  object["sample_divergences"] = sweep.sample_divergences;
  if (!sweep.left.empty()) object["not_compared"] = sweep.left;
  if (!sweep.repairs_wait.empty()) object["repairs_wait"] = sweep.repairs_wait;
  if (sweep.clean_since_us != 0) object["clean_pass_since"] = time_text(sweep.clean_since_us);
  if (!sweep.verified_through) return;
  object["verified_through"] = lsn_text(*sweep.verified_through);
  object["verified_age_seconds"] = age_seconds(sweep.oldest_us);
}

}  // namespace

std::string_view table_state(const RunTableStatus& table) {
  const TableLife& life = table.counts.life;
  if (!table.stopped.empty()) return life.paused ? "paused" : "stopped";
  if (!table.counted) return "unknown";
  if (life.stage == Stage::Healing) return "healing";
  if (life.copied) return "following";
  return life.stage == Stage::Waiting ? "pending" : "backfill";
}

std::optional<std::uint64_t> rows_done(const RunTableStatus& table) {
  return table.counted ? std::optional(table.counts.rows_done) : std::nullopt;
}

std::optional<std::uint64_t> sum_known(
    const std::vector<RunTableStatus>& tables,
    const std::function<std::optional<std::uint64_t>(const RunTableStatus&)>& of) {
  if (tables.empty()) return std::nullopt;
  std::uint64_t sum = 0;
  for (const RunTableStatus& table : tables) {
    const std::optional<std::uint64_t> one = of(table);
    if (!one) return std::nullopt;
    sum += *one;
  }
  return sum;
}

std::optional<double> rows_expected(const RunTableStatus& table) {
  if (table.counts.life.copied || table.counts.rows_estimated > 0) return shown_estimate(table);
  return std::nullopt;
}

std::optional<double> row_bytes(const RunTableStatus& table) {
  const TableStatus& counts = table.counts;
  if (counts.rows_estimated <= 0 || counts.bytes_estimated <= 0) return std::nullopt;
  return counts.bytes_estimated / counts.rows_estimated;
}

json::array ranges_json(const TableSweep& sweep, ShowValues values) {
  const auto bound = [&](const std::optional<std::string>& key) {
    return !key                        ? json::value(nullptr)
           : values == ShowValues::Yes ? json::value(hex_text(*key))
                                       : json::value(masked_text(*key));
  };
  json::array ranges;
  for (const SweptRange& range : sweep.ranges) {
    json::object object;
    object["lower"] = bound(range.lower);
    object["upper"] = bound(range.upper);
    const bool known = range.at_us != 0;
    object["verified_through"] = known ? json::value(lsn_text(range.position)) : json::value();
    object["age_seconds"] = known ? json::value(age_seconds(range.at_us)) : json::value();
    object["rows"] = range.rows;
    object["order"] = range.of_target ? "target" : "source";
    ranges.push_back(std::move(object));
  }
  return ranges;
}

namespace {

template <typename Number>
json::value number_or_null(const std::optional<Number>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::object table_object(const RunTableStatus& table, ShowValues values) {
  json::object object;
  object["table"] = table.table;
  object["target"] = table.target;
  object["state"] = table_state(table);
  const std::optional<std::uint64_t> rows = rows_done(table);
  object["rows_done"] = number_or_null(rows);
  const std::optional<double> expected = rows_expected(table);
  object["rows_estimated"] = rows || expected
                                 ? json::value(static_cast<std::uint64_t>(shown_estimate(table)))
                                 : json::value(nullptr);
  object["rows_expected"] = number_or_null(expected);
  const std::optional<double> width = row_bytes(table);
  object["bytes_done"] =
      width && rows ? json::value(*width * static_cast<double>(*rows)) : json::value();
  object["bytes_expected"] = width && expected ? json::value(*width * *expected) : json::value();
  object["events_applied"] =
      table.counted ? json::value(table.counts.events_applied) : json::value(nullptr);
  object["debts"] = number_or_null(table.debts);
  object["quarantined"] = number_or_null(table.quarantined);
  object["reason"] = table.stopped.empty() ? json::value(nullptr) : json::value(table.stopped);
  add_verified(object, table, values);
  return object;
}

// Null while the copy and the comparison have all of their time.
json::value throttled_value(const Throttled& throttled) {
  if (throttled.share >= 1) return nullptr;
  json::array reasons;
  for (const std::string& reason : throttled.reasons) reasons.emplace_back(reason);
  return json::object{{"share", throttled.share},
                      {"reasons", std::move(reasons)},
                      {"since", time_text(throttled.since_us)}};
}

json::value kept_wal_value(const std::optional<KeptWal>& kept) {
  if (!kept) return nullptr;
  return json::object{{"mb", kept->mb},
                      {"limit_mb", number_or_null(kept->limit_mb)},
                      {"full_in_seconds", number_or_null(kept->full_in_seconds)}};
}

// "3 h 10 min".
std::string duration_text(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  const auto minutes = static_cast<std::int64_t>(seconds / 60);
  if (minutes < 60) return fmt::format("{} min", minutes);
  if (minutes / 60 < 48) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} days", minutes / 60 / 24);
}

// Only what somebody should know: that it comes to an end.
std::string kept_wal_text(const json::object& status) {
  const json::value* const kept = status.if_contains("kept_wal");
  if (kept == nullptr || !kept->is_object() || kept->at("full_in_seconds").is_null()) return {};
  return fmt::format(
      "the source keeps {:.0f} MiB of its log for us; at this rate its limit of {:.0f} MiB is "
      "reached in {}\n",
      kept->at("mb").to_number<double>(), kept->at("limit_mb").to_number<double>(),
      duration_text(kept->at("full_in_seconds").to_number<double>()));
}

std::string throttled_text(const json::object& status) {
  std::string unknown;
  if (const json::value* const lines = status.if_contains("throttle_unknown"))
    for (const json::value& line : lines->as_array())
      unknown += "throttle does not know " + std::string(line.as_string()) + "\n";
  const json::value* const throttled = status.if_contains("throttled");
  if (throttled == nullptr || !throttled->is_object()) return unknown;
  const json::object& object = throttled->get_object();
  std::string reasons;
  for (const json::value& reason : object.at("reasons").as_array())
    reasons += (reasons.empty() ? "" : ", ") + std::string(reason.as_string());
  return unknown + fmt::format("throttled to {:.0f} % of the time since {}: {}\n",
                               100 * object.at("share").to_number<double>(),
                               text_of(object, "since"), reasons);
}

// "unknown for 12 s", or "unknown" when nobody measured.
std::string unknown_lag(const json::object& status) {
  const json::value* time = status.if_contains("lag_unknown_for_seconds");
  const double seconds = time == nullptr || time->is_null() ? 0 : time->to_number<double>();
  return seconds < 1 ? "unknown" : fmt::format("unknown for {:.0f} s", seconds);
}

// "17 s ago" of a table of which every row was compared; else how many were.
std::string verified_text(const json::object& table) {
  const json::value* age = table.if_contains("verified_age_seconds");
  if (age == nullptr || age->is_null()) {
    const std::string rows = text_of(table, "verified_rows");
    return rows == "-" ? rows : rows + " rows";
  }
  const double seconds = age->to_number<double>();
  return seconds < 600    ? fmt::format("{:.0f} s ago", seconds)
         : seconds < 7200 ? fmt::format("{:.0f} min ago", seconds / 60)
                          : fmt::format("{:.0f} h ago", seconds / 3600);
}

// "aggregates 3 equal, 1 different (revenue): lockstep aggregates shop.yaml".
std::string aggregates_text(const json::object& status, const std::string& manifest) {
  const json::value* const all = status.if_contains("aggregates");
  if (all == nullptr || !all->is_array() || all->get_array().empty()) return {};
  std::map<std::string, std::vector<std::string>> names;  // By state.
  for (const json::value& one : all->get_array())
    names[text_of(one.as_object(), "state")].push_back(text_of(one.as_object(), "name"));
  std::string text;
  for (const auto& [state, of_state] : names) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", of_state.size(), state);
    if (state != "equal") text += fmt::format(" ({})", some_of(of_state));
  }
  if (names.size() > 1 || !names.contains("equal")) text += ": lockstep aggregates " + manifest;
  return "aggregates " + text + "\n";
}

// How what an operator holds goes on.
std::string paused_text(const json::object& status, const std::string& manifest) {
  const json::value* const paused = status.if_contains("paused");
  if (paused == nullptr || !paused->is_array() || paused->get_array().empty()) return {};
  if (paused->get_array().size() > 1)
    return "next: lockstep resume " + manifest + " ends all of these pauses\n";
  const json::object& one = paused->get_array().front().as_object();
  const std::string scope = text_of(one, "scope");
  const std::string option = scope == "table"   ? " --table '" + text_of(one, "table") + "'"
                             : scope == "abort" ? ""
                                                : " --scope " + scope;
  return "next: lockstep resume " + manifest + option + "\n";
}

std::string proof_text(const json::object& status) {
  const json::value* age = status.if_contains("proof_age_seconds");
  if (age == nullptr || age->is_null()) return "  proof " + text_of(status, "proof");
  return fmt::format("  proof {}, as of {:.1f} s ago, position {}", text_of(status, "proof"),
                     age->to_number<double>(), text_of(status, "proof_position"));
}

}  // namespace

TableName table_of(std::string_view text) {
  const std::size_t dot = text.find('.');
  return {std::string(text.substr(0, dot)), std::string(text.substr(dot + 1))};
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i)
    list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most) list += fmt::format(" and {} more", names.size() - most);
  return list;
}

std::string time_text(std::int64_t us) {
  if (us == 0) return "";
  const std::chrono::sys_time<std::chrono::microseconds> time{std::chrono::microseconds(us)};
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", std::chrono::floor<std::chrono::seconds>(time));
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return "-";
  return value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
}

std::string tables_json(const RunStatus& status, ShowValues values) {
  json::array tables;
  for (const RunTableStatus& table : status.tables) tables.push_back(table_object(table, values));
  return json::serialize(json::object{{"tables", std::move(tables)}});
}

std::string table_json(const RunTableStatus& table, ShowValues values) {
  return json::serialize(table_object(table, values));
}

json::array paused_json(const std::vector<PausedScope>& paused) {
  json::array list;
  for (const PausedScope& one : paused)
    list.push_back(
        {{"scope", one.scope},
         {"table", one.table.empty() ? json::value(nullptr) : json::value(one.table)},
         {"by", one.actor},
         {"reason", one.reason},
         {"since", time_text(one.since_us)},
         {"waits_for", one.waits_for.empty() ? json::value(nullptr) : json::value(one.waits_for)}});
  return list;
}

namespace {

json::value eta_value(const std::optional<Eta>& eta) {
  if (!eta) return nullptr;
  return json::object{{"p50_seconds", eta->p50_seconds},
                      {"p90_seconds", number_or_null(eta->p90_seconds)}};
}

// "copied in 10 min at the rate of the last minutes, 14 min if it is slow".
std::string eta_text(const json::object& status) {
  const json::value* const eta = status.if_contains("eta");
  if (eta == nullptr || !eta->is_object()) return {};
  const json::value& slow = eta->at("p90_seconds");
  return fmt::format(
      "copied in about {}, {}\n", duration_text(eta->at("p50_seconds").to_number<double>()),
      slow.is_null() ? "or later: it stood still for a part of the last ten minutes"
                     : duration_text(slow.to_number<double>()) + " if it goes slowly");
}

}  // namespace

std::string status_json(const Told& told, const RunStatus& status,
                        const std::vector<AggregateResult>& aggregates) {
  json::object document;
  document["migration"] = told.migration;
  const MigrationVerdict found = verdict_of(status, told.manifest, aggregates);
  const std::string set =
      told.set.empty() ? "" : fmt::format("; set by hand: {}", some_of(told.set));
  document["verdict"] = json::object{{"mood", mood_text(found.mood)}, {"text", found.text + set}};
  document["set"] = json::array(told.set.begin(), told.set.end());
  document["phase"] = phase_text(status.phase);
  document["eta"] = eta_value(told.eta);
  document["synced"] = status.synced;
  document["lag_seconds"] = number_or_null(status.lag_seconds);
  document["lag_unknown_for_seconds"] =
      status.lag_seconds ? json::value(nullptr) : json::value(status.lag_unknown_seconds);
  json::object positions;
  for (const auto& [name, position] : status.positions) positions[name] = position.major;
  document["positions"] = std::move(positions);
  document["proof"] = status.proof && status.proof->exact ? "exact" : "near";
  const std::optional<Proof>& proof = status.proof;
  document["proof_age_seconds"] = proof ? json::value(proof->age_seconds) : json::value();
  document["proof_position"] = proof ? json::value(lsn_text(proof->position)) : json::value();
  json::array waiting;
  for (const std::string& line : status.waiting_for) waiting.emplace_back(line);
  document["waiting_for"] = std::move(waiting);
  document["paused"] = paused_json(status.paused);
  document["throttled"] = throttled_value(status.throttled);
  document["kept_wal"] = kept_wal_value(status.kept_wal);
  json::array unknown;
  for (const std::string& line : status.throttled.unknown) unknown.emplace_back(line);
  document["throttle_unknown"] = std::move(unknown);
  document["last_run"] =
      status.last_run.empty() ? json::value(nullptr) : json::value(status.last_run);
  document["source"] = status.source_state;
  document["queue_bytes"] = status.queue_bytes;
  document["foreign_writers"] =
      status.foreign_writers.empty() ? json::value(nullptr) : json::value(status.foreign_writers);
  document["reconcile"] =
      status.reconcile.empty() ? json::value(nullptr) : json::value(status.reconcile);
  json::array tables;
  for (const RunTableStatus& table : status.tables)
    tables.push_back(table_object(table, told.values));
  document["tables"] = std::move(tables);
  document["aggregates"] = results_json(aggregates);
  return json::serialize(document);
}

std::string status_text(const std::string& text, const std::string& manifest) {
  try {
    const json::value document = json::parse(text);
    const json::object& status = document.as_object();
    const json::value& lag = status.at("lag_seconds");
    const bool synced = status.at("synced").as_bool();
    std::string out = fmt::format(
        "migration {}  phase {}  synced {}  lag {}{}\n", text_of(status, "migration"),
        text_of(status, "phase"), synced,
        lag.is_null() ? unknown_lag(status) : fmt::format("{:.1f} s", lag.to_number<double>()),
        synced ? proof_text(status) : "");
    if (const json::value* found = status.if_contains("verdict"))
      out += fmt::format("{}: {}\n", text_of(found->as_object(), "mood"),
                         text_of(found->as_object(), "text"));
    if (const std::string last = text_of(status, "last_run"); last.size() > 1)
      out += fmt::format("the last run ended synced: {}\n", last);
    if (const std::string source = text_of(status, "source"); source.size() > 1)
      out += fmt::format("source {}\n", source);
    for (const json::value& line : status.at("waiting_for").as_array())
      out += fmt::format("waiting for {}\n", std::string(line.as_string()));
    out += eta_text(status) + paused_text(status, manifest) + throttled_text(status) +
           kept_wal_text(status);
    if (const std::string reconcile = text_of(status, "reconcile"); reconcile.size() > 1)
      out += fmt::format("reconcile {}\n", reconcile);
    const std::string foreign = text_of(status, "foreign_writers");
    if (foreign.size() > 1 && text_of(status, "reconcile") != "off") out += foreign + "\n";
    out += aggregates_text(status, manifest);
    out += fmt::format("{:<40} {:<10} {:>12} {:>13} {:>8} {:>11} {:>12} {:>8}  {}\n", "table",
                       "state", "rows done", "rows ~total", "debts", "quarantined", "verified",
                       "findings", "reason");
    for (const json::value& entry : status.at("tables").as_array()) {
      const json::object& table = entry.as_object();
      out += fmt::format(
          "{:<40} {:<10} {:>12} {:>13} {:>8} {:>11} {:>12} {:>8}  {}\n", text_of(table, "table"),
          text_of(table, "state"), text_of(table, "rows_done"), text_of(table, "rows_estimated"),
          text_of(table, "debts"), text_of(table, "quarantined"), verified_text(table),
          text_of(table, "findings"), text_of(table, "reason"));
      if (const std::string why = text_of(table, "repairs_wait"); why.size() > 1)
        out +=
            fmt::format("  {} is not repaired by itself: {}; next: lockstep repair {} --table {}\n",
                        text_of(table, "table"), why, manifest, text_of(table, "table"));
    }
    return out;
  } catch (const std::exception&) {
    return text + "\n";  // Not a status: shown as it is.
  }
}

bool status_is_synced(const std::string& text) {
  boost::system::error_code error;
  const json::value document = json::parse(text, error);
  const json::object* status = error ? nullptr : document.if_object();
  const json::value* synced = status == nullptr ? nullptr : status->if_contains("synced");
  return synced != nullptr && synced->is_bool() && synced->as_bool();
}

std::optional<double> proof_age(const std::string& text) {
  boost::system::error_code error;
  const json::value document = json::parse(text, error);
  const json::object* status = error ? nullptr : document.if_object();
  const json::value* age = status == nullptr ? nullptr : status->if_contains("proof_age_seconds");
  if (age == nullptr || !age->is_number()) return std::nullopt;
  return age->to_number<double>();
}

std::string not_proven(const std::string& text) {
  boost::system::error_code error;
  json::value document = json::parse(text, error);
  json::object* status = error ? nullptr : document.if_object();
  if (status == nullptr) return text;
  (*status)["synced"] = false;
  if (json::value* waiting = status->if_contains("waiting_for"); waiting && waiting->is_array())
    waiting->as_array().emplace_back("a proof that began when it was asked for");
  return json::serialize(document);
}

std::string proof_note(const Proof& proof) {
  const std::chrono::sys_time<std::chrono::microseconds> at{std::chrono::microseconds(proof.at_us)};
  return fmt::format(
      "what was committed before {:%Y-%m-%dT%H:%M:%SZ} (position {}) is on the target; proof {}",
      std::chrono::floor<std::chrono::seconds>(at), lsn_text(proof.position),
      proof.exact ? "exact" : "near");
}

std::string progress_line(const RunStatus& status) {
  double done = 0, total = 0;
  std::uint64_t events = 0, stopped = 0;
  for (const RunTableStatus& table : status.tables) {
    done += static_cast<double>(table.counts.rows_done);
    total += shown_estimate(table);
    events += table.counts.events_applied;
    stopped += table.stopped.empty() ? 0 : 1;
  }
  // Before the tables are known there is nothing of which a share could be done.
  const std::string rows = status.tables.empty()
                               ? "unknown"
                               : fmt::format("{:.0f}/~{:.0f} rows {:.1f}%", done, total,
                                             total > 0 ? 100.0 * done / total : 100.0);
  const std::string lag =
      status.lag_seconds ? fmt::format("{:.1f}s", *status.lag_seconds) : "unknown";
  const auto debts = sum_known(status.tables, &RunTableStatus::debts);
  std::string line = fmt::format(
      "{} {} | lag {} events {} queue {}KiB | debts {} stopped {}", phase_text(status.phase), rows,
      lag, events, status.queue_bytes / 1024, debts ? std::to_string(*debts) : "unknown", stopped);
  if (status.throttled.share < 1)
    line += " | throttled: " + fmt::format("{}", fmt::join(status.throttled.reasons, ", "));
  if (!status.waiting_for.empty()) line += " | waiting for " + status.waiting_for.front();
  return line;
}

}  // namespace lockstep
