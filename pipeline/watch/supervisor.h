// Supervisor: decides when a run is synced, and keeps the status that people see.
//
// Passive: Assembly calls tick() a few times a second, more often while somebody waits for a proof,
// on the main thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/base/health.h"
#include "pipeline/merge/passage.h"
#include "pipeline/ports/events.h"
#include "pipeline/ports/ledger.h"
#include "pipeline/ports/probe.h"
#include "pipeline/ports/proof.h"
#include "pipeline/ports/source.h"
#include "pipeline/watch/run_status.h"
#include "pipeline/watch/shape_watch.h"

namespace lockstep {

struct SupervisorOptions {
  std::chrono::milliseconds tick_every{200};
  std::chrono::milliseconds look_every{5'000};     // At the source's catalog.
  std::chrono::milliseconds count_every{1'000};    // The debts, while there are some,
  std::chrono::milliseconds recount_every{5'000};  // and while there are none.
  std::chrono::milliseconds proof_step{1'000};     // While following: between two steps of a proof,
  std::chrono::milliseconds proof_every{5'000};    // and between two proofs.
  std::chrono::milliseconds proof_holds{15'000};
  double synced_lag_seconds = 2;  // More is known to be missing than what is under way.
  std::chrono::milliseconds look_back_every{1'000};  // At whether the target has lost anything.
};

// The slow calls of the supervisor; all on its thread.
struct SupervisorPorts {
  SourceProbe& probe;  // A connection of its own.
  StreamProof& proof;
  Ledger& ledger;
  // Whether the stream is held back while tables are copied; with a reason it begins.  May be
  // empty: it never is.
  std::function<bool(std::string_view why)> hold_stream;
  // Tables that the manifest selects and this run does not have; may be empty: there are none.
  std::function<Result<std::vector<std::string>>()> newcomers;
  // Has everything drained and planned anew; may be empty: what needs it stops.
  std::function<void()> plan_again;
};

// tick() on the main thread; status(), set_...(), pause_streams() and prove_from_now() are safe for
// concurrent use.
//
// Invariant: it answers Synced only after, in this order: every table's backfill was done, a marker
// L was emitted, the stream was proven to have passed L, every lane had committed past the stream's
// ends read after that, and then every table was still the one that was copied (I15), and no debt
// was open (V3, I14).
class Supervisor {
 public:
  enum class Conclusion : std::uint8_t {
    GoOn,
    Synced,
    Incomplete,  // Everything is synced but stopped tables, newcomers or quarantined rows.
  };

  Supervisor(SupervisorOptions options, Shared shared, Health& health, Events& events,
             SupervisorPorts ports, std::vector<KnownFiles> known_files);

  // Before the first tick: tables that an earlier run has copied are nothing new.
  void begin();

  // `want_proof`: work towards a conclusion; else only the status is kept, which says whether all
  // that was committed some seconds ago is applied.
  // Retry: a server did not answer; tick again.
  Result<Conclusion> tick(bool want_proof);

  // How long the next tick may wait, unless a proof is asked for.
  std::chrono::milliseconds next_tick() const { return next_tick_; }

  // The streams of a stopped table are not read any more.
  void pause_streams(const std::vector<std::string>& names);
  // `newest_us`: commit time of the last change that this poll read; 0: there was none.
  void set_source(const SourceState& state, std::int64_t newest_us);
  // Asks for a proof that begins after this; it is worked at without a pause.  Returns its number.
  // Of a table for each of thousands of ranges, ProofOf::Tables asks for the catalogs of all.
  std::uint64_t prove_from_now(ProofOf of = ProofOf::Tables);
  // The last one of which all that was committed before it was asked for is on the target, but for
  // rows that are owed.
  std::uint64_t applied_proof() const { return proofs_applied_.load(std::memory_order_acquire); }
  bool is_applied(std::uint64_t proof) const { return applied_proof() >= proof; }
  // What a tick waits for, so that the one who brings it can wake us: a position of the source's
  // log, 0 for none; lanes that commit what they have.
  Lsn awaited_marker() const { return awaited_marker_.load(std::memory_order_relaxed); }
  bool awaits_lanes() const { return awaits_lanes_.load(std::memory_order_relaxed); }
  // Of a proof that was asked for: where every lane has to come to; nothing while the stream may
  // still bring something of it.
  std::optional<Ends> passed_ends(std::uint64_t proof) const;
  // What was committed before it is on the target, but for rows that are owed; 0: no proof has
  // come.
  Lsn applied_through() const { return applied_through_.load(std::memory_order_acquire); }
  // Lanes are in each other's way: a constraint of the target may be new.
  void look_at_once() { look_at_once_.store(true, std::memory_order_release); }
  // Commit time of the oldest change that `lane` holds; 0: none.
  void set_oldest(std::uint32_t lane, std::int64_t commit_us);
  void set_draining();

  RunStatus status() const;
  // RunStatus::lag_seconds, as of now.
  std::optional<double> lag_seconds() const {
    const MutexLock lock(mutex_);
    return lag(Owed::Counts);
  }
  // The same but for rows that are owed: an old debt, or a row that was set aside and is retried,
  // is no sign that a server is too slow.
  std::optional<double> stream_lag_seconds() const {
    const MutexLock lock(mutex_);
    return lag(Owed::DoesNotCount);
  }

 private:
  Status look_back();
  Status count_debts();
  Status count_debts_if_due();
  Status watch_shapes();
  Status look_around();
  void tell(ShapeWatch::News news, const std::string& table, const std::string& what);
  void note_target(const TargetChange& change);
  bool is_complete() const;
  Result<Conclusion> prove(bool want_proof);
  std::uint64_t take_asked();
  Result<Conclusion> step_proof(bool ready, bool patient);
  Result<Conclusion> use_proof(bool ready, bool patient);
  void tell_applied();
  Result<Conclusion> conclude();
  void forget_proof();
  void tell_proof(const std::string& fault);
  bool owes_rows();
  std::set<std::string> streams_of_others() const;
  std::set<std::string> paused() const;
  Status note_stops();
  Status note_tables();
  Status note_stop(TableId id, const TableLife& life);
  void publish();
  enum class Owed : bool { DoesNotCount, Counts };
  std::optional<double> lag(Owed owed) const REQUIRES(mutex_);
  bool proof_stands(std::optional<double> lag) const REQUIRES(mutex_);
  void waits_for(std::string what);
  // Whether it is: what is owed by the last count is owed until the next one says otherwise.
  bool count_is_due() const;
  void hold_stream();

  const SupervisorOptions options_;
  const Shared shared_;
  Health& health_;
  Events& events_;
  SupervisorPorts ports_;
  mutable Mutex mutex_;  // Before `shapes_`, which may notice something while it is made.
  std::optional<Proof> proven_ GUARDED_BY(mutex_);

  // Used by the main thread only.
  bool backfilled_ = false;
  bool changed_ = false;  // A table is to be copied again.
  bool held_back_ = false;
  Passage proof_;
  std::uint64_t proof_number_ = 0;  // The last one asked for before the passage began.
  std::uint64_t looked_ = 0;        // The last one of which the catalogs were looked at.
  bool looks_ = false;              // Somebody who asked since wants to know of the tables.
  bool proof_counts_ = false;       // Every table was copied, and settled, before it began.
  ShapeWatch shapes_;
  std::chrono::steady_clock::time_point next_look_{};
  std::chrono::steady_clock::time_point counted_at_{};
  std::chrono::steady_clock::duration count_took_{};
  std::chrono::steady_clock::time_point looked_back_at_{};
  bool target_lost_ = false;          // By the last look back.
  bool counted_ = false;              // `debts_` says what there is.
  std::uint64_t opened_ = 0;          // Debts of this run, by the last look at the board;
  std::uint64_t counted_opened_ = 0;  // by the last count.
  std::chrono::steady_clock::time_point next_proof_{};
  std::chrono::steady_clock::time_point next_conclusion_{};  // While following.
  std::chrono::milliseconds next_tick_;
  std::vector<std::string> newcomers_;
  std::map<TableId, DebtCount> debts_;
  std::vector<std::string> waiting_;
  std::size_t more_waits_ = 0;                   // Beside those.
  std::map<TableId, std::string> told_stopped_;  // And why, as it was told last.
  std::set<TableId> told_done_;
  std::set<std::string> told_newcomers_;

  std::atomic<bool> look_at_once_{false};  // release/acquire: the catalogs may tell something new.
  std::uint64_t proofs_asked_ GUARDED_BY(mutex_) = 0;
  std::uint64_t looks_asked_ GUARDED_BY(mutex_) = 0;  // The last of them that is of the tables.
  // release/acquire: what the lanes committed for a proof comes before it is told.
  std::atomic<std::uint64_t> proofs_applied_{0};
  std::atomic<Lsn> applied_through_{0};  // release/acquire: what the lanes committed before.

  // Hints: who misses one is found by the next tick.
  std::atomic<Lsn> awaited_marker_{0};
  std::atomic<bool> awaits_lanes_{false};

  RunStatus status_ GUARDED_BY(mutex_);
  std::uint64_t passed_ GUARDED_BY(mutex_) =
      0;                                 // The last proof whose marker the stream has passed,
  Ends passed_ends_ GUARDED_BY(mutex_);  // and where it ended then.
  // What was committed before is on the target, but for rows that are owed.
  std::chrono::steady_clock::time_point applied_until_ GUARDED_BY(mutex_){};
  std::chrono::steady_clock::time_point proven_at_ GUARDED_BY(mutex_){};
  std::chrono::steady_clock::time_point lag_known_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point published_ GUARDED_BY(mutex_){};
  std::int64_t oldest_debt_us_ GUARDED_BY(mutex_) = 0;
  bool held_ GUARDED_BY(mutex_) = false;  // The stream, by us.
  std::set<std::string> paused_ GUARDED_BY(mutex_);
  SourceState source_ GUARDED_BY(mutex_);
  std::int64_t newest_us_ GUARDED_BY(mutex_) = 0;
  bool draining_ GUARDED_BY(mutex_) = false;
  std::vector<std::int64_t> oldest_us_ GUARDED_BY(mutex_);  // By lane.
};

}  // namespace lockstep
