#include "tests/sim/options.h"

namespace lockstep {
namespace {

FakeTableOptions draw_table(Random& random, TableId id) {
  FakeTableOptions table;
  table.id = id;
  table.key = random.chance(300) ? KeyKind::Numeric : KeyKind::Integer;
  table.unique = random.chance(400);
  table.lanes = random.chance(500) ? LaneMode::All : LaneMode::Auto;
  table.direct_copy = random.chance(750);
  return table;
}

}  // namespace

SimOptions draw_options(std::uint64_t seed) {
  Random random(seed ^ 0xA5A5A5A5u);
  SimOptions options;
  options.seed = seed;
  options.mode = random.chance(700) ? StreamMode::Kafka : StreamMode::Direct;
  const int tables = random.between(1, 3);
  for (int i = 0; i < tables; ++i) {
    options.tables.push_back(draw_table(random, static_cast<TableId>(i)));
    const bool one = options.tables.back().key == KeyKind::Numeric || random.chance(500);
    options.partitions.push_back(one ? 1 : static_cast<std::uint32_t>(random.between(2, 4)));
  }
  options.lanes = static_cast<std::uint32_t>(random.between(1, 3));
  options.keys = random.between(2, 12);
  options.unique_values = random.between(3, 12);
  options.steps = random.between(150, 700);
  options.item_changes_max = static_cast<std::size_t>(random.between(1, 6));
  options.batch_rows_max = static_cast<std::size_t>(random.between(1, 10));
  if (random.chance(150)) options.recent_entries_max = 3;
  options.chunk_rows = static_cast<std::uint64_t>(random.between(1, 6));
  options.piece_bytes = static_cast<std::size_t>(random.between(60, 300));
  options.item_rows_max = static_cast<std::size_t>(random.between(1, 4));
  options.interleave = random.between(0, 250);
  options.interleave_steps = random.chance(200) ? 25 : 6;
  options.lost = random.chance(300) ? 0 : random.between(1, 40);
  options.kill = random.chance(300) ? 0 : random.between(1, 8);
  options.drain = random.chance(600) ? 0 : random.between(1, 6);
  options.source_crash = random.chance(600) ? 0 : random.between(1, 6);
  options.stop_table = random.chance(850) ? 0 : 2;
  options.rewrite = random.chance(850) ? 0 : 5;
  options.refused = random.chance(850) ? 0 : 40;
  options.truncate = random.chance(500) ? 0 : random.between(5, 40);
  options.visible_weight = random.between(1, 12);
  options.poll_weight = random.between(3, 20);
  options.lane_weight = random.between(3, 20);
  options.scan_weight = random.between(2, 14);
  options.debt_weight = random.between(1, 10);
  options.probe_weight = random.between(1, 8);
  options.until_synced = random.chance(500);
  options.exported = options.mode == StreamMode::Direct && random.chance(500);
  options.end_export = random.chance(700) ? 0 : 5;
  if (random.chance(400)) options.sweep_weight = random.between(2, 12);
  options.sweep_continuous = random.chance(500);
  if (random.chance(300)) options.hot = random.between(200, 800);
  options.doubts_to_hold = static_cast<std::uint32_t>(random.between(0, 3));
  options.hold_limit_ms = random.chance(700) ? 60'000 : 2000;
  options.attach = random.chance(850) ? 0 : 5;
  options.lose_partition = options.attach == 0 || random.chance(500) ? 0 : 5;
  options.pause = random.chance(700) ? 0 : random.between(5, 20);
  // A connector that repeats itself takes rows back, and some changes have no event.
  const bool told = options.mode == StreamMode::Direct && options.rewrite + options.attach == 0;
  options.moment = told && random.chance(500) ? random.between(50, 500) : 0;
  options.sample_per_second = random.chance(500) ? 0 : 20;
  options.digests = random.chance(600);
  if (random.chance(300)) options.orders = random.chance(700) ? Orders::Told : Orders::Untold;
  return options;
}

}  // namespace lockstep
