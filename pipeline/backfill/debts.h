// DebtReader: reads rows that an event could not give us from the source again, and hands them to
// their lanes (I17).
//
//   target's debt table -> Reading -> rows, and keys without a row -> lanes -> reports
//
// Passive, like the scanner: runner.cc lets a scan thread step it between two chunks.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/backfill/key_reading.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct DebtReaderOptions {
  std::size_t debts_max = 2000;  // Read in one round.
  std::size_t piece_bytes = 4 << 20;
  std::chrono::milliseconds again_after{200};  // Between two attempts at a debt.
};

// Used by one scan thread.
class DebtReader {
 public:
  enum class Step : std::uint8_t {
    Done,     // No debt can be settled now.
    Working,  // Call again.
    Waiting,  // For the source or a lane: call again a little later.
  };

  DebtReader(DebtReaderOptions options, Shared shared, ChunkReader& reader, Target& target);

  // Retry: the round is given up; call again, later.
  Result<Step> step();
  // Between two rounds: the reader and the target are free for others.
  bool idle() const { return state_ == State::Idle; }

 private:
  enum class State : std::uint8_t { Idle, Opening, Reading, Draining };

  Result<Step> pick_table();
  bool must_wait(TableId table);
  Result<Step> open();
  bool leave_invisible();
  Result<Step> read_rows();
  Result<Step> drain();
  Result<Step> give_up(Error error);
  void finish();

  const DebtReaderOptions options_;
  const Shared shared_;
  Target& target_;
  Reading reading_;
  KeyReading keys_;

  State state_ = State::Idle;
  std::size_t next_table_ = 0;
  std::vector<std::uint64_t> seen_;  // By table: the board's debts_opened when it was last empty.
  // By table: it had no debt then.  Of those that are there at the start the supervisor tells, who
  // counts all of them at once: thousands of tables are not asked one by one.
  std::vector<bool> empty_;
  std::vector<std::uint32_t> attempts_;  // By table: those that its last round's debts had.
  const TableMap* table_ = nullptr;
  std::vector<Debt> debts_;  // Of this round.
  // Debts that could not be settled yet are not asked for again before.
  std::chrono::steady_clock::time_point not_before_{};
};

}  // namespace lockstep
