// Meters: what the program counts, for whoever watches it from outside.
//
//   lanes, scanners, source, supervisor ──> Meters ──> daemon/metrics: /metrics
//
// They outlive runs, so that one which is prepared anew within its process counts on.  Whoever
// counts does it once per batch and keeps references: nothing is looked up meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"

namespace lockstep {

// A number that only grows.  Safe for concurrent use; nothing else depends on its order.
class Counter {
 public:
  void add(std::uint64_t more) { value_.fetch_add(more, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// How many values lay between which bounds.  Safe for concurrent use; a reader may see a part of
// what is being added.
class Histogram {
 public:
  // `bounds` rise, each belongs to what lies below it, and live as long as the program.
  explicit Histogram(std::span<const double> bounds);

  void add(double value);

  // What one thread gathers, to be added at once.
  class Gathered {
   public:
    explicit Gathered(const Histogram& of) : bounds_(of.bounds_), counts_(of.counts_.size()) {}
    void add(double value, std::uint64_t times);

   private:
    friend Histogram;
    const std::span<const double> bounds_;
    std::vector<std::uint64_t> counts_;
    double sum_ = 0;
  };
  void add(const Gathered& gathered);

  struct Sums {
    std::span<const double> bounds;
    std::vector<std::uint64_t> up_to;  // By bound: how many were not greater; then all there are.
    double sum = 0;
  };
  Sums read() const;

 private:
  const std::span<const double> bounds_;
  std::vector<Counter> counts_;  // By bound; then what lies above all of them.
  std::atomic<double> sum_{0};   // Relaxed, as the counts.
};

// In seconds; 5 is the lag that a stream is to stay below, so that it has to be one of them.
inline constexpr std::array kSecondsBounds{.001, .0025, .005, .01, .025, .05, .1, .25,
                                           .5,   1.,    2.5,  5.,  10.,  30., 60.};
inline constexpr std::array kRowsBounds{1., 10., 50., 100., 500., 1000., 2000., 4000., 8000.};

// Counts of what has two names that are known only once it happens: what is told, why something is
// tried again.  It looks names up: not for what happens often.  Safe for concurrent use.
class NamedCounter {
 public:
  using Names = std::pair<std::string, std::string>;

  // After the first hundred pairs the second name of every new one is "other".
  void add(std::string_view first, std::string_view second);
  std::map<Names, std::uint64_t> values() const;

 private:
  mutable Mutex mutex_;
  std::map<Names, std::uint64_t> values_ GUARDED_BY(mutex_);
};

// The parts of a run that work by themselves.
enum class Worker : std::uint8_t { Source, Lane, Scan, Debts, Probe, Sweep, Supervisor };
inline constexpr std::array kWorkers{Worker::Source,    Worker::Lane,  Worker::Scan,
                                     Worker::Debts,     Worker::Probe, Worker::Sweep,
                                     Worker::Supervisor};
// "source", ...
std::string_view worker_text(Worker worker);

inline constexpr std::size_t kChangeKinds = 4;   // Of ChangeKind.
inline constexpr std::size_t kDebtReasons = 11;  // Of DebtReason.

struct TableMeters {
  std::array<Counter, kChangeKinds> applied;  // Changes that are on the target; by ChangeKind.
};

// Safe for concurrent use.
struct Meters {
  // The stream, as it was read.
  Counter changes_read;
  Counter bytes_read;  // Of the changes' rows.

  // Lanes: their transactions, and what was in them.
  Counter batches;
  Counter rows_written;
  Counter skipped_applied;  // Changes that the target had already.
  Counter skipped_stopped;  // Changes of tables that have stopped, which are read again later.
  std::array<Counter, kDebtReasons> debts;  // Opened; by DebtReason.
  Histogram batch_rows{kRowsBounds};        // Changes and rows of the copy.
  Histogram apply_latency{kSecondsBounds};  // From the source's commit to the target's.
  Histogram target_transaction{kSecondsBounds};
  Histogram checkpoint_commit{kSecondsBounds};
  std::atomic<std::int64_t> last_applied_us{0};  // When a change was last applied; 0: none was.

  // The copy.
  Counter bytes_copied;  // As they were read from the source.
  Counter chunks_done;
  Counter chunks_retaken;  // They have to be read again.
  Histogram chunk{kSecondsBounds};
  Histogram source_read{kSecondsBounds};  // One piece of a chunk.

  Counter quarantined;  // How often a row was set aside in this process.

  NamedCounter retries;  // By Worker and the server's code, "none" where there is none.
  NamedCounter told;     // Events, by level and message.
  // Microseconds since 1970: when a step of it last came to its end, whatever that was; 0: none
  // has.
  std::array<std::atomic<std::int64_t>, kWorkers.size()> heartbeats{};

  std::atomic<std::int64_t>& heartbeat(Worker worker) {
    return heartbeats[static_cast<std::size_t>(worker)];
  }
  std::int64_t heartbeat(Worker worker) const {
    return heartbeats[static_cast<std::size_t>(worker)].load(std::memory_order_relaxed);
  }

  // Of a table of the source, "public.orders"; it stays where it is.  Looks it up.
  TableMeters& table(const std::string& name);
  // Those that somebody has asked for.
  std::vector<std::pair<std::string, const TableMeters*>> tables() const;

  // Takes how many rows are set aside by now, of each table that has some.  Returns the tables of
  // which these are more than the last time, whatever run that was of.
  std::vector<std::string> more_aside(std::map<std::string, std::uint64_t> now);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::uint64_t> aside_ GUARDED_BY(mutex_);
  std::map<std::string, TableMeters> tables_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
