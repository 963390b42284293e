#include "connectors/postgres/target/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

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
  // P0: a trigger that fires always; 54000: the value is too long for an index.
  return error.reaction == Reaction::Reject || error.code.starts_with("P0") ||
         error.code == "54000";
}

Error table_error(const TableMap& table, Error error) {
  if (error.code != "21000") return error;
  return {Reaction::StopTable,
          fmt::format("{}: two rows of the source have one key on the target", table.text()),
          ExitCode::BadData, error.code};
}

PostgresTarget::PostgresTarget(PostgresTargetOptions options,
                               const std::vector<const TableMap*>& tables, DebtCounts& debts)
    : options_(std::move(options)),
      tables_(tables),
      debts_(debts),
      session_(options_.session),
      staged_(session_, options_.session.bookkeeping) {}

Status PostgresTarget::open() {
  if (staged_.full()) session_.close();
  LOCKSTEP_TRY(session_.open());
  if (generation_ == session_.generation()) return {};
  if (auto ready = prepare_ledger_statements(session_, options_.session.bookkeeping);
      !ready.has_value()) {
    session_.close();
    Error error = std::move(ready).error();
    if (error.reaction != Reaction::Retry) error.reaction = Reaction::Halt;
    return fail(std::move(error).during("while preparing the bookkeeping's statements"));
  }
  generation_ = session_.generation();
  return {};
}

Result<ApplyOutcome> PostgresTarget::apply(const LaneTransaction& transaction) {
  LOCKSTEP_TRY(open());
  LOCKSTEP_ASSIGN(auto stop, prepare(transaction));
  if (stop) return ApplyOutcome{std::move(stop), {}, 0};

  const std::vector<Step> steps = plan(transaction);
  LOCKSTEP_TRY(session_.begin());
  for (const Step& step : steps) LOCKSTEP_TRY(queue_step(step, transaction));
  Result<PipelineOutcome> sent = session_.commit("lane_before_commit", "lane_after_commit");
  if (!sent.has_value()) {
    count_possible_debts(transaction);
    return fail(std::move(sent).error());
  }
  if (sent->failure) return failed(transaction, steps, *sent->failure);
  Attempt attempt;
  for (std::size_t i = 0; i < steps.size(); ++i)
    note_result(steps[i], sent->results[TargetSession::kFenceStatements + i], attempt);
  return committed(std::move(attempt));
}

// Statements are prepared outside the transaction, so that a missing column or grant is found
// before anything is written, and stays the problem of its table.
Result<std::optional<ChangeBatch::Stop>> PostgresTarget::prepare(
    const LaneTransaction& transaction) {
  for (const Run& run : transaction.runs) {
    if (!writes_rows(run.kind) || run.writes.empty()) continue;
    Status prepared = prepare_run(run);
    if (prepared.has_value()) continue;
    Error error = std::move(prepared).error();
    if (error.reaction == Reaction::Reject) error.reaction = Reaction::StopTable;
    if (error.reaction != Reaction::StopTable) return fail(lost(std::move(error)));
    return ChangeBatch::Stop{run.table->id, std::move(error)};
  }
  return std::nullopt;
}

Status PostgresTarget::prepare_run(const Run& run) {
  LOCKSTEP_TRY(staged_.statement(*run.table, statement_of(run.kind), mask_of(run)));
  if (run.kind == WriteKind::Upsert)
    LOCKSTEP_TRY(staged_.statement(*run.table, StatementKind::Replace, {}));
  return {};
}

std::vector<PostgresTarget::Step> PostgresTarget::plan(const LaneTransaction& transaction) const {
  std::vector<Step> steps;
  std::vector<TableId> opened_here;  // Their debts are in no counter yet.
  for (const Run& run : transaction.runs) {
    if (run.writes.empty()) continue;
    const TableId table = run.table->id;
    const bool may_have_debts =
        debts_.any(table) || std::ranges::find(opened_here, table) != opened_here.end();
    plan_run(run, may_have_debts, steps);
    if (run.kind == WriteKind::Update || opens_debts(run)) opened_here.push_back(table);
  }
  if (!transaction.progress.empty())
    steps.push_back({StepKind::Progress, StatementKind::Upsert, nullptr, 0, 0});
  return steps;
}

void PostgresTarget::plan_run(const Run& run, bool may_have_debts, std::vector<Step>& steps) const {
  if (writes_rows(run.kind)) {
    const bool replaces = run.kind == WriteKind::Upsert &&
                          !staged_.prepared(*run.table, StatementKind::Replace, {}).empty();
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
      return queue_write(step);
    case StepKind::Clear:
      return queue_clear_debts(session_, *step.run);
    case StepKind::Open:
      return queue_open_debts(*step.run);
    case StepKind::Progress:
      return queue_progress(session_, transaction.progress,
                            {options_.session.epoch, transaction.batch});
  }
  return {};
}

Status PostgresTarget::queue_write(const Step& step) {
  const Run& run = *step.run;
  LOCKSTEP_ASSIGN(const PreparedTable* table, staged_.table(*run.table));
  const std::string& name =
      staged_.prepared(*run.table, step.statement,
                       step.statement == StatementKind::Update ? mask_of(run) : ColumnMask());
  const bool keys_only = step.statement == StatementKind::Delete;
  const RowType& type = keys_only ? table->key : table->row;
  RowArrayBuilder rows(type.oid, type.column_oids);
  const std::span<const Write> writes = std::span(run.writes).subspan(step.first, step.count);
  std::string scratch;
  for (const Write& write : writes)
    rows.add_row(keys_only ? table->translator.key(write.key, scratch)
                           : table->translator.row(write.row, scratch));
  if (step.statement != StatementKind::Update) {
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

Status PostgresTarget::queue_open_debts(const Run& run) {
  DebtRows rows(run.table->source.name, DebtState::Fresh);
  for (const Write& write : run.writes) {
    const DebtReason reason = reason_of(run, write);
    if (reason != DebtReason::None) rows.add(write, reason, "", "");
  }
  return rows.queue(session_);
}

void PostgresTarget::note_result(const Step& step, const PgResult& result, Attempt& attempt) const {
  const std::uint64_t rows = rows_touched(result);
  if (step.kind == StepKind::Progress) return;
  const Run& run = *step.run;
  const TableId table = run.table->id;
  switch (step.kind) {
    case StepKind::Write:
      if (step.statement == StatementKind::Replace) return;
      if (step.statement != StatementKind::Update) {
        attempt.outcome.rows_written += rows;
        return;
      }
      // Of an UPDATE the server counts the debts it opened; their keys are its rows.
      attempt.outcome.rows_written += step.count - rows;
      attempt.debts.emplace_back(table, static_cast<std::int64_t>(rows));
      for (int row = 0; row < PQntuples(result.get()); ++row) {
        const Hash128 key = read_key_hash(field(result, row, 0));
        const auto write = std::ranges::find(run.writes, key, &Write::key_hash);
        if (write != run.writes.end() && write->debt == DebtReason::None)
          attempt.outcome.opened.push_back({table, key, DebtReason::MissingRow});
      }
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
    case StepKind::Progress:
      return;
  }
}

ApplyOutcome PostgresTarget::committed(Attempt attempt) {
  for (const auto& [table, debts] : attempt.debts) debts_.add(table, debts);
  return std::move(attempt.outcome);
}

Result<ApplyOutcome> PostgresTarget::failed(const LaneTransaction& transaction,
                                            const std::vector<Step>& steps,
                                            const StatementFailure& failure) {
  Error error = TargetSession::fence_error(failure);
  if (error.reaction == Reaction::Retry) return fail(lost(std::move(error)));
  const std::size_t first = TargetSession::kFenceStatements;
  if (failure.statement < first) return fail(std::move(error));
  const bool in_run = failure.statement - first < steps.size() &&
                      steps[failure.statement - first].kind == StepKind::Write;
  if (!in_run) {
    error.reaction = Reaction::Halt;
    return fail(std::move(error).during("while writing the bookkeeping"));
  }
  if (refuses_a_row(error)) return apply_isolated(transaction);
  const TableId table = steps[failure.statement - first].run->table->id;
  if (error.code == "21000")
    error = {
        Reaction::StopTable,
        fmt::format("{}: two rows of the source have one key on the target", map(table).text()),
        ExitCode::BadData, error.code};
  if (error.reaction != Reaction::StopTable) return fail(std::move(error));
  return ApplyOutcome{ChangeBatch::Stop{table, std::move(error)}, {}, 0};
}

void PostgresTarget::count_possible_debts(const LaneTransaction& transaction) {
  for (const Run& run : transaction.runs) {
    const auto possible = std::ranges::count_if(run.writes, [&](const Write& write) {
      return run.kind == WriteKind::Update || reason_of(run, write) != DebtReason::None;
    });
    debts_.add(run.table->id, possible);
  }
}

Error PostgresTarget::lost(Error error) {
  if (error.reaction == Reaction::Retry) session_.close();
  return error;
}

}  // namespace lockstep
