#include "pipeline/apply/table_holds.h"

#include <algorithm>

namespace lockstep {

std::string own_stream(const std::string& stream, const TableMap& table) {
  return stream + "/" + table.text();
}

TableHolds::TableHolds(const std::string& stream, const std::vector<const TableMap*>& tables,
                       std::uint32_t lane, const Progress& progress)
    : lane_(lane) {
  for (const TableMap* table : tables) {
    Own own;
    own.name = own_stream(stream, *table);
    if (const auto row = progress.start(own.name, lane)) own.start = own.on_target = row->position;
    tables_.push_back(std::move(own));
  }
}

Position TableHolds::resumed(TableId table, Position otherwise) const {
  return tables_[table].start.value_or(otherwise);
}

void TableHolds::hold(TableId table, Position otherwise) {
  Own& own = tables_[table];
  if (own.held_at) return;
  own.base = resumed(table, otherwise);
  own.held_at = std::max(own.base, seen_);
}

void TableHolds::roll_back() {
  seen_ = seen_committed_;
  for (Own& own : tables_)
    if (own.held_at) own.held_at = std::min(*own.held_at, std::max(own.base, seen_));
}

// REQUIRES: it stands apart.
Position TableHolds::position_of(const Own& own) const {
  return own.held_at ? *own.held_at : std::max(*own.start, seen_);
}

// Until the stream has come as far as it had before it stands behind it.
bool TableHolds::has_caught_up(const Own& own, Position stream) const {
  return own.on_target && !own.held_at && seen_ >= *own.start && seen_ >= stream;
}

std::vector<ProgressRow> TableHolds::changed(const ProgressRow& like) const {
  std::vector<ProgressRow> rows;
  for (const Own& own : tables_) {
    if (!stands_apart(own) || has_caught_up(own, like.position)) continue;
    const Position position = position_of(own);
    if (own.on_target == position) continue;
    rows.push_back(like);
    rows.back().stream = own.name;
    rows.back().position = position;
  }
  return rows;
}

std::vector<std::string> TableHolds::caught_up(Position stream) const {
  std::vector<std::string> names;
  for (const Own& own : tables_)
    if (has_caught_up(own, stream)) names.push_back(own.name);
  return names;
}

void TableHolds::committed(Progress& progress, Position stream) {
  seen_committed_ = seen_;
  for (Own& own : tables_) {
    if (!stands_apart(own)) continue;
    if (has_caught_up(own, stream)) {
      own.on_target.reset();
      progress.rejoined(lane_, own.name);
      continue;
    }
    const Position position = position_of(own);
    if (own.on_target == position) continue;
    own.on_target = position;
    progress.committed(lane_, own.name, position);
  }
}

}  // namespace lockstep
