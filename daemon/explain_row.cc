#include "daemon/explain_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <limits>
#include <utility>
#include <vector>

#include "checkpoint/state_lock.h"
#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/source/stream.h"
#include "connectors/postgres/wire/rows.h"
#include "daemon/control_client.h"
#include "daemon/fingerprint.h"
#include "daemon/key_text.h"
#include "daemon/offline_status.h"
#include "daemon/row_json.h"
#include "daemon/row_key.h"
#include "daemon/row_verdict.h"
#include "daemon/run_state.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"
#include "daemon/waits.h"
#include "pipeline/apply/route.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/model/key.h"
#include "pipeline/reconcile/coverage.h"
#include "pipeline/reconcile/range_book.h"
#include "pipeline/tables/compared.h"

namespace lockstep {
namespace {

namespace json = boost::json;
using From = Compared::From;

// For the proofs that rows which differ are looked at for.
constexpr std::chrono::milliseconds kProofsMax{600};
constexpr std::chrono::milliseconds kAskProofEvery{5};

PostgresOptions soon(const Manifest& manifest, Side side) {
  PostgresOptions options = connection_options(manifest, side, "explain-row");
  options.keywords.emplace_back("connect_timeout", "5");
  options.setup.emplace_back("SET statement_timeout = 10000");
  return options;
}

BookkeepingOptions bookkeeping_soon(const Manifest& manifest) {
  BookkeepingOptions options = bookkeeping_options(manifest, "explain-row");
  options.connection = soon(manifest, Side::Target);
  return options;
}

// Whether nobody has written the row between two looks.
bool is_same(const SideRow& before, const SideRow& after) {
  const bool same_writer =
      !before.writer || !after.writer || before.writer->xid == after.writer->xid;
  return before.present == after.present && before.cells == after.cells && same_writer;
}

class Explainer {
 public:
  Explainer(const Manifest& manifest, const RowQuestion& question)
      : manifest_(manifest),
        question_(question),
        source_({soon(manifest, Side::Source), std::nullopt, nullptr}),
        target_({soon(manifest, Side::Target), std::nullopt, nullptr, false}),
        bookkeeping_(bookkeeping_soon(manifest)) {}

  Result<RowAnswer> answer();

 private:
  Status plan();
  Status ask_daemon();
  Status ask_state_directory();
  Status ask_bookkeeping();
  void note_pauses(const Pauses& pauses);
  void note_mapping(const StoredMapping& mapping);
  void note_applied(const Claim& claim);
  Result<std::optional<std::size_t>> covering(const std::vector<KeyRange>& ranges);
  Result<SideRow> read(From side);
  Status compare();
  bool note_sides(const SideRow& source, const SideRow& target);
  Result<bool> prove(std::chrono::steady_clock::time_point until);

  const Manifest& manifest_;
  const RowQuestion& question_;
  PostgresReader source_;
  PostgresReader target_;
  Bookkeeping bookkeeping_;
  std::optional<KeyTexts> texts_;
  std::optional<Compared> compared_;
  std::optional<LockOwner> owner_;  // Of a daemon that answers.
  RowFacts row_;
};

Status Explainer::plan() {
  PostgresConnection source(soon(manifest_, Side::Source));
  PostgresConnection target(soon(manifest_, Side::Target));
  LOCKSTEP_ASSIGN(TablePlan plan, plan_tables(source, target, manifest_, question_.table));
  if (plan.tables.empty())
    return fail(Reaction::Halt,
                fmt::format("{} is not moved by this migration: lockstep status {} names its "
                            "tables as schema.table",
                            question_.table, manifest_.path),
                ExitCode::Usage);
  const PlannedTable& planned = plan.tables.front();
  row_.target_table = planned.selected.target.text();
  if (!planned.map && !planned.problems.empty()) row_.reason = planned.problems.front().text;
  const bool fits = planned.map.has_value();
  const TableName name = planned.selected.source;
  texts_.emplace(std::move(source), std::move(target), std::move(plan));
  if (!fits) return {};
  row_.map = texts_->find(name);
  compared_.emplace(*row_.map, 0);
  row_.keeps_rows = row_.map->keeps_rows();
  std::vector<std::string> columns;
  for (const std::size_t column : row_.map->key)
    columns.push_back(row_.map->source_column(column).name);
  LOCKSTEP_ASSIGN(const std::vector<std::string> values, parse_row_key(columns, question_.key));
  LOCKSTEP_ASSIGN(row_.key, source_.parse_key(*row_.map, values));
  row_.key_hash = key_hash(*row_.map, row_.key);
  return {};
}

// Its status is younger than what the bookkeeping says.
Status Explainer::ask_daemon() {
  LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest_));
  row_.running = owner.has_value();
  if (!owner || owner->socket.empty()) return {};
  const auto status = ask_owner(*owner, {"GET", kStatusPath, ""});
  if (!status && status.error().reaction == Reaction::Retry) return {};  // It starts, or ends.
  if (!status) return fail(status.error());
  const json::value document = json::parse(*status);
  for (const json::value& entry : document.at("tables").as_array()) {
    const json::object& table = entry.as_object();
    if (text_of(table, "table") != question_.table) continue;
    row_.state = text_of(table, "state");
    if (row_.state == "stopped" || row_.state == "paused") row_.reason = text_of(table, "reason");
    row_.copied = row_.state == "following" || row_.state == "healing";
  }
  if (row_.map == nullptr) return {};
  const std::string wanted = json::serialize(
      json::object{{"table", question_.table}, {"key_hash", key_hash_text(row_.key_hash)}});
  const auto remembered = ask_owner(*owner, {"POST", kRowPath, wanted});
  if (!remembered && remembered.error().reaction == Reaction::Retry) return {};
  if (!remembered) return fail(remembered.error());
  owner_ = owner;
  const json::value answer = json::parse(*remembered);
  if (const json::value& xid = answer.at("transaction"); !xid.is_null())
    row_.last_change = xid.to_number<Xid>();
  return {};
}

// The index of the range that holds the key.  REQUIRES: they are in the order of the keys.
Result<std::optional<std::size_t>> Explainer::covering(const std::vector<KeyRange>& ranges) {
  std::size_t low = 0;  // Ranges before it begin at the key or before.
  std::size_t high = ranges.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const std::optional<std::string>& lower = ranges[middle].lower;
    bool after = false;
    if (lower) {
      LOCKSTEP_ASSIGN(after, source_.is_before(*row_.map, row_.key, *lower));
    }
    if (after)
      high = middle;
    else
      low = middle + 1;
  }
  if (low == 0) return std::optional<std::size_t>();
  const std::optional<std::string>& upper = ranges[low - 1].upper;
  bool inside = true;
  if (upper) {
    LOCKSTEP_ASSIGN(inside, source_.is_before(*row_.map, row_.key, *upper));
  }
  return inside ? std::optional(low - 1) : std::nullopt;
}

Status Explainer::ask_state_directory() {
  LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest_));
  if (!checkpoint) return {};
  LOCKSTEP_ASSIGN(const Pauses pauses, stored_pauses(*checkpoint));
  note_pauses(pauses);
  if (row_.state.empty()) {
    LOCKSTEP_ASSIGN(const auto note, checkpoint->load_note(kLeftOut));
    const json::value left_out = json::parse(note.value_or("{}"));
    if (const json::value* reason = left_out.as_object().if_contains(question_.table)) {
      row_.state = "stopped";
      row_.reason = std::string(reason->as_string());
    }
  }
  if (row_.map == nullptr) return {};
  LOCKSTEP_ASSIGN(row_.finding, checkpoint->find_finding(question_.table, row_.key_hash));
  LOCKSTEP_ASSIGN(const auto stored, checkpoint->load_ranges(question_.table));
  const Coverage coverage(stored, std::numeric_limits<std::int64_t>::max());
  std::vector<KeyRange> ranges;
  for (std::size_t i = 0; i < coverage.ranges(); ++i) ranges.push_back(coverage.range(i).range);
  LOCKSTEP_ASSIGN(const auto at, covering(ranges));
  if (at && coverage.range(*at).known()) row_.verified = coverage.range(*at);
  LOCKSTEP_ASSIGN(const auto of_target, checkpoint->load_ranges(target_ranges(question_.table)));
  if (!row_.verified || of_target.empty()) return {};
  // Which of these it would be in only the target could tell.
  const Coverage others(of_target, std::numeric_limits<std::int64_t>::max());
  if (!others.verified_through()) row_.verified.reset();
  if (!row_.verified) return {};
  row_.verified->position = std::min(row_.verified->position, *others.verified_through());
  row_.verified->at_us = std::min(row_.verified->at_us, others.oldest_us());
  return {};
}

// What an operator holds is stored before it counts.
void Explainer::note_pauses(const Pauses& pauses) {
  for (const std::string_view name : {kAbort, part_text(Scope::Apply)})
    if (const auto found = pauses.find(name); found != pauses.end() && row_.held.empty())
      row_.held = held_text(found->first, found->second, manifest_.path);
  const auto own = pauses.find(held_table(question_.table));
  if (own == pauses.end() || !row_.state.empty()) return;
  row_.state = "paused";
  row_.reason = held_text(own->first, own->second, manifest_.path);
}

void Explainer::note_mapping(const StoredMapping& mapping) {
  row_.copied = row_.copied || mapping.state == "copied";
  if (!row_.state.empty()) return;
  row_.state = mapping.state == "copied"    ? "following"
               : mapping.state == "stopped" ? "stopped"
                                            : "backfill";
  if (row_.state == "stopped") row_.reason = mapping.reason;
}

// A table that stopped has a place of its own.
void Explainer::note_applied(const Claim& claim) {
  if (!claim.start || claim.start->stream_kind != "direct" || row_.map == nullptr) return;
  const std::string own = fmt::format("{}/{}", kDirectStream, question_.table);
  const std::uint32_t lane = lane_of(*row_.map, row_.key_hash, claim.start->lanes);
  for (const StoredProgress& stored : claim.progress) {
    if (stored.row.lane != lane) continue;
    if (stored.row.stream == own || (stored.row.stream == kDirectStream && !row_.applied))
      row_.applied = stored.row.position.major;
  }
}

Status Explainer::ask_bookkeeping() {
  LOCKSTEP_ASSIGN(const bool begun, bookkeeping_.exists());
  if (begun) {
    LOCKSTEP_ASSIGN(const Claim claim, bookkeeping_.read());
    for (const StoredMapping& mapping : claim.mappings)
      if (mapping.source.text() == question_.table && mapping.fingerprint != kForgotten)
        note_mapping(mapping);
    note_applied(claim);
    std::vector<KeyRange> chunks;
    for (const StoredChunk& chunk : claim.chunks)
      if (chunk.source.text() == question_.table) chunks.push_back(chunk.mark.range);
    if (row_.map != nullptr && !row_.copied) {
      LOCKSTEP_ASSIGN(const auto chunk, covering(chunks));
      row_.copied = chunk.has_value();
    }
    if (row_.map != nullptr) {
      LOCKSTEP_ASSIGN(row_.debt, bookkeeping_.find_debt(row_.map->source.name, row_.key_hash));
    }
  }
  if (row_.state.empty()) row_.state = "pending";
  return {};
}

// ---------------------------------------------------------------- both sides

Result<SideRow> Explainer::read(From side) {
  PostgresReader& reader = side == From::Source ? source_ : target_;
  const TableMap& view = compared_->view(side);
  const auto read_row = [&]() -> Result<SideRow> {
    LOCKSTEP_ASSIGN([[maybe_unused]] const OpenSnapshot snapshot, reader.begin());
    LOCKSTEP_TRY(reader.start_keys(view, {&row_.key, 1}));
    RowBatch rows;
    bool more = true;
    while (more) {
      LOCKSTEP_ASSIGN(more, reader.read(rows, std::numeric_limits<std::size_t>::max()));
    }
    LOCKSTEP_TRY(reader.check_shape(view));
    SideRow row;
    row.present = rows.rows() > 0;
    Compared::Scratch scratch;
    if (row.present) row.cells = compared_->cells(side, rows.row(0), scratch);
    LOCKSTEP_ASSIGN(row.writer, reader.writer_of(view, row_.key));
    return row;
  };
  auto row = read_row();
  reader.end();
  return row;
}

// Returns whether they are equal.
bool Explainer::note_sides(const SideRow& source, const SideRow& target) {
  row_.source = source;
  row_.target = target;
  row_.columns.clear();
  if (source.present && target.present) {
    row_.columns = unequal_columns(*row_.map, source.cells, target.cells);
    row_.sides = row_.columns.empty() ? RowSides::Equal : RowSides::Differing;
  } else {
    row_.sides = source.present   ? RowSides::MissingInTarget
                 : target.present ? RowSides::ExtraInTarget
                                  : RowSides::Absent;
  }
  return row_.sides == RowSides::Equal || row_.sides == RowSides::Absent;
}

// Waits until everything is on the target that was committed on the source before.
Result<bool> Explainer::prove(std::chrono::steady_clock::time_point until) {
  StopFlag never;
  LOCKSTEP_ASSIGN(std::string answer, ask_owner(*owner_, {"POST", kProofPath, ""}));
  const json::value begun = json::parse(answer);
  const json::value* const proof = begun.as_object().if_contains("proof");
  if (proof == nullptr) return false;  // It is being prepared anew.
  while (std::chrono::steady_clock::now() < until) {
    never.wait(kAskProofEvery);
    LOCKSTEP_ASSIGN(answer, ask_owner(*owner_, {"GET", kProofPath, ""}));
    const json::value now = json::parse(answer);
    const json::value* const applied = now.as_object().if_contains("applied");
    if (applied == nullptr) return false;
    if (applied->to_number<std::uint64_t>() >= proof->to_number<std::uint64_t>()) return true;
  }
  return false;
}

// Rows that differ may have a change under way.  What the source's row is before the proof and
// still is after it has been on its way to the target only before that, so that the target's row
// of in between must be it: seen twice, since a row may come and go in between (V3, V6).
Status Explainer::compare() {
  LOCKSTEP_ASSIGN(SideRow before, read(From::Source));
  LOCKSTEP_ASSIGN(SideRow target, read(From::Target));
  const bool settled = row_.state == "following" && row_.copied && !row_.debt;
  if (note_sides(before, target) || !owner_ || !settled) return {};
  const auto until = std::chrono::steady_clock::now() + kProofsMax;
  constexpr int kLooks = 2;
  for (int still = 0; still < kLooks;) {
    const auto applied = prove(until);
    if (!applied && applied.error().reaction == Reaction::Retry) return {};  // It has just ended.
    if (!applied) return fail(applied.error());
    if (!*applied) return {};
    LOCKSTEP_ASSIGN(target, read(From::Target));
    LOCKSTEP_ASSIGN(SideRow after, read(From::Source));
    if (note_sides(after, target)) return {};
    still = is_same(before, after) ? still + 1 : 0;
    before = std::move(after);
  }
  // A proof says nothing of rows that are owed.
  LOCKSTEP_ASSIGN(row_.debt, bookkeeping_.find_debt(row_.map->source.name, row_.key_hash));
  row_.proven = !row_.debt;
  return {};
}

Result<RowAnswer> Explainer::answer() {
  row_.manifest = manifest_.path;
  row_.table = question_.table;
  LOCKSTEP_TRY(plan());
  LOCKSTEP_TRY(ask_daemon());
  LOCKSTEP_TRY(ask_state_directory());
  LOCKSTEP_TRY(ask_bookkeeping());
  if (row_.map != nullptr) {
    const Status compared = compare();
    // A table that has changed stops, or will: that is what there is to say of the row.
    if (!compared && compared.error().reaction != Reaction::StopTable)
      return fail(compared.error());
    if (!compared && row_.state != "stopped") row_.reason = compared.error().message;
  }
  const RowVerdict verdict = row_verdict(row_);
  return RowAnswer{verdict.exit, row_json(row_, verdict, *texts_, question_.values)};
}

}  // namespace

Result<RowAnswer> explain_row(const Manifest& manifest, const RowQuestion& question) {
  return Explainer(manifest, question).answer();
}

}  // namespace lockstep
