#include "daemon/aggregates/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/commands/commands.h"
#include "daemon/tables.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kLookEvery{200};
constexpr std::chrono::milliseconds kMomentEvery{2};
constexpr std::chrono::milliseconds kAgainAfter{20};
constexpr std::chrono::seconds kMomentMax{10};
constexpr std::chrono::seconds kAttemptsMax{15};
constexpr std::chrono::seconds kRetryAfter{60};

std::int64_t wall_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_following(const RunTableStatus& table) {
  const TableLife& life = table.counts.life;
  return !table.stopped.empty() || life.is_stopped() ||
         (life.stage == Stage::Following && life.is_settled());
}

std::uint64_t debts_opened(const RunStatus& status) {
  std::uint64_t opened = 0;
  for (const RunTableStatus& table : status.tables) opened += table.counts.debts_opened;
  return opened;
}

}  // namespace

AggregateWatch::AggregateWatch(const Manifest& manifest, RunState& state, AggregateBoard& board,
                               bool scheduled)
    : manifest_(manifest),
      state_(state),
      board_(board),
      scheduled_(scheduled),
      bookkeeping_{manifest.target.schema.value, manifest.migration.value},
      source_(Side::Source, connection_options(manifest, Side::Source, "aggregates"), over_),
      target_(Side::Target, connection_options(manifest, Side::Target, "aggregates"), over_) {}

void AggregateWatch::run() {
  while (!manifest_.aggregates.empty() && !over_.drained()) {
    over_.take(1, kLookEvery);
    if (over_.drained()) return;
    const bool asked = board_.asked();
    const auto wanted = due();
    if (wanted.empty() || !is_ready()) continue;
    take(wanted);
    if (asked && !over_.drained()) board_.answered();
  }
}

std::vector<const ManifestAggregate*> AggregateWatch::due() const {
  const bool asked = board_.asked();
  const std::vector<AggregateResult> results = board_.results();
  std::vector<const ManifestAggregate*> wanted;
  for (const ManifestAggregate& aggregate : manifest_.aggregates) {
    const auto last = std::ranges::find(results, aggregate.name.value, &AggregateResult::name);
    const bool told =
        last->state == AggregateState::Equal || last->state == AggregateState::Different;
    const auto every = told || slow_ ? aggregate.every : std::min(aggregate.every, kRetryAfter);
    if (asked || (scheduled_ && is_due(*last, every, wall_us()))) wanted.push_back(&aggregate);
  }
  return wanted;
}

bool AggregateWatch::is_ready() const {
  const RunStatus status = state_.run_status();
  return status.phase == Phase::Follow && std::ranges::all_of(status.tables, is_following);
}

// ---------------------------------------------------------------- one position of both sides

// Waits until `done`, at most kMomentMax.
Result<bool> AggregateWatch::await(const std::function<bool(Moment&)>& done) {
  const Time until = std::chrono::steady_clock::now() + kMomentMax;
  for (;;) {
    bool is_done = false;
    if (!state_.with_moment(run_, [&](Moment& moment) { is_done = done(moment); })) return false;
    if (is_done) return true;
    over_.take(1, kMomentEvery);
    if (over_.drained()) return fail(Reaction::Cancel, "the run ends");
    if (std::chrono::steady_clock::now() >= until) return false;
  }
}

// Returns whether both sides' transactions are open and see the same.
Result<bool> AggregateWatch::align() {
  LOCKSTEP_ASSIGN(const std::uint64_t owed, target_.owed(bookkeeping_, "'open'"));
  why_ = fmt::format("{} rows are owed to the target", owed);
  if (owed > 0) return false;
  const std::uint64_t opened = debts_opened(state_.run_status());
  run_ = state_.run();
  why_ = "the run is being prepared";
  const auto servers = state_.servers();
  if (!servers) return false;
  if (!state_.with_moment(run_, [](Moment& moment) { moment.begin(); })) return false;
  const Result<bool> same = stand_still(*servers);
  state_.with_moment(run_, [](Moment& moment) { moment.end(); });
  if (!same || !*same) return same;
  LOCKSTEP_ASSIGN(const std::uint64_t owed_now, target_.owed(bookkeeping_, "'open'"));
  why_ = "rows were owed to the target, or a table was about to be read again, meanwhile";
  return owed_now == 0 && debts_opened(state_.run_status()) == opened && is_ready();
}

Result<bool> AggregateWatch::stand_still(const RunState::Servers& servers) {
  LOCKSTEP_ASSIGN(const OpenSnapshot source, source_.begin(servers.source));
  position_ = source.insert_lsn;
  state_.with_moment(run_, [&](Moment& moment) { moment.see(source.snapshot); });
  why_ = "it could not be proven in time that everything is applied";
  bool over = false;
  LOCKSTEP_ASSIGN(const bool stands, await([&](Moment& moment) {
                    over = moment.is_over();
                    return over || moment.stands();
                  }));
  if (over) {
    slow_ = true;
    why_ =
        "a proof that everything is applied takes longer than changes may wait for it: two seconds";
  }
  if (!stands || over) return false;
  LOCKSTEP_TRY(target_.begin(servers.target));
  bool no_more = false;
  state_.with_moment(run_, [&](Moment& moment) { no_more = moment.release(); });
  why_ = "transactions of the source became visible in another order than they committed";
  if (!no_more) return false;
  std::optional<bool> exact;
  LOCKSTEP_TRY(await([&](Moment& moment) { return (exact = moment.exact()).has_value(); }));
  return exact.value_or(false);
}

// ---------------------------------------------------------------- what they come to

void AggregateWatch::put_all(const std::vector<const ManifestAggregate*>& wanted,
                             AggregateState state, const std::string& reason) {
  std::vector<AggregateResult> results;
  for (const ManifestAggregate* aggregate : wanted) {
    AggregateResult& result = results.emplace_back(pending_result(*aggregate));
    result.state = state;
    result.at_us = wall_us();
    result.reason = reason;
  }
  if (const Status saved = board_.put(results); !saved) complain(saved.error());
}

void AggregateWatch::end() {
  source_.end();
  target_.end();
}

// Until it comes off.  Returns false when it is too late.
Result<bool> AggregateWatch::align_until(Time until) {
  for (;;) {
    end();
    LOCKSTEP_ASSIGN(const bool aligned, align());
    if (aligned) return true;
    end();
    if (slow_ || std::chrono::steady_clock::now() >= until) return false;
    over_.take(1, kAgainAfter);
    if (over_.drained()) return fail(Reaction::Cancel, "the run ends");
  }
}

// What differs is taken once more, as of another moment: a table that was truncated between the two
// statements is empty for that side's alone, whatever its snapshot.
void AggregateWatch::take(const std::vector<const ManifestAggregate*>& wanted) {
  const Time until = std::chrono::steady_clock::now() + kAttemptsMax;
  slow_ = false;
  std::vector<AggregateResult> results;
  const auto take_all = [&]() -> Result<bool> {
    LOCKSTEP_ASSIGN(const bool aligned, align_until(until));
    if (!aligned) return false;
    for (const ManifestAggregate* aggregate : wanted) {
      LOCKSTEP_ASSIGN(AggregateResult result, compare(*aggregate));
      results.push_back(std::move(result));
    }
    const auto differs = [](const AggregateResult& result) {
      return result.state == AggregateState::Different;
    };
    if (std::ranges::none_of(results, differs)) return true;
    LOCKSTEP_ASSIGN(const bool again, align_until(until));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!differs(results[i])) continue;
      results[i].state = AggregateState::Unaligned;
      results[i].reason = why_;
      if (!again) continue;
      LOCKSTEP_ASSIGN(results[i], compare(*wanted[i]));
    }
    return true;
  };
  const auto taken = take_all();
  end();
  if (!taken && taken.error().reaction == Reaction::Cancel) return;
  if (!taken) return put_all(wanted, AggregateState::Failed, taken.error().message);
  if (!*taken) return put_all(wanted, AggregateState::Unaligned, why_);
  if (const Status saved = board_.put(results); !saved) complain(saved.error());
}

// Why the target cannot have everything: that is known without them.
Result<std::string> AggregateWatch::known_lack() {
  for (const RunTableStatus& table : state_.run_status().tables)
    if (!table.stopped.empty())
      return fmt::format("{} has stopped: lockstep status {}", table.table, manifest_.path);
  LOCKSTEP_ASSIGN(const std::uint64_t aside,
                  target_.owed(bookkeeping_, "'quarantined', 'dropped'"));
  return aside == 0 ? ""
                    : fmt::format("{} rows were set aside: lockstep quarantine list {}", aside,
                                  manifest_.path);
}

Status AggregateWatch::judge(const ManifestAggregate& aggregate, const AggregateRow& source,
                             const AggregateRow& target, AggregateResult& result) {
  result.state = AggregateState::Equal;
  bool same = source.values.size() == target.values.size();
  for (std::size_t i = 0; same && i < source.values.size(); ++i) {
    const auto& [a, b] = std::pair(source.values[i], target.values[i]);
    if (a == b) continue;
    same = a && b && source.numbers[i] && target.numbers[i];
    if (!same) break;
    LOCKSTEP_ASSIGN(same, target_.are_near(*a, *b, aggregate.tolerance));
  }
  if (same) return {};
  LOCKSTEP_ASSIGN(result.reason, known_lack());
  result.state = result.reason.empty() ? AggregateState::Different : AggregateState::Unaligned;
  return {};
}

Result<AggregateResult> AggregateWatch::compare(const ManifestAggregate& aggregate) {
  AggregateResult result = pending_result(aggregate);
  result.at_us = wall_us();
  result.position = position_;
  const auto read = [&](AggregateSide& side, const At<std::string>& sql,
                        const char* which) -> Result<std::optional<AggregateRow>> {
    auto row = side.row_of(sql.value);
    if (row) return std::optional(*std::move(row));
    if (row.error().reaction != Reaction::Halt) return fail(std::move(row).error());
    result.state = AggregateState::Failed;
    result.reason =
        fmt::format("{} ({}:{}): {}", which, manifest_.path, sql.where.line, row.error().message);
    return std::optional<AggregateRow>();
  };
  LOCKSTEP_ASSIGN(const auto source, read(source_, aggregate.source, "source"));
  if (source) result.columns = source->columns;
  if (source) result.source = source->values;
  LOCKSTEP_ASSIGN(const auto target, read(target_, aggregate.target, "target"));
  if (target) result.target = target->values;
  if (source && target) LOCKSTEP_TRY(judge(aggregate, *source, *target, result));
  return result;
}

}  // namespace lockstep
