#include "pipeline/apply/route.h"

#include <memory>
#include <utility>

#include "pipeline/base/rules.h"

namespace lockstep {

std::uint32_t lane_of(const TableMap& table, const Hash128& key, std::uint32_t lanes) {
  if (table.one_lane) {
    const std::string name = table.text();
    return static_cast<std::uint32_t>(hash128(name, 0).low % lanes);
  }
  return static_cast<std::uint32_t>(key.low % lanes);
}

Router::Router(RouterOptions options, Shared shared)
    : options_(std::move(options)), shared_(shared), items_(options_.lanes) {}

bool Router::push(std::uint32_t lane, LaneItem item) {
  const std::size_t bytes = item_bytes(item);
  return shared_.queues[lane]->push(std::move(item), bytes);
}

bool Router::push_changes(std::uint32_t lane) {
  if (items_[lane].changes.empty()) return true;
  return push(lane, std::exchange(items_[lane], {}));
}

bool Router::push_barrier(Change change) {
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane)
    if (!push_changes(lane)) return false;
  const bool several = options_.several_streams(change.table);
  const std::uint32_t lanes = rule_on(Rule::TruncateBarrier) ? options_.lanes : 1;
  const auto barrier = std::make_shared<Barrier>(std::move(change), lanes, several);
  for (std::uint32_t lane = 0; lane < lanes; ++lane)
    if (!push(lane, BarrierItem{barrier})) return false;
  return true;
}

bool Router::push_watermarks(const std::vector<Watermark>& watermarks) {
  if (watermarks.empty()) return true;
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane)
    if (!push(lane, WatermarkItem{watermarks})) return false;
  return true;
}

bool Router::announce(std::size_t streams) {
  std::vector<Watermark> fresh;
  for (; announced_ < streams; ++announced_)
    fresh.push_back({static_cast<StreamId>(announced_), Position{}});
  return push_watermarks(fresh);
}

bool Router::route(ChangeBatch& batch) {
  for (Change& change : batch.changes) {
    if (change.kind == ChangeKind::Truncate) {
      if (!push_barrier(std::move(change))) return false;
      continue;
    }
    const TableMap& table = *shared_.tables[change.table];
    const std::uint32_t lane = lane_of(table, change.key, options_.lanes);
    // The halves of a key change may carry one position (I13): committed apart, a restart between
    // them would skip the second.
    const std::vector<Change>& waiting = items_[lane].changes;
    const bool second_half = !waiting.empty() && waiting.back().stream == change.stream &&
                             waiting.back().next == change.next;
    const bool full = waiting.size() >= options_.item_changes_max;
    if (full && !second_half && !push_changes(lane)) return false;
    items_[lane].changes.push_back(std::move(change));
  }
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane)
    if (!push_changes(lane)) return false;
  for (const ChangeBatch::Stop& stop : batch.stops) {
    shared_.board.stop(stop.table, stop.error.message);
    for (std::uint32_t lane = 0; options_.shared_stream && lane < options_.lanes; ++lane)
      if (!push(lane, HoldItem{stop.table})) return false;
  }
  return push_watermarks(batch.watermarks);
}

}  // namespace lockstep
