// Isolation: finding the rows that the target refuses, and setting them aside as debts.
//
// The failed transaction is applied again under savepoints.  A piece that fails is halved until it
// is one row; that row becomes a debt in the same transaction, everything else is applied (I11).
// Slow, and meant to be: a batch is isolated only when it holds a refused row.
#include <fmt/format.h>

#include <algorithm>

#include "connectors/postgres/target/target.h"

namespace lockstep {
namespace {

bool is_conflict(const Error& error) { return error.code == "23505" || error.code == "23P01"; }

// Each eviction frees one index; more rounds mean that something writes the same values at once.
constexpr int kEvictionsMax = 16;

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
    for (const auto& [table, debts] : attempt.debts) debts_.add(table, std::max(debts, 0L));
    return fail(std::move(sent).error());
  }
  if (sent->failure) {
    Error error = std::move(sent->failure->error);
    if (error.reaction != Reaction::Retry) error.reaction = Reaction::Halt;
    return fail(lost(std::move(error).during("while committing")));
  }
  return committed(std::move(attempt));
}

Status PostgresTarget::apply_isolated_runs(const LaneTransaction& transaction, Attempt& attempt) {
  LOCKSTEP_TRY(session_.begin());
  LOCKSTEP_TRY(run_queued());
  for (const Run& run : transaction.runs) {
    if (run.writes.empty()) continue;
    attempt.table = run.table->id;
    LOCKSTEP_TRY(isolate_run(run, attempt));
  }
  if (transaction.progress.empty()) return {};
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(
      queue_progress(session_, transaction.progress, {options_.session.epoch, transaction.batch}));
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
  DebtRows rows(accepted.table->source.name, accepted.evict ? DebtState::Kept : DebtState::Fresh);
  for (const Refusal& refusal : refused)
    rows.add(*refusal.write, refusal.reason, refusal.detail, refusal.holder);
  if (!rows.empty()) LOCKSTEP_TRY(rows.queue(session_));
  LOCKSTEP_ASSIGN(const std::vector<PgResult> results, run_queued());
  for (std::size_t i = 0; i < steps.size(); ++i) note_result(steps[i], results[i], attempt);
  for (const Refusal& refusal : refused) {
    const TableId table = accepted.table->id;
    attempt.outcome.opened.push_back({table, refusal.write->key_hash, refusal.reason});
    attempt.debts.emplace_back(table, 1);
  }
  return {};
}

Status PostgresTarget::isolate_piece(Piece piece, std::vector<Refusal>& refused, Attempt& attempt) {
  LOCKSTEP_ASSIGN(std::optional<StatementFailure> failure, try_piece(piece, attempt));
  if (!failure) return {};
  if (piece.count == 1) {
    LOCKSTEP_ASSIGN(Refusal refusal, refuse(piece, std::move(*failure), attempt));
    if (refusal.write != nullptr) refused.push_back(std::move(refusal));
    return {};
  }
  const std::size_t half = piece.count / 2;
  LOCKSTEP_TRY(isolate_piece({piece.run, piece.first, half}, refused, attempt));
  return isolate_piece({piece.run, piece.first + half, piece.count - half}, refused, attempt);
}

// Applies a piece under a savepoint.  Returns the failure, undone, when a row was refused.
Result<std::optional<StatementFailure>> PostgresTarget::try_piece(Piece piece, Attempt& attempt) {
  std::vector<Step> steps;
  const Run& run = *piece.run;
  if (run.kind == WriteKind::Upsert &&
      !staged_.prepared(*run.table, StatementKind::Replace, {}).empty())
    steps.push_back({StepKind::Write, StatementKind::Replace, &run, piece.first, piece.count});
  const StatementKind statement = run.kind == WriteKind::Upsert   ? StatementKind::Upsert
                                  : run.kind == WriteKind::Update ? StatementKind::Update
                                                                  : StatementKind::Delete;
  steps.push_back({StepKind::Write, statement, &run, piece.first, piece.count});

  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(session_.queue_sql("SAVEPOINT piece"));
  for (const Step& step : steps) LOCKSTEP_TRY(queue_write(step));
  LOCKSTEP_TRY(session_.queue_sql("RELEASE SAVEPOINT piece"));
  LOCKSTEP_ASSIGN(PipelineOutcome outcome, session_.flush());
  if (!outcome.failure) {
    for (std::size_t i = 0; i < steps.size(); ++i)
      note_result(steps[i], outcome.results[i + 1], attempt);
    return std::nullopt;
  }
  if (!refuses_a_row(outcome.failure->error))
    return fail(table_error(map(run.table->id), std::move(outcome.failure->error)));
  LOCKSTEP_TRY(session_.connection().run("ROLLBACK TO SAVEPOINT piece"));
  return std::move(outcome.failure);
}

// What becomes of one refused row: of a settled debt, what holds its unique value may be evicted
// and the row written after all (then the refusal names no write).
Result<PostgresTarget::Refusal> PostgresTarget::refuse(Piece piece, StatementFailure failure,
                                                       Attempt& attempt) {
  const Write& write = piece.run->writes[piece.first];
  Refusal refusal{&write, DebtReason::Refused, {}, {}};
  for (int round = 0; piece.run->evict && is_conflict(failure.error) && round < kEvictionsMax;
       ++round) {
    LOCKSTEP_ASSIGN(Eviction eviction, evict(piece, failure, attempt));
    refusal.holder = std::move(eviction.holder_text);
    if (eviction.holders == 0) break;
    LOCKSTEP_ASSIGN(std::optional<StatementFailure> again, try_piece(piece, attempt));
    if (!again) return Refusal{};
    failure = std::move(*again);
  }
  refusal.reason = is_conflict(failure.error) ? DebtReason::Violation : DebtReason::Refused;
  refusal.detail =
      failure.error.code.starts_with("P0")
          ? fmt::format("a trigger of the target refused the row ({})", failure.error.code)
          : failure.error.message;
  return refusal;
}

}  // namespace lockstep
