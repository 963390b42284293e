// Sweep: compares every row of a table on both sides while both change (V1 to V7).
//
//   range of keys ─> Reading: S at the source ─> digests ┐
//                    everything S sees is applied (V3)   ├─> unequal keys ─> suspects ─┐
//                    then a snapshot of the target ──────┘                             │
//   suspects, by key, under fresh snapshots, again and again ──> equal, or a finding <─┘
//
// A key that differs while a change is known that S does not see, or while a debt of it is open, is
// in doubt (V4): it says nothing, and is looked at again.  Passive, like the scanner: run/ gives
// its steps a thread, the simulator calls them as it likes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/backfill/reading.h"
#include "pipeline/base/sync.h"
#include "pipeline/ports/reader.h"
#include "pipeline/reconcile/sweep_status.h"
#include "pipeline/tables/compared.h"

namespace lockstep {

struct SweepOptions {
  std::uint64_t chunk_rows = 100'000;  // Compared under one pair of snapshots.
  std::size_t piece_bytes = 4 << 20;
  std::size_t keys_max = 1000;        // Suspects looked at under one pair of snapshots.
  std::size_t suspects_max = 50'000;  // Of all tables; a table with more is not gone through.
  std::size_t findings_max = 10'000;  // Listed; the others are counted.
  std::uint32_t confirmations = 2;    // Looks under fresh snapshots that make a finding (V6).
  std::uint32_t doubts_max = 30;      // Looks in doubt, then the key is not verified.
  std::chrono::milliseconds again_after{250};  // Between two looks at suspects.
  std::uint64_t seed = 0;                      // Of the rows' hashes.
};

struct SweepPorts {
  ChunkReader& source;
  ChunkReader& target;  // Of the target's tables.
  OwedKeys& owed;       // The same connection.
  // Asks for a proof that begins now, and whether it has come (V3).
  std::function<std::uint64_t()> prove;
  std::function<bool(std::uint64_t proof)> is_applied;
};

// step() on one thread; begin() and status() are safe for concurrent use.
//
// Invariant: a range or key counts as compared only when everything that S sees was applied before
// the target's snapshot was taken, and the table is still the one that was copied.
class Sweep {
 public:
  enum class Step : std::uint8_t {
    Done,     // Nothing is to be compared now.
    Working,  // Call again.
    Waiting,  // For a server, a proof or a table's copy: call again a little later.
  };

  Sweep(SweepOptions options, Shared shared, SweepPorts ports);

  // Asks for a sweep of these tables from their beginning; one that is under way is given up.
  void begin(std::vector<TableId> tables);
  // Retry: what was under way is taken again; call again, later.
  Result<Step> step();
  SweepStatus status() const;

 private:
  enum class State : std::uint8_t { Idle, Opening, Source, Proving, Target };

  struct Suspect {
    std::string key;            // Cells, in the source's form.
    std::uint32_t unequal = 0;  // Looks that found it so, with nothing under way.
    std::uint32_t doubts = 0;   // Looks in doubt.
    std::int64_t seen_us = 0;
  };
  using Suspects = std::unordered_map<Hash128, Suspect, Hash128Hasher>;

  struct Table {
    explicit Table(const TableMap& map, std::uint64_t seed) : compared(map, seed) {}
    Compared compared;
    std::optional<std::string> cursor;  // Compared up to here; nothing: the low end.
    bool gone_through = false;
    Suspects suspects;
    TableSweep told;
  };
  // One side's rows of a range, or of a list of keys.
  struct Rows {
    std::vector<RowDigest> digests;
    std::vector<std::string> keys;   // Of `digests`.
    std::vector<std::string> cells;  // Of `digests`; of a list of keys only.
    void clear();
    void sort();
  };
  // What is compared under one pair of snapshots.
  struct Work {
    TableId table = 0;
    KeyRange range;
    std::vector<std::string> keys;  // Of suspects; empty: the range.
    std::uint64_t generation = 0;   // Of the table's life.
  };

  void take_request();
  Result<Step> pick();
  Result<Step> pick_range(Table& table);
  void pick_suspects(Table& table);
  Result<Step> open();
  Result<Step> read_source();
  Result<Step> prove();
  Result<Step> read_target();
  Result<Step> start_target();
  Result<bool> read(ChunkReader& reader, Compared::From side, Rows& rows);
  Status start(ChunkReader& reader, Compared::From side);
  Result<Step> judge();
  // `i`, `j`: where the key is in source_rows_ and target_rows_.
  void judge_key(Table& table, const Hash128& key, std::size_t i, std::size_t j);
  void judge_range(Table& table);
  void judge_suspects(Table& table);
  bool in_doubt(const Table& table, const Hash128& key) const;
  Status ask_debts(const Table& table);
  void find(Table& table, const Suspect& suspect, FindingKind kind,
            std::vector<std::string> columns);
  Result<Step> give_up(Error error);
  void finish();
  void leave(Table& table, std::string why);
  bool is_over(const Table& table) const;
  void publish();

  const SweepOptions options_;
  const Shared shared_;
  const SweepPorts ports_;
  Reading reading_;

  State state_ = State::Idle;
  std::vector<std::unique_ptr<Table>> tables_;  // By TableId; null: not asked for.
  std::size_t next_table_ = 0;
  Work work_;
  Rows source_rows_;
  Rows target_rows_;
  std::set<Hash128> owed_;   // Unequal keys that have debts.
  std::uint64_t proof_ = 0;  // Asked for after S was taken.
  std::chrono::steady_clock::time_point next_look_{};
  Compared::Scratch scratch_;
  std::uint64_t sweep_ = 0;

  mutable Mutex mutex_;
  std::optional<std::vector<TableId>> wanted_ GUARDED_BY(mutex_);
  SweepStatus status_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
