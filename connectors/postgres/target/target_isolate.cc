// Isolation: finding the rows that the target refuses, and setting them aside as debts.
//
// The transaction is applied through guards, functions in the server that halve a refused piece
// until it is one row (sql_guard.h); that row becomes a debt in the same transaction, everything
// else is applied (I11).
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "connectors/postgres/target/sql_guard.h"
#include "connectors/postgres/target/target.h"

namespace lockstep {
namespace {

bool is_conflict(const Error& error) { return error.code == "23505" || error.code == "23P01"; }

// Each eviction frees one index; more rounds mean that something writes the same values at once.
constexpr int kEvictionsMax = 16;

// Not a SQLSTATE: what a checked statement raises is told apart from the rows' own errors.
constexpr std::string_view kSwallowedCode = "swallowed";

// By a trigger, whose message may hold values; what the server itself finds wrong with a row it
// says without them.
bool is_raised(const Error& error) {
  return error.reaction != Reaction::Reject && error.code != "54000";
}

bool is_swallowed(const Error& error) { return error.code == kSwallowedCode; }

}  // namespace

Result<ApplyOutcome> PostgresTarget::apply_isolated(const LaneTransaction& transaction) {
  Attempt attempt;
  Status applied = apply_isolated_runs(transaction, attempt);
  if (!applied.has_value()) {
    session_.rollback();
    Error error = std::move(applied).error();
    if (error.reaction != Reaction::StopTable) return fail(lost(std::move(error)));
    return ApplyOutcome{ChangeBatch::Stop{attempt.table, std::move(error)}, {}, 0};
  }
  LOCKSTEP_TRY(session_.resume());
  Result<PipelineOutcome> sent = session_.commit("lane_before_commit", "lane_after_commit");
  if (!sent.has_value()) {
    count_possible_debts(transaction);
    for (const auto& [table, debts] : attempt.debts) counts_.add(table, std::max(debts, 0L));
    return fail(std::move(sent).error());
  }
  if (sent->failure) {
    Error error = std::move(sent->failure->error);
    if (refuses_a_row(error) && !std::exchange(checks_at_once_, true))
      return apply_some(transaction);
    if (error.reaction != Reaction::Retry) error.reaction = Reaction::Halt;
    return fail(lost(std::move(error).during("while committing")));
  }
  ApplyOutcome outcome = committed(std::move(attempt));
  forget_evictions();
  return outcome;
}

// Of tables that have no debts any more nothing is going on.
void PostgresTarget::forget_evictions() {
  std::erase_if(evictions_, [&](const auto& entry) { return !counts_.any(entry.first.first); });
}

Status PostgresTarget::apply_isolated_runs(const LaneTransaction& transaction, Attempt& attempt) {
  LOCKSTEP_TRY(session_.begin());
  if (checks_at_once_) LOCKSTEP_TRY(session_.queue_sql(kCheckAtOnce));
  LOCKSTEP_TRY(run_queued());
  for (const Run& run : transaction.runs) isolated_.erase(run.table->id);
  for (const Run& run : transaction.runs) {
    if (run.writes.empty()) continue;
    attempt.table = run.table->id;
    LOCKSTEP_TRY(isolate_run(run, attempt));
  }
  if (transaction.progress.empty()) return {};
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(
      queue_progress(session_, transaction.progress, {options_.session.epoch, transaction.batch}));
  LOCKSTEP_TRY(queue_end_progress(session_, transaction.rejoined));
  LOCKSTEP_TRY(run_queued());
  return {};
}

Result<std::vector<PgResult>> PostgresTarget::run_queued() {
  LOCKSTEP_ASSIGN(PipelineOutcome outcome, session_.flush());
  if (!outcome.failure) return std::move(outcome.results);
  Error error = TargetSession::fence_error(*outcome.failure);
  // Not about a row or a table: these statements touch the bookkeeping alone.
  if (error.reaction != Reaction::Retry) error.reaction = Reaction::Halt;
  return fail(std::move(error));
}

Status PostgresTarget::isolate_run(const Run& run, Attempt& attempt) {
  std::vector<Refusal> refused;
  if (run.kind == WriteKind::Upsert || run.kind == WriteKind::Update ||
      run.kind == WriteKind::Delete) {
    for (const Piece& piece : pieces(run)) LOCKSTEP_TRY(isolate_piece(piece, refused, attempt));
  }
  if (refused.empty()) return settle_debts_of(run, refused, attempt);
  isolated_.insert(run.table->id);
  Run accepted = run;
  std::erase_if(accepted.writes, [&](const Write& write) {
    return std::ranges::any_of(
        refused, [&](const Refusal& refusal) { return refusal.write->key_hash == write.key_hash; });
  });
  return settle_debts_of(accepted, refused, attempt);
}

// The debts of the rows that were applied go as the run says; those of refused rows are opened.
Status PostgresTarget::settle_debts_of(const Run& accepted, const std::vector<Refusal>& refused,
                                       Attempt& attempt) {
  std::vector<Step> steps;
  LOCKSTEP_TRY(session_.resume());
  Run debts_only = accepted;
  if (accepted.kind != WriteKind::OpenDebt) debts_only.kind = WriteKind::Forget;
  if (!accepted.writes.empty()) plan_run(debts_only, true, steps);
  for (Step& step : steps) {
    step.run = &accepted;
    LOCKSTEP_TRY(queue_step(step, {}));
  }
  DebtRows rows(accepted.table->source.name,
                accepted.settles() ? DebtState::Kept : DebtState::Fresh);
  for (const Refusal& refusal : refused)
    rows.add(*refusal.write, {refusal.reason, refusal.detail, refusal.holder, 0});
  if (!rows.empty()) LOCKSTEP_TRY(rows.queue(session_, options_.debt_attempts));
  LOCKSTEP_ASSIGN(const std::vector<PgResult> results, run_queued());
  for (std::size_t i = 0; i < steps.size(); ++i) note_result(steps[i], results[i], attempt);
  // Of a statement that opens debts, a row for each; not NULL: it is quarantined.
  for (int row = 0; !rows.empty() && row < PQntuples(results.back().get()); ++row)
    if (!is_null(results.back(), row, 0)) ++attempt.outcome.set_aside;
  for (const Refusal& refusal : refused) {
    const TableId table = accepted.table->id;
    attempt.outcome.opened.push_back({table, refusal.write->key_hash, refusal.reason});
    attempt.debts.emplace_back(table, 1);
  }
  return {};
}

Status PostgresTarget::isolate_piece(Piece piece, std::vector<Refusal>& refused, Attempt& attempt) {
  LOCKSTEP_ASSIGN(const std::vector<Failure> failures, try_piece(piece, attempt));
  for (const Failure& failure : failures) {
    LOCKSTEP_ASSIGN(Refusal refusal, refuse({piece.run, failure.at, 1}, failure.what, attempt));
    if (refusal.write != nullptr) refused.push_back(std::move(refusal));
  }
  if (piece.run->holders == Holders::Stay) return {};
  for (std::size_t i = piece.first; i < piece.first + piece.count; ++i)
    if (std::ranges::find(failures, i, &Failure::at) == failures.end())
      evictions_.erase({piece.run->table->id, piece.run->writes[i].key_hash});
  return {};
}

// Applies a piece but for the rows that are refused, and returns these.
Result<std::vector<PostgresTarget::Failure>> PostgresTarget::try_piece(Piece piece,
                                                                       Attempt& attempt) {
  const Run& run = *piece.run;
  const StatementKind statement = run.kind == WriteKind::Upsert   ? StatementKind::Upsert
                                  : run.kind == WriteKind::Update ? StatementKind::Update
                                                                  : StatementKind::Delete;
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(session_.queue_sql("SAVEPOINT lockstep_piece"));
  LOCKSTEP_TRY(queue_write({StepKind::Write, statement, &run, piece.first, piece.count},
                           StatementMode::Guarded));
  LOCKSTEP_TRY(session_.queue_sql("RELEASE SAVEPOINT lockstep_piece"));
  LOCKSTEP_ASSIGN(PipelineOutcome outcome, session_.flush());
  if (outcome.failure && refuses_a_row(outcome.failure->error))
    return halve_piece(piece, std::move(*outcome.failure), attempt);
  if (outcome.failure) return fail(table_error(map(run.table->id), outcome.failure->error));
  const PgResult& rows = outcome.results[1];
  std::vector<Failure> failures;
  std::uint64_t opened = 0;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    if (is_null(rows, row, GuardIndex)) {
      note_opened(run, read_key_hash(field(rows, row, GuardOpened)), attempt);
      ++opened;
      continue;
    }
    StatementFailure what{
        0,
        session_.connection().error_of(field(rows, row, GuardCode), field(rows, row, GuardMessage)),
        text_field(rows, row, GuardSchema), text_field(rows, row, GuardConstraint)};
    if (field(rows, row, GuardMessage).find(kSwallowedMark) != std::string_view::npos)
      what.error.code = kSwallowedCode;
    failures.push_back({piece.first + read_be32(field(rows, row, GuardIndex)), std::move(what)});
  }
  attempt.debts.emplace_back(run.table->id, static_cast<std::int64_t>(opened));
  note_written(run, piece.count - failures.size() - opened, attempt);
  return failures;
}

// A value that the server cannot even read, such as one that a domain inside of a composite
// refuses: the guard is never called.
Result<std::vector<PostgresTarget::Failure>> PostgresTarget::halve_piece(Piece piece,
                                                                         StatementFailure failure,
                                                                         Attempt& attempt) {
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(session_.queue_sql("ROLLBACK TO SAVEPOINT lockstep_piece"));
  LOCKSTEP_TRY(session_.queue_sql("RELEASE SAVEPOINT lockstep_piece"));
  LOCKSTEP_TRY(run_queued());
  std::vector<Failure> failures;
  if (piece.count == 1) {
    failures.push_back({piece.first, std::move(failure)});
    return failures;
  }
  const std::size_t half = piece.count / 2;
  LOCKSTEP_ASSIGN(failures, try_piece({piece.run, piece.first, half}, attempt));
  LOCKSTEP_ASSIGN(std::vector<Failure> others,
                  try_piece({piece.run, piece.first + half, piece.count - half}, attempt));
  std::ranges::move(others, std::back_inserter(failures));
  return failures;
}

// What becomes of one refused row: of a settled debt, what holds its unique value may be evicted
// and the row written after all (then the refusal names no write).
Result<PostgresTarget::Refusal> PostgresTarget::refuse(Piece piece, StatementFailure failure,
                                                       Attempt& attempt) {
  const Write& write = piece.run->writes[piece.first];
  Refusal refusal{&write, DebtReason::Refused, {}, {}};
  for (int round = 0;
       piece.run->holders != Holders::Stay && is_conflict(failure.error) && round < kEvictionsMax;
       ++round) {
    LOCKSTEP_ASSIGN(Eviction eviction, evict(piece, failure, attempt));
    refusal.holder = std::move(eviction.holder_text);
    if (eviction.holders == 0) break;
    LOCKSTEP_ASSIGN(std::vector<Failure> again, try_piece(piece, attempt));
    if (again.empty()) return Refusal{};
    failure = std::move(again.front().what);
  }
  if (is_swallowed(failure.error)) {
    refusal.reason = DebtReason::Swallowed;
    refusal.detail = "a trigger or rule of the target swallowed the write";
    return refusal;
  }
  // A trigger may raise any code, also for a row that is to go.
  if (is_conflict(failure.error) && piece.run->kind != WriteKind::Delete)
    refusal.reason = DebtReason::Violation;
  refusal.detail =
      is_raised(failure.error)
          ? fmt::format("a trigger of the target refused the {} ({})",
                        piece.run->kind == WriteKind::Delete ? "delete" : "row", failure.error.code)
          : failure.error.message;
  return refusal;
}

}  // namespace lockstep
