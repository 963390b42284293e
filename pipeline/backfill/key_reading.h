// KeyReading: rows of some keys are read from the source again and handed to their lanes, under one
// snapshot; a key without a row there is handed over as that (I17).
//
//   keys ──> Reading ──> rows, and keys without a row ──> lanes
//
// The debts of a table are read like this, and what a heal finds unequal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/backfill/reading.h"
#include "pipeline/ports/reader.h"

namespace lockstep {

struct WantedKey {
  std::string cells;  // In the source's form.
  Hash128 hash;
  bool alone = false;   // No other row of the target goes for it.
  bool deleted = true;  // Where the source has no such row, the target's goes.
};

// Used by the thread of its Reading.
class KeyReading {
 public:
  KeyReading(Reading& reading, ChunkReader& reader, Shared shared)
      : reading_(reading), reader_(reader), shared_(shared) {}

  // REQUIRES: the reading is ready, and what was started before is read to its end, or given up.
  Status start(const TableMap& table, std::vector<WantedKey> keys);
  struct Piece {
    bool more = false;
    std::uint64_t bytes = 0;
  };
  // One piece at a time: rows may be large, and only a lane's full queue says when to stop.
  Result<Piece> read(std::size_t piece_bytes);

 private:
  void hand_rows_to_lanes(const RowBatch& rows);
  void hand_absent_to_lanes();
  void push(std::vector<RowsItem> items);

  Reading& reading_;
  ChunkReader& reader_;
  const Shared shared_;
  const TableMap* table_ = nullptr;
  std::vector<WantedKey> keys_;  // By hash.
  std::vector<bool> found_;      // Of `keys_`: they have a row.
};

}  // namespace lockstep
