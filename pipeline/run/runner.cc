#include "pipeline/run/runner.h"

#include <thread>
#include <utility>

#include "pipeline/base/backoff.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/run/assembly.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollWait{100};
constexpr milliseconds kIdleWait{100};
constexpr milliseconds kWaitingWait{20};

milliseconds wait_after(Assembly::Turn turn) {
  return turn == Assembly::Turn::Busy      ? milliseconds(0)
         : turn == Assembly::Turn::Waiting ? kWaitingWait
                                           : kIdleWait;
}

}  // namespace

class Runner::Threads {
 public:
  Threads(RunOptions options, std::vector<const TableMap*> tables, RunPorts ports)
      : options_(options),
        clock_(ports.clock),
        events_(ports.events),
        run_(std::move(options), std::move(tables), std::move(ports)) {}

  Result<ExitCode> run();
  void stop() { run_.stop(); }
  void restate(TableId table, const std::string& reason) { run_.restate(table, reason); }
  std::uint64_t prove() { return run_.prove(); }
  std::uint64_t applied_proof() const { return run_.applied_proof(); }
  Moment& moment() { return run_.moment(); }
  std::optional<Xid> last_change(TableId table, const Hash128& key) const {
    return run_.last_change(table, key);
  }
  void sweep(std::vector<TableId> tables) { run_.sweep(std::move(tables)); }
  void repair(WantedRepairs wanted) { run_.repair(std::move(wanted)); }
  void mark(FindingMark mark) { run_.mark(mark); }
  SweepStatus sweep_status() const { return run_.sweep_status(); }
  SweepStatus sweep_counts() const { return run_.sweep_counts(); }
  RunStatus status() const { return run_.status(); }

 private:
  using Turn = Assembly::Turn;
  using Part = Assembly::Part;

  void start();
  std::optional<ExitCode> supervise();
  void shut_down(bool drain);
  void tell_progress();
  template <typename Step, typename Pause>
  void loop(Part part, std::uint64_t seed, Step step, Pause pause);
  void run_lane(std::uint32_t index);

  const RunOptions options_;
  const Clock& clock_;
  Events& events_;
  Assembly run_;

  // The main thread's.
  std::chrono::steady_clock::time_point begun_{};
  std::chrono::steady_clock::time_point next_progress_{};

  std::array<std::vector<std::jthread>, 4> threads_;  // By Part.
};

// Steps a part until it is over; `pause` waits after a step that had nothing more to do.
template <typename Step, typename Pause>
void Runner::Threads::loop(Part part, std::uint64_t seed, Step step, Pause pause) {
  Backoff backoff(seed);
  for (;;) {
    const Result<Turn> turn = step();
    if (!turn) {
      if (turn.error().reaction != Reaction::Retry) return;
      run_.wait(part, backoff.next(clock_.now()));
      continue;
    }
    backoff.went_well(clock_.now());
    if (*turn == Turn::Over) return;
    if (*turn != Turn::Busy) pause(*turn);
  }
}

// A lane waits in its step, since its queue tells when it has something to do.
void Runner::Threads::run_lane(std::uint32_t index) {
  milliseconds wait = kIdleWait;
  const auto step = [&] { return run_.step_lane(index, std::exchange(wait, milliseconds(0))); };
  loop(Part::Lanes, 100 + index, step, [&](Turn turn) { wait = wait_after(turn); });
}

void Runner::Threads::start() {
  const auto begin = [this](Part part, auto body) {
    threads_[static_cast<std::size_t>(part)].emplace_back(std::move(body));
  };
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane)
    begin(Part::Lanes, [this, lane] { run_lane(lane); });
  begin(Part::Probe, [this] {
    loop(
        Part::Probe, 300, [this] { return run_.step_probe(); },
        [this](Turn) { run_.wait(Part::Probe, options_.probe_every); });
  });
  begin(Part::Source, [this] {
    loop(Part::Source, 1, [this] { return run_.step_source(kPollWait); }, [](Turn) {});
  });
  begin(Part::Reads, [this] {
    loop(
        Part::Reads, 500, [this] { return run_.step_sweep(); },
        [this](Turn turn) { run_.wait(Part::Reads, wait_after(turn)); });
  });
  for (std::size_t scan = 0; scan < run_.readers(); ++scan) {
    begin(Part::Reads, [this, scan] {
      loop(
          Part::Reads, 200 + scan, [this, scan] { return run_.step_read(scan); },
          [this](Turn turn) { run_.wait(Part::Reads, wait_after(turn)); });
    });
  }
}

// Returns what was reached; nothing once the run is to end before that.
std::optional<ExitCode> Runner::Threads::supervise() {
  Backoff backoff(400);
  while (!run_.stopping()) {
    const auto ended = run_.tick();
    if (!ended) {
      if (ended.error().reaction != Reaction::Retry) break;
      run_.wait(backoff.next(clock_.now()));
      continue;
    }
    backoff.went_well(clock_.now());
    if (*ended) return *ended;
    tell_progress();
    run_.wait(run_.next_tick());
  }
  return std::nullopt;
}

void Runner::Threads::tell_progress() {
  const auto now = clock_.now();
  if (!options_.on_progress || now < next_progress_) return;
  if (begun_ == std::chrono::steady_clock::time_point{}) begun_ = now;
  const auto age = now - begun_;
  next_progress_ = now + (age < std::chrono::minutes(1)    ? std::chrono::seconds(1)
                          : age < std::chrono::minutes(10) ? std::chrono::seconds(5)
                                                           : std::chrono::seconds(30));
  options_.on_progress(run_.status());
}

// Ends the threads in flow order.  Draining is bounded: a target that is away must not keep us.
void Runner::Threads::shut_down(bool drain) {
  run_.draining();
  if (options_.on_end) options_.on_end();
  if (!drain) run_.abandon();
  const auto deadline = clock_.now() + options_.drain_limit;
  const std::jthread limit([this, deadline](const std::stop_token& over) {
    while (!over.stop_requested() && !run_.abandoned()) {
      if (clock_.now() >= deadline) return run_.cut_off();
      run_.wait(Part::Lanes, milliseconds(50));
    }
  });
  for (const Part part : {Part::Source, Part::Reads, Part::Lanes, Part::Probe}) {
    run_.end(part);
    threads_[static_cast<std::size_t>(part)].clear();
  }
}

Result<ExitCode> Runner::Threads::run() {
  start();
  const std::optional<ExitCode> reached = supervise();
  const bool failed = run_.failure().has_value();
  const bool complete = run_.exit_code(reached) == ExitCode::Ok;
  if (!failed) events_.draining(complete ? "as asked" : "incomplete");
  shut_down(!failed && !run_.holds_lanes());
  failpoint("drain_before_exit");
  run_.acknowledge_last();
  if (auto failure = run_.failure()) return std::unexpected(std::move(*failure));
  return run_.exit_code(reached);
}

Runner::Runner(RunOptions options, std::vector<const TableMap*> tables, RunPorts ports)
    : threads_(std::make_unique<Threads>(std::move(options), std::move(tables), std::move(ports))) {
}
Runner::~Runner() = default;

class Beside::Thread {
 public:
  explicit Thread(std::function<void()> body) : thread_(std::move(body)) {}

 private:
  std::jthread thread_;
};

Beside::Beside(std::function<void()> body, std::function<void()> stop)
    : stop_(std::move(stop)), thread_(std::make_unique<Thread>(std::move(body))) {}
Beside::~Beside() { stop_(); }

Result<ExitCode> Runner::run() { return threads_->run(); }
void Runner::stop() { threads_->stop(); }
void Runner::restate(TableId table, const std::string& reason) { threads_->restate(table, reason); }
std::uint64_t Runner::prove() { return threads_->prove(); }
std::uint64_t Runner::applied_proof() const { return threads_->applied_proof(); }
Moment& Runner::moment() { return threads_->moment(); }
std::optional<Xid> Runner::last_change(TableId table, const Hash128& key) const {
  return threads_->last_change(table, key);
}
void Runner::sweep(std::vector<TableId> tables) { threads_->sweep(std::move(tables)); }
void Runner::repair(WantedRepairs wanted) { threads_->repair(std::move(wanted)); }
void Runner::mark(FindingMark mark) { threads_->mark(mark); }
SweepStatus Runner::sweep_status() const { return threads_->sweep_status(); }
SweepStatus Runner::sweep_counts() const { return threads_->sweep_counts(); }
RunStatus Runner::status() const { return threads_->status(); }

}  // namespace lockstep
