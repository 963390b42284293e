// Sweep: compares every row of a table on both sides while both change (V1 to V7).
//
//   range of keys ─> Reading: S at the source ─────────┐
//                    everything S sees is applied (V3) ├─> digests ─> unequal keys ─> suspects ─┐
//                    then a snapshot of the target ────┘   of both                              │
//   suspects, by key, under fresh snapshots, again and again ──> equal, or a finding <──────────┘
//
// Where both servers digest rows alike they say first what they make of the range, and rows are
// read only of its parts that differ (sweep_digest.cc).  Where they order keys otherwise, each side
// has ranges of its own, and the other one is asked for their keys (range_book.h, sweep_orders.cc).
//
// Which range is next: of a table that somebody asked for, or that is to be healed, each once,
// without a pause; else, where the comparison is continuous, the most urgent one (urgency.h),
// within a budget, and only while the stream keeps up.  Ranges and findings are kept in the store.
//
// Of a table that is healed (TableLife) what differs is no finding: it is read again from the
// source, many keys under one snapshot, and looked at again until it is equal; only what that does
// not cure is found.  A range in which thousands of keys differ is compared again as a whole.
//
// A key that differs while a change is known that S does not see, or while a debt of it is open, is
// in doubt (V4): it says nothing, and is looked at again.  A key that changes all the time is in
// doubt at every look: then its lane waits in front of its next change (V7).  Passive, like the
// scanner: run/ gives its steps a thread, the simulator calls them as it likes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/backfill/key_reading.h"
#include "pipeline/backfill/reading.h"
#include "pipeline/base/sync.h"
#include "pipeline/merge/passage.h"
#include "pipeline/ports/digests.h"
#include "pipeline/ports/verified.h"
#include "pipeline/reconcile/range_book.h"
#include "pipeline/reconcile/repair_budget.h"
#include "pipeline/reconcile/sweep_status.h"
#include "pipeline/tables/compared.h"
#include "pipeline/tables/key_order.h"

namespace lockstep {

struct SweepOptions {
  std::uint64_t chunk_rows = 100'000;     // Compared under one pair of snapshots.
  std::size_t piece_bytes = 256 << 10;    // A server waits for us with about as much on its way.
  std::size_t keys_max = 1000;            // Looked at under one pair of snapshots, with their rows.
  std::size_t many_keys_max = 10'000;     // The same without rows; read again by one statement.
  std::size_t suspects_max = 50'000;      // Of a table; while it has more, no range of it is read.
  std::size_t findings_max = 10'000;      // Listed; the others are counted.
  std::size_t cell_bytes_max = 64 << 20;  // Of either side's rows of a list of keys.
  std::size_t row_bytes_max = 1 << 20;    // Of either row of a finding that are kept.
  std::uint32_t confirmations = 2;        // Looks under fresh snapshots that make a finding (V6).
  std::uint32_t doubts_max = 30;          // Looks in doubt, then the key is not verified.
  std::uint32_t looks_max = 200;          // The same, with looks that do not count (V7).
  std::uint32_t doubts_to_hold = 3;       // Looks in doubt, then a busy key is held (V7).
  std::size_t held_max = 256;             // Keys held under one snapshot of the source.
  std::chrono::milliseconds hold_limit{2000};  // A lane waits for a look, at most.
  std::chrono::milliseconds arrival_wait{20};  // For a lane to arrive, in one step.
  std::chrono::milliseconds again_after{250};  // Between two looks at suspects.
  std::uint64_t seed = 0;                      // Of the rows' hashes.
  std::uint64_t chunk_rows_min = 1000;
  // The source's rows of a range are read for so long, about: its snapshot is as old.
  std::chrono::milliseconds chunk_aim{1000};
  bool continuous = false;
  std::chrono::seconds every{86'400};   // Continuous: between two comparisons of a range.
  double share = 0.25;                  // ... but no more of the time than this.
  std::chrono::seconds look_every{60};  // At open findings, whether they still are.
  std::chrono::seconds left_again{60};  // A table that could not be read.
  bool repairs = false;                 // What is found, without being asked.
  // More open findings of a table than this part of its rows, or than that many, wait for a person.
  double repair_share_max = 0.001;
  std::uint64_t repair_rows_max = 10'000;
  std::uint64_t sample_per_second = 0;   // Continuous: of keys that were just changed.
  std::uint64_t repairs_per_minute = 0;  // Of all tables, asked for or not; 0: no limit.
  bool digests = false;                  // The servers digest rows, where both do it alike.
  std::uint64_t part_rows = 500;         // Of a range's parts that are digested, or more.
  std::size_t parts_max = 4000;          // Of a range.
  // Instead of chunk_rows, where somebody waits and few rows have to be read.
  std::uint64_t digested_rows_max = 800'000;
  std::chrono::milliseconds digest_wait{5};  // For a server's digest, in one step.
};

struct SweepPorts {
  DigestReader& source;
  DigestReader& target;  // Of the target's tables.
  OwedKeys& owed;        // The same connection.
  // Asks for a proof that begins now, and whether it has come (V3).
  std::function<std::uint64_t(ProofOf of)> prove;
  std::function<bool(std::uint64_t proof)> is_applied;
  // What was committed before it is applied, by a proof; 0: none has come yet.
  std::function<Lsn()> applied_through;
  VerifiedStore& store;
  // Why the continuous comparison should leave the servers alone right now; "": it need not.
  std::function<std::string()> busy;
  // What the comparison may read in a second of its time, rows and bytes of both sides; 0: no
  // limit.
  std::function<std::uint64_t()> rows_per_second;
  std::function<std::uint64_t()> bytes_per_second;
  // The governor's share.
  std::function<double()> share;
};

// step() on one thread; begin() and what answers a status are safe for concurrent use.
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

  // Asks for every range of these tables once; what was asked for before is given up.
  void begin(std::vector<TableId> tables);
  // Asks for the repair of open findings: each row is looked at once more and, if it still is on
  // the target as it was seen, read again from the source (a debt, I17).
  void repair(WantedRepairs wanted);
  // A person took a repair back, or could not; `findings list` shows it once it is noted.
  void mark(FindingMark mark);
  // Notes those that came, in the store alone; step() does so, too.  On its thread.
  Status take_marks();
  // Retry: what was under way is taken again; call again, later.
  Result<Step> step();
  // Leaves what is under way, which is taken again by the next step(): nobody waits for the sweep
  // any more, since the run ends or the sweep is held.  On the thread of step().
  void leave() {
    if (state_ != State::Idle) finish();
  }
  SweepStatus status() const;
  // The same without the findings, which may be many.
  SweepStatus counts() const;
  // How many open findings each table has.
  std::vector<std::pair<TableId, std::uint64_t>> open_findings() const;

 private:
  enum class State : std::uint8_t {
    Idle,
    Cutting,  // The next range, where a server says.
    Opening,
    Digests,    // Of a range, by both servers at once.
    Both,       // Its rows, likewise.
    Source,     // Keys: of the source,
    Proving,    // of nobody,
    Target,     // and of the target.
    Rereading,  // Keys that a heal found unequal,
    Landing,    // until the lanes have written them.
  };

  enum class Side : std::uint8_t { Waiting, Reading, Read };

  struct Suspect {
    std::string key;            // Cells, in the source's form.
    std::uint32_t unequal = 0;  // Looks that found it so, with nothing under way.
    std::uint32_t doubts = 0;   // Looks in doubt; once it is busy, only those that held it.
    std::uint32_t looks = 0;    // In doubt, also those that do not count.
    std::int64_t seen_us = 0;
    // Ranges that wait for it: several where the sides order keys in another way; none of a finding
    // that is looked at again.
    std::vector<RangeBook::RangeId> ranges{};
    bool busy = false;  // The last doubt was of a change that S did not see.
    bool sampled = false;
    // Nothing waits for it, and nothing is known against it.
    bool is_chance() const { return sampled && ranges.empty() && unequal == 0; }
  };
  using Suspects = std::unordered_map<Hash128, Suspect, Hash128Hasher>;

  // Where the source is asked to cut a range that is digested, and what it answered.
  struct Cutting {
    KeyRange range;
    std::uint64_t every = 0;           // Rows of a part.
    std::size_t parts = 0;             // Of a range that is cut.
    std::size_t wanted = 0;            // As many bounds as a range has that is not left whole.
    std::optional<std::string> cut{};  // Where the range ends, if before its end.
    std::vector<std::string> bounds{};
    std::chrono::steady_clock::time_point asked_at{};
  };

  struct Table {
    Table(const TableMap& table, VerifiedStore& store)
        : map(table), orders(why_two_orders(table)), ranges(store, table.text(), !orders.empty()) {}
    // Forgets what was found, and takes another seed.
    void begin(std::uint64_t with_seed);
    // All that was noted by the wall clock: it was set back by so much.
    void move_back(std::int64_t by_us);

    const TableMap& map;
    const std::string orders;  // Why the two sides order its keys otherwise; "": they do not.
    std::uint64_t seed = 0;    // Of the rows' hashes.
    std::optional<Compared> compared;  // Once something of the table is compared.
    RangeBook ranges;
    std::uint64_t chunk_rows = 0;  // Of its next range; 0: as the options say.
    std::uint32_t too_large = 0;   // So many of the last ranges had far more rows than asked for.
    std::uint32_t read_whole = 0;  // So many of the next ranges: those before differed much.
    std::optional<Cutting> ahead;  // Of the range that is next, as it looked before.
    std::string no_digests{};      // Why a server could not digest its rows.
    std::uint64_t version = 0;     // Of the table's life that the ranges are of.
    Hash128 copy{};                // Of the copy that the store says they are of.
    std::uint64_t missed = 0;      // Of that life, while it is to be healed; else 0.
    std::uint64_t undecided = 0;   // Rows that a heal could not compare.
    // Ranges that it has read again as a whole, by order and lower bound: once each.
    std::set<std::pair<Compared::From, std::optional<std::string>>> reread{};
    bool heals() const { return missed != 0; }
    bool loaded = false;  // The ranges and the open findings, from the store.
    bool asked = false;   // Somebody waits for every range.
    Suspects suspects;
    bool found_next = true;  // The next look is at keys that it may find, if there are others, too.
    bool all_next = false;   // The next look is not at held keys: it takes a proof (V3).
    // Open findings that are looked at again, and how many there are in all.
    struct OpenFinding {
      std::uint64_t id = 0;
      std::string key;
      std::int64_t looked_us = 0;
      bool repairing = false;               // Its row is being read again.
      std::optional<WantedRepair> asked{};  // Somebody wants it repaired.
      bool left_alone = false;              // Nobody but a person has it repaired.
    };
    std::unordered_map<Hash128, OpenFinding, Hash128Hasher> open;
    void look_at_all();                    // At those that are open, whenever they were seen.
    std::uint64_t open_count = 0;          // Of all; `open` holds suspects_max at most.
    std::int64_t filled_us = 0;            // When `open` was.
    std::uint64_t sample_matches = 0;      // Of this run.
    std::uint64_t sample_divergences = 0;  // Likewise.
    std::size_t awaited_suspects() const;  // Without those that were sampled, and no more.
    std::set<Hash128> told_of;             // Findings of this request, which may meet a row twice.
    std::uint64_t repairs = 0;     // Begun without being asked, since all else was equal last.
    std::uint64_t unequal = 0;     // Suspects that are no findings yet, at the last look.
    std::uint64_t left_alone = 0;  // Of `open`, likewise.
    std::int64_t unrest_us = 0;    // The last time that another row than these was not equal.
    void count_left_alone();
    std::int64_t clean_since_us = 0;
    std::int64_t trouble_us = 0;  // The last time that some row was not equal, or not compared.
    std::int64_t left_us = 0;     // When it was left alone; see told.left.
    TableSweep told;
    std::uint64_t told_changes = 0;  // Of the ranges in it.
    bool in_request = false;         // Of the last request; `answer`: what it came to.
    TableSweep answer;
  };
  // One side's rows of a range, or of a list of keys.
  struct Rows {
    std::vector<RowDigest> digests;
    std::vector<std::string> keys;   // Of `digests`.
    std::vector<std::string> cells;  // Of `digests`; of a list of keys only, as far as they fit.
    std::size_t cell_bytes = 0;
    void clear();
    void sort();
  };
  // What is compared under one pair of snapshots.
  struct Work {
    TableId table = 0;
    KeyRange range;
    Compared::From order = Compared::From::Source;  // Of the range.
    bool by_key = false;        // Only that side is read by it, the other by the keys that it has,
    std::size_t looked_up = 0;  // so many of them.
    RangeBook::RangeId range_id = 0;  // Taken; 0: not yet, or suspects.
    Lsn position = 0;                 // Of the range: S sees all that was committed before.
    std::vector<std::string> keys;    // Of suspects; empty: the range.
    std::uint64_t version = 0;        // Of the table's life.
    std::chrono::steady_clock::time_point begun{};
    std::chrono::steady_clock::time_point read_begun{};  // On the source.
    Side source = Side::Reading;                         // Of a range.
    Side target = Side::Waiting;
    std::uint64_t bytes = 0;         // Read, on both sides.
    bool rereads = false;            // Nothing is compared.
    std::size_t reread = 0;          // So many of the keys are handed to their lanes.
    bool keeps_rows = false;         // Of `keys`: one of them may become a finding.
    bool held = false;               // The keys are (V7).
    bool settled = false;            // Some of the keys need no other look.
    std::vector<std::string> later;  // Held keys that are not read on the target yet.
    std::optional<DigestForm> form;  // Of a range that is digested.
    // Of a range that is digested, until it is cut, and of the one after it.
    std::optional<Cutting> cutting;
    std::optional<Cutting> ahead;
    bool bounds_asked = false;  // Of the server that says where.
    bool looked_ahead = false;
    std::uint64_t rows_wanted = 0;  // Of the range, as it was cut.
    std::optional<std::vector<PartDigest>> source_digest;
    std::optional<std::vector<PartDigest>> target_digest;
    std::optional<std::uint64_t> digested;  // Rows of the source in it, though few are read.
  };

  // What the continuous comparison rests from: nobody waited for it.
  struct LastRange {
    std::chrono::steady_clock::time_point ended{};
    std::chrono::duration<double> took{0};
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };

  Result<bool> take_request();
  bool take_repairs();
  void take_sample();
  Status prune();
  void note_mark(Table& table, const Finding& finding) const;
  Status load(Table& table, const TableLife& life);
  Result<Step> pick();
  Result<bool> is_ready(Table& table, const TableLife& life);
  Status begin_anew(Table& table, const TableLife& life);
  Status note_copy(Table& table, const Hash128& copy);
  Status end_heal(TableId id);
  Step begin_reread();
  Result<Step> start_reread();
  Result<Step> reread();
  Result<Step> land();
  // Ranges that were tried before it are due.
  std::int64_t due_before(const Table& table) const;
  std::int64_t due_soon(const Table& table) const;
  bool may_go_on();
  template <typename Need>
  std::optional<std::size_t> next_table(Need need);
  double urgency(const Table& table) const;
  Status fill_open(Table& table);
  Status recall(Table& table);
  Result<Step> pick_range(std::size_t id);
  void steer(Table& table, std::uint64_t rows) const;
  Work work_on(std::size_t id) const;
  void pick_suspects(std::size_t id);
  // How many keys one statement may name.
  std::size_t many_keys(const TableMap& map) const;
  Result<Step> open();
  Result<Step> read_side(Compared::From side);
  Result<Step> prove();
  bool is_proven();
  // Of digests: sweep_digest.cc.
  Status ask_servers();
  std::string why_read(const Table& table) const;
  Result<std::optional<DigestForm>> next_form(Table& table);
  std::uint64_t rows_max(const Table& table) const;
  std::uint64_t rows_wanted(const Table& table) const;
  Result<std::optional<std::string>> cut(const Table& table, const RangeBook::Due& due,
                                         std::uint64_t rows);
  Cutting cutting_of(const Table& table, const Coverage::Due& due, std::uint64_t rows) const;
  Status look_ahead(Table& table);
  bool known_ahead(Table& table, Cutting& cutting) const;
  Result<std::optional<std::vector<std::string>>> ask_bounds(const Cutting& cutting);
  Result<Step> cut_in_parts();
  Result<Step> take_range(std::optional<std::string> cut);
  Status start_digest(DigestReader& reader, Compared::From side);
  Result<Step> digest();
  Result<Step> digest_both();
  Result<Step> judge_digests();
  Status read_parts(const std::vector<std::size_t>& parts);
  Result<Step> give_up_digests(Error error);
  bool is_outdated() const;
  Status end_range(Table& table, std::uint64_t rows, std::size_t suspects);
  Result<Step> read_both();
  Result<Step> read_piece_of_both();
  Status begin_target();
  Status start_target();
  Result<bool> read(ChunkReader& reader, Compared::From side, Rows& rows);
  Status start(ChunkReader& reader, Compared::From side);
  // Of ranges of two orders, and of those that are too large: sweep_orders.cc.
  DigestReader& reader_of(Compared::From side) const;
  Rows& rows_of(Compared::From side);
  bool is_too_large(const Rows& rows) const;
  Result<Step> look_up();
  Result<Step> split_orders();
  Result<Step> cut_again();
  Result<Step> judge_or_give_up();
  Result<Step> judge();
  // `i`, `j`: where the key is in source_rows_ and target_rows_.
  Status judge_key(Table& table, const Hash128& key, std::size_t i, std::size_t j);
  Status judge_range(Table& table);
  bool reread_as_a_whole(Table& table);
  Status judge_suspects(Table& table);
  Status drop_suspect(Table& table, Suspects::iterator suspect, RangeBook::Outcome outcome);
  bool in_doubt(const Table& table, const Hash128& key) const;
  // Once more unequal and it is a finding.
  bool may_be_found(const Suspect& suspect) const;
  // Of busy keys (V7): sweep_hold.cc.
  bool needs_hold(const Suspect& suspect) const;
  bool pick_busy(Table& table);
  Result<Reading::Ready> prepare_held();
  bool prove_held();
  bool more_held();
  void let_go();
  Status leave_in_doubt(Table& table, Suspects::iterator suspect);
  Status ask_debts(const Table& table);
  Status resolve(Table& table, const Hash128& key);
  Status resolve_all(Table& table);
  Status keep(Table& table, Finding finding);
  Status end_repair(Table& table, const Hash128& key);
  bool may_repair(const Table& table, const Finding& known, const Finding& now);
  // Why what is found waits for a person, though it may be repaired by itself; else "".
  std::string repairs_wait(const Table& table) const;
  // Has the rows of these keys read again; `keys` are cells, in the source's form.
  void owe(const Table& table, std::span<const std::string> keys, DebtReason reason);
  // `seen`: the kind, and the rows as far as they are kept.
  Status find(Table& table, const Suspect& suspect, Finding seen);
  Result<Step> give_up(Error error);
  void finish();
  void follow_clock();
  void rest(const Table& table, std::uint64_t rows);
  std::chrono::steady_clock::time_point rested() const;
  void leave(Table& table, std::string why);
  bool is_over(const Table& table) const;
  void tell(Table& table) const;
  static void tell_ranges(Table& table);
  void publish();

  static constexpr std::uint64_t kRowsOfRange = 3;  // Times those that it is to have, at most.

  const SweepOptions options_;
  const Shared shared_;
  const SweepPorts ports_;
  Reading reading_;
  KeyReading rereading_{reading_, ports_.source, shared_};

  State state_ = State::Idle;
  LastRange last_range_;
  std::vector<std::unique_ptr<Table>> tables_;  // By TableId.
  std::size_t last_table_ = 0;
  std::vector<bool> ready_;  // By TableId: rows of it may be compared now.
  Work work_;
  Rows source_rows_;
  Rows target_rows_;
  TableId heals_ = 0;
  std::vector<std::string> to_reread_;                // Keys of table `heals_`.
  bool retake_ = false;                               // Some of them could not be judged.
  std::set<Hash128> owed_;                            // Unequal keys that have debts.
  std::set<Hash128> accepted_;                        // Unequal, as a person accepted.
  Lsn target_end_ = 0;                                // Of its log, as the store has it.
  std::uint64_t proof_ = 0;                           // Asked for after S was taken; 0: not yet.
  std::chrono::steady_clock::time_point prove_at_{};  // Of held keys that do not arrive.
  std::chrono::steady_clock::time_point next_look_{};
  std::chrono::steady_clock::time_point idle_until_{};  // Nothing was to do.
  std::chrono::steady_clock::time_point next_prune_{};
  std::chrono::steady_clock::time_point next_sample_{};
  std::chrono::steady_clock::time_point clock_seen_{};  // At the last step,
  std::int64_t clock_seen_us_ = 0;                      // and by the wall clock; 0: none was yet.
  std::string waits_;
  bool suspects_turn_ = true;    // Else a range is next, where both could be.
  WantedRepairs to_repair_;      // Findings that wait for their look.
  std::uint64_t held_back_ = 0;  // Of these, by the budget.
  RepairBudget budget_;
  std::optional<bool> servers_agree_;  // On digests; nothing: not asked yet.
  Compared::Scratch scratch_;
  std::uint64_t sweep_ = 0;

  mutable Mutex mutex_;
  std::optional<std::vector<TableId>> wanted_ GUARDED_BY(mutex_);
  WantedRepairs repairs_ GUARDED_BY(mutex_);
  std::vector<FindingMark> marks_ GUARDED_BY(mutex_);
  SweepStatus status_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
