#include "connectors/postgres/target/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/sql_guard.h"

namespace lockstep {
namespace {

using Parameter = std::optional<std::string_view>;

ColumnMask available(std::string_view row) {
  ColumnMask mask;
  for (CellReader cells(row); !cells.done();)
    mask.push_back(cells.next().presence != Presence::Unavailable);
  return mask;
}

ColumnMask mask_of(const Run& run) {
  return run.kind == WriteKind::Update ? available(run.writes.front().row) : ColumnMask();
}

bool writes_rows(WriteKind kind) {
  return kind == WriteKind::Upsert || kind == WriteKind::Update || kind == WriteKind::Delete;
}

StatementKind statement_of(WriteKind kind) {
  switch (kind) {
    case WriteKind::Update:
      return StatementKind::Update;
    case WriteKind::Delete:
      return StatementKind::Delete;
    default:
      return StatementKind::Upsert;
  }
}

// A partial event that carries nothing but its key still says that the row exists: where that
// cannot be seen it is read again.
DebtReason reason_of(const Run& run, const Write& write) {
  const bool unnamed = run.kind == WriteKind::OpenDebt && write.debt == DebtReason::None;
  return unnamed ? DebtReason::MissingRow : write.debt;
}

bool opens_debts(const Run& run) {
  return std::ranges::any_of(
      run.writes, [&](const Write& write) { return reason_of(run, write) != DebtReason::None; });
}

std::uint64_t rows_touched(const PgResult& result) {
  const std::string_view text = PQcmdTuples(result.get());
  std::uint64_t rows = 0;
  std::from_chars(text.data(), text.data() + text.size(), rows);
  return rows;
}

}  // namespace

bool refuses_a_row(const Error& error) {
  return error.reaction == Reaction::Reject || is_of_a_row(error.code);
}

Error table_error(const TableMap& table, Error error) {
  // It has no replica identity, and a publication of the target's tells its changes.
  if (error.code == "55000") error.reaction = Reaction::StopTable;
  if (error.code.starts_with("XX")) return stop_if_damaged(std::move(error));
  const std::vector<std::string>& triggers = table.target.firing_triggers;
  if (error.reaction == Reaction::StopTable && names_a_function(error) && !triggers.empty())
    error.message += fmt::format(
        "; triggers or rules of {} that fire for lockstep: {}; ALTER TABLE {} ENABLE TRIGGER {}; "
        "as "
        "its owner has that one fire for the application only",
        table.target.name.text(), fmt::join(triggers, ", "), quoted(table.target.name),
        quote_identifier(triggers.front()));
  if (error.code != "21000") return error;
  return {Reaction::StopTable,
          fmt::format("{}: two rows of the source have one key on the target", table.text()),
          ExitCode::BadData, error.code};
}

PostgresTarget::PostgresTarget(PostgresTargetOptions options,
                               const std::vector<const TableMap*>& tables, TableCounts& counts)
    : options_(std::move(options)),
      tables_(tables),
      counts_(counts),
      session_(options_.session),
      staged_(session_, options_.session.bookkeeping, counts) {}

Status PostgresTarget::open() {
  LOCKSTEP_TRY(session_.open());
  if (generation_ == session_.generation()) return {};
  if (auto ready = prepare_ledger_statements(session_, options_.session.bookkeeping);
      !ready.has_value()) {
    session_.close();
    Error error = std::move(ready).error();
    if (error.reaction != Reaction::Retry) error.reaction = Reaction::Halt;
    return fail(std::move(error).during("while preparing the bookkeeping's statements"));
  }
  if (Status kept = check_progress(); !kept) {
    session_.close();
    return fail(for_server(std::move(kept).error()));
  }
  generation_ = session_.generation();
  return {};
}

// A server that came back may lack commits that it has answered: a copy of its volume that was put
// back, a disk that did not keep what it said.  To go on would jump over them, and no event tells
// of them again (I13); the next start reads on from the progress that is there.
Status PostgresTarget::check_progress() {
  if (committed_.empty()) return {};
  const BookkeepingName& name = options_.session.bookkeeping;
  LOCKSTEP_ASSIGN(const PgResult rows,
                  session_.connection().run(fmt::format(
                      "SELECT stream, lane, major, minor FROM {} WHERE migration = {}",
                      bookkeeping_table(name, "progress"), quote_literal(name.migration))));
  std::map<std::pair<std::string, std::uint32_t>, Position> stored;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    stored[{text_field(rows, row, 0), number_field<std::uint32_t>(rows, row, 1)}] = {
        number_field<std::uint64_t>(rows, row, 2), number_field<std::uint64_t>(rows, row, 3)};
  for (const auto& [lane, position] : committed_) {
    const auto found = stored.find(lane);
    if (found != stored.end() && found->second >= position) continue;
    return target_lost(fmt::format("what lane {} of lockstep had committed", lane.second));
  }
  return {};
}

// What was read for debts may well be refused again, and so may the rows of a table of which one
// was refused a moment ago: these are isolated at once, which spares an attempt and an error in the
// server's log.  And where writes may be swallowed only a guard notices.
bool PostgresTarget::isolates(const Run& run) const {
  if (run.settles() || isolated_.contains(run.table->id)) return true;
  return writes_rows(run.kind) && !run.writes.empty() && staged_.may_swallow(*run.table);
}

Result<ApplyOutcome> PostgresTarget::apply(const LaneTransaction& transaction) {
  // First of all: whether they are gone is not known while the answer is not.
  for (const auto& row : transaction.rejoined) committed_.erase(row);
  auto outcome = apply_some(transaction);
  if (!outcome || outcome->stop) return outcome;
  for (const ProgressRow& row : transaction.progress) {
    Position& last = committed_[{row.stream, row.lane}];
    last = std::max(last, row.position);
  }
  return outcome;
}

Result<ApplyOutcome> PostgresTarget::apply_some(const LaneTransaction& transaction) {
  LOCKSTEP_TRY(open());
  if (auto trimmed = staged_.trim(); !trimmed) return fail(lost(std::move(trimmed).error()));
  LOCKSTEP_ASSIGN(auto stop, for_each_run(transaction, [&](const Run& run) -> Status {
                    LOCKSTEP_TRY(staged_.table(*run.table));
                    return {};
                  }));
  if (stop) return ApplyOutcome{std::move(stop), {}, 0};
  const bool isolated =
      std::ranges::any_of(transaction.runs, [&](const Run& run) { return isolates(run); });
  const StatementMode mode = isolated ? StatementMode::Guarded : StatementMode::Plain;
  LOCKSTEP_ASSIGN(
      stop, for_each_run(transaction, [&](const Run& run) { return prepare_run(run, mode); }));
  if (stop) return ApplyOutcome{std::move(stop), {}, 0};
  return mode == StatementMode::Guarded ? apply_isolated(transaction) : apply_at_once(transaction);
}

Result<ApplyOutcome> PostgresTarget::apply_at_once(const LaneTransaction& transaction) {
  const std::vector<Step> steps = plan(transaction);
  LOCKSTEP_TRY(session_.begin());
  for (const Step& step : steps) LOCKSTEP_TRY(queue_step(step, transaction));
  Result<PipelineOutcome> sent = session_.commit("lane_before_commit", "lane_after_commit");
  if (!sent.has_value()) {
    count_possible_debts(transaction);
    return fail(std::move(sent).error());
  }
  if (sent->failure) {
    LOCKSTEP_ASSIGN(auto outcome, failed(transaction, steps, *sent->failure));
    // Each time one table more is isolated, or known to swallow.
    return outcome ? std::move(*outcome) : apply_some(transaction);
  }
  Attempt attempt;
  for (std::size_t i = 0; i < steps.size(); ++i)
    note_result(steps[i], sent->results[TargetSession::kFenceStatements + i], attempt);
  return committed(std::move(attempt));
}

// Statements are prepared outside the transaction, so that a missing column or grant is found
// before anything is written, and stays the problem of its table.
Result<std::optional<ChangeBatch::Stop>> PostgresTarget::for_each_run(
    const LaneTransaction& transaction, const std::function<Status(const Run&)>& prepare) {
  for (const Run& run : transaction.runs) {
    if (!writes_rows(run.kind) || run.writes.empty()) continue;
    Status prepared = prepare(run);
    if (prepared.has_value()) continue;
    Error error = for_table(std::move(prepared).error());
    if (error.reaction != Reaction::StopTable) return fail(lost(std::move(error)));
    return ChangeBatch::Stop{run.table->id, std::move(error)};
  }
  return std::nullopt;
}

Status PostgresTarget::prepare_run(const Run& run, StatementMode mode) {
  LOCKSTEP_TRY(staged_.prepare({*run.table, statement_of(run.kind), mode, mask_of(run)}));
  if (run.kind == WriteKind::Upsert && mode == StatementMode::Plain)
    LOCKSTEP_TRY(staged_.prepare({*run.table, StatementKind::Replace, mode, {}}));
  return {};
}

std::vector<PostgresTarget::Step> PostgresTarget::plan(const LaneTransaction& transaction) const {
  std::vector<Step> steps;
  if (checks_at_once_) steps.push_back({StepKind::CheckAtOnce});
  std::vector<TableId> opened_here;  // Their debts are in no counter yet.
  for (const Run& run : transaction.runs) {
    if (run.writes.empty()) continue;
    const TableId table = run.table->id;
    const bool may_have_debts =
        counts_.any(table) || std::ranges::find(opened_here, table) != opened_here.end();
    plan_run(run, may_have_debts, steps);
    if (run.kind == WriteKind::Update || opens_debts(run)) opened_here.push_back(table);
  }
  const bool may_be_swallowed = std::ranges::any_of(transaction.runs, [](const Run& run) {
    return run.kind == WriteKind::Upsert || run.kind == WriteKind::Delete;
  });
  if (may_be_swallowed)
    steps.push_back({StepKind::NoSwallowers, StatementKind::Upsert, nullptr, 0, 0});
  if (!transaction.progress.empty())
    steps.push_back({StepKind::Progress, StatementKind::Upsert, nullptr, 0, 0});
  if (!transaction.rejoined.empty())
    steps.push_back({StepKind::EndProgress, StatementKind::Upsert, nullptr, 0, 0});
  return steps;
}

void PostgresTarget::plan_run(const Run& run, bool may_have_debts, std::vector<Step>& steps) const {
  if (writes_rows(run.kind)) {
    const bool replaces =
        run.kind == WriteKind::Upsert &&
        !staged_.prepared({*run.table, StatementKind::Replace, StatementMode::Plain, {}}).empty();
    for (const Piece& piece : pieces(run)) {
      if (replaces)
        steps.push_back({StepKind::Write, StatementKind::Replace, &run, piece.first, piece.count});
      steps.push_back({StepKind::Write, statement_of(run.kind), &run, piece.first, piece.count});
    }
  }
  if (may_have_debts && run.rule != DebtRule::Keep)
    steps.push_back({StepKind::Clear, StatementKind::Upsert, &run, 0, 0});
  if (opens_debts(run)) steps.push_back({StepKind::Open, StatementKind::Upsert, &run, 0, 0});
}

std::vector<PostgresTarget::Piece> PostgresTarget::pieces(const Run& run) const {
  // UPDATE ... FROM has no row order, which matters where rows pass a unique value on (I19).
  const bool one_by_one = run.kind == WriteKind::Update && run.table->ordered;
  const std::size_t rows_max = one_by_one ? 1 : options_.statement_rows_max;
  std::vector<Piece> pieces;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < run.writes.size(); ++i) {
    const std::size_t size = run.writes[i].row.size() + run.writes[i].key.size();
    const bool full = pieces.empty() || pieces.back().count == rows_max ||
                      bytes + size > options_.statement_bytes_max;
    if (full) {
      pieces.push_back({&run, i, 0});
      bytes = 0;
    }
    ++pieces.back().count;
    bytes += size;
  }
  return pieces;
}

Status PostgresTarget::queue_step(const Step& step, const LaneTransaction& transaction) {
  switch (step.kind) {
    case StepKind::Write:
      return queue_write(step, StatementMode::Plain);
    case StepKind::Clear:
      return queue_clear_debts(session_, *step.run);
    case StepKind::Open:
      return queue_open_debts(*step.run);
    case StepKind::NoSwallowers:
      return queue_no_swallowers(transaction);
    case StepKind::Progress:
      return queue_progress(session_, transaction.progress,
                            {options_.session.epoch, transaction.batch});
    case StepKind::EndProgress:
      return queue_end_progress(session_, transaction.rejoined);
    case StepKind::CheckAtOnce:
      return session_.queue_sql(kCheckAtOnce);
  }
  return {};
}

Status PostgresTarget::queue_write(const Step& step, StatementMode mode) {
  const Run& run = *step.run;
  LOCKSTEP_ASSIGN(const PreparedTable* table, staged_.table(*run.table));
  const bool updates = step.statement == StatementKind::Update;
  const std::string& name =
      staged_.prepared({*run.table, step.statement, mode, updates ? mask_of(run) : ColumnMask()});
  const bool keys_only = step.statement == StatementKind::Delete;
  const RowType& type = keys_only ? table->key : table->row;
  RowArrayBuilder rows(type.oid, type.column_oids);
  const std::span<const Write> writes = std::span(run.writes).subspan(step.first, step.count);
  std::string scratch;
  for (const Write& write : writes)
    rows.add_row(keys_only ? table->translator.key(write.key, scratch)
                           : table->translator.row(write.row, scratch));
  if (!updates) {
    const Parameter params[] = {rows.bytes()};
    return session_.queue(name, params);
  }
  ArrayBuilder hashes(kByteaOid);
  ArrayBuilder keys(kByteaOid);
  ArrayBuilder xids(kXid8Oid);
  ArrayBuilder times(kInt8Oid);
  for (const Write& write : writes) {
    hashes.add(key_hash_bytes(write.key_hash));
    keys.add(write.key);
    xids.add_int8(static_cast<std::int64_t>(write.xid));
    times.add_int8(write.commit_us);
  }
  const Parameter params[] = {rows.bytes(), hashes.bytes(), keys.bytes(), xids.bytes(),
                              times.bytes()};
  return session_.queue(name, params);
}

// Between the staging of a table and this transaction's first write to it somebody may have made a
// trigger or a rule that swallows writes: then nothing is committed.
Status PostgresTarget::queue_no_swallowers(const LaneTransaction& transaction) {
  ArrayBuilder relations(kOidOid);
  std::set<TableId> seen;
  for (const Run& run : transaction.runs) {
    if (!writes_rows(run.kind) || run.writes.empty() || !seen.insert(run.table->id).second)
      continue;
    LOCKSTEP_ASSIGN(const PreparedTable* table, staged_.table(*run.table));
    if (table->may_swallow) continue;
    for (const std::uint32_t oid : table->relations)
      relations.add_int4(static_cast<std::int32_t>(oid));
  }
  const Parameter params[] = {relations.bytes()};
  return session_.queue("no_swallowers", params);
}

Status PostgresTarget::queue_open_debts(const Run& run) {
  DebtRows rows(run.table->source.name, DebtState::Fresh);
  for (const Write& write : run.writes) {
    const DebtReason reason = reason_of(run, write);
    if (reason != DebtReason::None) rows.add(write, {reason, write.detail, {}, 0});
  }
  return rows.queue(session_, options_.debt_attempts);
}

void PostgresTarget::note_written(const Run& run, std::uint64_t rows, Attempt& attempt) const {
  attempt.outcome.rows_written += rows;
  if (run.kind != WriteKind::Delete) attempt.wrote.emplace_back(run.table->id, rows);
}

// A debt that an UPDATE opened because it hit no row.
void PostgresTarget::note_opened(const Run& run, const Hash128& key, Attempt& attempt) const {
  const auto write = std::ranges::find(run.writes, key, &Write::key_hash);
  if (write != run.writes.end() && write->debt == DebtReason::None)
    attempt.outcome.opened.push_back({run.table->id, key, DebtReason::MissingRow});
}

void PostgresTarget::note_result(const Step& step, const PgResult& result, Attempt& attempt) const {
  if (step.run == nullptr) return;
  const std::uint64_t rows = rows_touched(result);
  const Run& run = *step.run;
  const TableId table = run.table->id;
  switch (step.kind) {
    case StepKind::Write:
      if (step.statement == StatementKind::Replace) return;
      if (step.statement != StatementKind::Update) return note_written(run, rows, attempt);
      // Of an UPDATE the server counts the debts it opened; their keys are its rows.
      note_written(run, step.count - rows, attempt);
      attempt.debts.emplace_back(table, static_cast<std::int64_t>(rows));
      for (int row = 0; row < PQntuples(result.get()); ++row)
        note_opened(run, read_key_hash(field(result, row, 0)), attempt);
      return;
    case StepKind::Clear:
      attempt.debts.emplace_back(table, -static_cast<std::int64_t>(rows));
      return;
    case StepKind::Open:
      attempt.debts.emplace_back(table, static_cast<std::int64_t>(rows));
      for (const Write& write : run.writes)
        if (reason_of(run, write) != DebtReason::None)
          attempt.outcome.opened.push_back({table, write.key_hash, reason_of(run, write)});
      return;
    case StepKind::NoSwallowers:
    case StepKind::Progress:
    case StepKind::EndProgress:
    case StepKind::CheckAtOnce:
      return;
  }
}

ApplyOutcome PostgresTarget::committed(Attempt attempt) {
  for (const auto& [table, debts] : attempt.debts) counts_.add(table, debts);
  for (const auto& [table, rows] : attempt.wrote) {
    counts_.wrote(table, rows);
    counts_.overlap(table, TableCounts::Overlap::Possible);
  }
  return std::move(attempt.outcome);
}

Result<std::optional<ApplyOutcome>> PostgresTarget::failed(const LaneTransaction& transaction,
                                                           const std::vector<Step>& steps,
                                                           const StatementFailure& failure) {
  Error error = TargetSession::fence_error(failure);
  if (error.reaction == Reaction::Retry) return fail(lost(std::move(error)));
  const std::size_t first = TargetSession::kFenceStatements;
  if (failure.statement < first) return fail(std::move(error));
  const bool is_step = failure.statement - first < steps.size();
  const Step step = is_step ? steps[failure.statement - first] : Step{StepKind::Progress};
  if (step.kind == StepKind::NoSwallowers && error.code == "22P02") {
    for (const Run& run : transaction.runs)
      if (writes_rows(run.kind)) LOCKSTEP_TRY(staged_.look_for_swallowers(*run.table));
    return std::nullopt;
  }
  if (!is_step && refuses_a_row(error) && !std::exchange(checks_at_once_, true))
    return std::nullopt;
  if (step.kind != StepKind::Write) {
    error.reaction = Reaction::Halt;
    return fail(std::move(error).during("while writing the bookkeeping"));
  }
  const TableId table = step.run->table->id;
  if (refuses_a_row(error)) {
    isolated_.insert(table);
    return std::nullopt;
  }
  error = table_error(map(table), std::move(error));
  if (error.reaction != Reaction::StopTable) return fail(std::move(error));
  return ApplyOutcome{ChangeBatch::Stop{table, std::move(error)}, {}, 0};
}

void PostgresTarget::count_possible_debts(const LaneTransaction& transaction) {
  for (const Run& run : transaction.runs) {
    const auto possible = std::ranges::count_if(run.writes, [&](const Write& write) {
      return run.kind == WriteKind::Update || reason_of(run, write) != DebtReason::None;
    });
    counts_.add(run.table->id, possible);
  }
}

// After these the server has undone the transaction, and the session serves on: making another one
// and preparing all anew would cost more than what failed.
Error PostgresTarget::lost(Error error) {
  if (error.reaction != Reaction::Retry) return error;
  const std::string& code = error.code;
  if (code.starts_with("40") || code == "55P03")
    session_.rollback();
  else
    session_.close();
  return error;
}

}  // namespace lockstep
