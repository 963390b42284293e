// SimOptions: what one seed of the simulator decides before anything happens.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "tests/fakes/fake_stream.h"
#include "tests/fakes/fake_table.h"
#include "tests/fakes/random.h"

namespace lockstep {

// How the target orders keys.
enum class Orders : std::uint8_t {
  One,     // As the source does.
  Told,    // Otherwise, as the catalogs say.
  Untold,  // Otherwise, though the catalogs say that it does not.
};

// Chances are per thousand calls or steps.
struct SimOptions {
  std::uint64_t seed = 0;
  StreamMode mode = StreamMode::Kafka;
  std::vector<FakeTableOptions> tables;
  std::vector<std::uint32_t> partitions;  // By table.
  std::uint32_t lanes = 2;
  std::uint32_t scanners = 2;
  int keys = 8;           // Per table.
  int unique_values = 6;  // Per table that has them.
  int steps = 600;

  std::size_t item_changes_max = 3;
  std::size_t batch_rows_max = 4;
  std::size_t recent_entries_max = 1000;
  std::uint64_t chunk_rows = 3;
  std::size_t piece_bytes = 120;
  std::size_t item_rows_max = 2;

  int interleave = 100;
  int interleave_steps = 6;  // At most, each time.
  int lost = 5;
  int kill = 3;
  int drain = 2;  // Asked to stop.
  int source_crash = 2;
  int repeat = 3;
  int reread = 3;
  int stop_table = 0;
  int rewrite = 0;
  int attach = 0;            // A partition comes with rows, ...
  int lose_partition = 0;    // ... and loses them by itself.
  int pause = 0;             // An operator holds a part, or lets it go on.
  int old_checkpoint = 150;  // At a restart.
  int no_checkpoint = 100;
  int asynchronous = 300;  // Of transactions.
  int truncate = 15;       // Of row changes.
  int flush = 150;         // Of the applications' steps.
  int partial = 350;       // Of updates: the toast value is left alone and not carried.
  int doubtful = 60;       // Of updates; and of deletes that cannot be read.
  int refused = 0;         // Of values.
  bool until_synced = true;
  bool looks_always = true;  // The supervisor, at each step; else as often as the program's.
  bool exported = false;     // Tables are copied under the slot's own snapshot; Direct only.
  int end_export = 0;
  // At the end: while the applications go on the copy must get its turns.  Lanes must keep up.
  int busy_rounds = 0;
  int swap = 80;  // Of row changes of a unique table.
  int rekey = 80;

  // Weights of the next step's kind.
  int source_weight = 30;
  int visible_weight = 8;  // Low: decoded long before visible.
  int poll_weight = 12;
  int lane_weight = 12;  // Each.
  int scan_weight = 8;   // Each.
  int debt_weight = 6;
  int probe_weight = 4;
  int supervisor_weight = 2;
  int sweep_weight = 0;
  bool sweep_continuous = false;  // Else somebody asks for one after the other.
  std::chrono::seconds sweep_every{0};
  bool repairs = false;  // What is found, by itself.
  double repair_share_max = 0.001;
  std::uint64_t repairs_per_minute = 0;

  int hot = 0;  // Of row changes: of the first key of the first table.
  std::uint32_t doubts_max = 30;
  std::uint32_t doubts_to_hold = 3;
  int hold_limit_ms = 2000;
  std::uint64_t sample_per_second = 0;
  int moment = 0;        // Of our steps: somebody wants to read both sides alike.
  bool digests = false;  // The servers digest rows,
  bool alike = true;     // and both do it alike.
  Orders orders = Orders::One;
  bool all_verified = false;  // A sweep that leaves a key in doubt has failed.
};

SimOptions draw_options(std::uint64_t seed);

}  // namespace lockstep
