// Scanner: scans one chunk after another under snapshots of its own and hands the rows on, straight
// into the target by COPY where that is safe (I18), through the lanes where not.
//
//   Idle -> Opening -> Reading <-> Copying -> Draining -> Marking -> Idle
//
// A scanner is passive, like a lane: each step() does one bounded thing, so the simulator can let
// anything happen between two of them, a COPY's rows and its COMMIT for one.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/backfill/planner.h"
#include "pipeline/backfill/reading.h"
#include "pipeline/backfill/throttle.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct ScannerOptions {
  std::size_t piece_bytes_max = 2 << 20;  // Adapts below it to the aim.
  std::size_t piece_bytes_min = 64 << 10;
  std::chrono::milliseconds piece_aim{150};  // I10 allows 250.
  std::size_t item_rows_max = 1000;          // Rows in one item for a lane.
  bool direct_copy = true;
};

// Used by one scan thread.
//
// Invariant: while its COPY is open it waits for nothing of ours.
class Scanner {
 public:
  enum class Step : std::uint8_t {
    Done,     // No chunk is left to scan now.
    Working,  // Call again.
    Waiting,  // For the source, the pace or a lane: call again a little later.
  };

  Scanner(ScannerOptions options, Shared shared, Planner& planner, Pacer& pacer,
          ChunkReader& reader, Target& target);

  // Retry: the chunk under way will be taken again; call again, later.
  Result<Step> step();
  // Between two chunks: the reader and the target are free for others.
  bool idle() const { return state_ == State::Idle; }
  // Leaves the chunk under way, which will be taken again, unless its rows have all been read.
  void leave();
  // Its COPY is open, or its end not known yet: keep stepping, lanes wait for it.
  bool copying() const { return state_ == State::Copying || abort_pending_; }
  bool waits_for_flush() const { return state_ == State::Opening && reading_.is_open(); }
  // What it waits for, for status; empty when nothing.
  std::string waiting_for() const;

 private:
  enum class State : std::uint8_t { Idle, Opening, Reading, Copying, Draining, Marking };

  // What is read and not handed on yet.
  struct Piece {
    RowBatch rows;
    std::vector<Hash128> keys;                    // By row.
    std::vector<std::uint32_t> direct;            // Rows for the COPY.
    std::vector<std::vector<std::uint32_t>> via;  // Rows for the lanes, by lane.
    std::vector<std::vector<Hash128>> opened;     // Keys in the open set, by lane.
    void clear();
  };

  Result<Step> take_task();
  Result<Step> empty_table(const ChunkTask& task);
  Result<Step> open();
  Result<Step> read_piece();
  Status judge_piece();
  void judge_lane(std::uint32_t lane, const std::vector<std::uint32_t>& rows);
  Result<Step> copy_piece();
  Result<Step> commit_copy();
  Status abort_copy();
  void close_copy();
  void hand_to_lanes();
  Result<Step> drain();
  Result<Step> mark();
  Result<Step> give_up(Error error);
  void finish(bool done);
  // The marks cover the whole table.  Of a partition that came with rows only the end of its copy
  // is stored, with the table's files: a restart begins it anew.
  bool is_marked() const { return task_.range.partition == 0; }
  ChunkMark chunk_mark() const;
  void adapt_piece(std::chrono::steady_clock::duration took);

  const ScannerOptions options_;
  const Shared shared_;
  Planner& planner_;
  Pacer& pacer_;
  ChunkReader& reader_;
  Target& target_;

  State state_ = State::Idle;
  ChunkTask task_;
  const TableMap* table_ = nullptr;
  Reading reading_;
  Piece piece_;
  bool read_complete_ = false;
  bool void_ = false;           // The chunk must be taken again.
  bool failed_ = false;         // Since it could not be read or written.
  bool abort_pending_ = false;  // A COPY's end is not known yet.
  bool all_direct_ = true;      // No row of the chunk went through a lane.
  bool marked_ = false;         // The done-mark went with the last piece.
  bool refused_snapshot_ = false;
  std::uint64_t rows_ = 0;
  std::size_t piece_bytes_;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace lockstep
