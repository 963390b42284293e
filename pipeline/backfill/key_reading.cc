#include "pipeline/backfill/key_reading.h"

#include <algorithm>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/model/key.h"

namespace lockstep {

Status KeyReading::start(const TableMap& table, std::vector<WantedKey> keys) {
  table_ = &table;
  keys_ = std::move(keys);
  std::ranges::sort(keys_, {}, &WantedKey::hash);
  const auto twice = std::ranges::unique(keys_, {}, &WantedKey::hash);
  keys_.erase(twice.begin(), twice.end());
  found_.assign(keys_.size(), false);
  std::vector<std::string> cells;
  cells.reserve(keys_.size());
  for (const WantedKey& key : keys_) cells.push_back(key.cells);
  return reader_.start_keys(table, cells);
}

Result<KeyReading::Piece> KeyReading::read(std::size_t piece_bytes) {
  RowBatch rows;
  Piece piece;
  LOCKSTEP_ASSIGN(piece.more, reader_.read(rows, piece_bytes));
  for (std::size_t i = 0; i < rows.rows(); ++i) piece.bytes += rows.row(i).size();
  hand_rows_to_lanes(rows);
  if (piece.more) return piece;
  LOCKSTEP_TRY(reader_.check_shape(*table_));
  failpoint("debt_before_settle");
  hand_absent_to_lanes();
  return piece;
}

void KeyReading::hand_rows_to_lanes(const RowBatch& rows) {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<RowsItem> items(lanes);
  std::string cells;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    CHECK(extract_key(*table_, rows.row(i), cells));
    const Hash128 hash = key_hash(*table_, cells);
    const auto wanted = std::ranges::lower_bound(keys_, hash, {}, &WantedKey::hash);
    const bool known = wanted != keys_.end() && wanted->hash == hash;
    if (known) found_[static_cast<std::size_t>(wanted - keys_.begin())] = true;
    RowsItem& item = items[lane_of(*table_, hash, lanes)];
    item.rows.add(rows.row(i));
    item.keys.push_back(hash);
    item.alone.push_back(known && wanted->alone);
  }
  push(std::move(items));
}

void KeyReading::hand_absent_to_lanes() {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<RowsItem> items(lanes);
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (found_[i]) continue;
    const WantedKey& key = keys_[i];
    RowsItem& item = items[lane_of(*table_, key.hash, lanes)];
    item.absent.add(key.cells);
    item.absent_keys.push_back(key.hash);
    item.absent_deleted.push_back(key.deleted);
  }
  push(std::move(items));
}

void KeyReading::push(std::vector<RowsItem> items) {
  for (std::uint32_t lane = 0; lane < items.size(); ++lane) {
    if (items[lane].keys.empty() && items[lane].absent_keys.empty()) continue;
    items[lane].settles = true;
    reading_.hand_over(lane, std::move(items[lane]));
  }
}

}  // namespace lockstep
