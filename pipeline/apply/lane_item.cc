#include "pipeline/apply/lane_item.h"

namespace lockstep {
namespace {

constexpr std::size_t kSmallItem = 64;

}  // namespace

std::size_t item_bytes(const LaneItem& item) {
  if (const auto* changes = std::get_if<ChangesItem>(&item)) {
    std::size_t sum = kSmallItem;
    for (const Change& change : changes->changes) sum += change.bytes();
    return sum;
  }
  if (const auto* rows = std::get_if<RowsItem>(&item)) {
    const std::size_t keys = rows->keys.size() + rows->absent_keys.size();
    return kSmallItem + rows->rows.bytes() + rows->absent.bytes() + keys * sizeof(Hash128);
  }
  if (const auto* owe = std::get_if<OweItem>(&item))
    return kSmallItem + owe->keys.bytes() + owe->hashes.size() * sizeof(Hash128);
  if (const auto* marks = std::get_if<WatermarkItem>(&item))
    return kSmallItem + marks->watermarks.size() * sizeof(Watermark);
  return kSmallItem;
}

}  // namespace lockstep
