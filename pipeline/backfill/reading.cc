#include "pipeline/backfill/reading.h"

#include <algorithm>
#include <utility>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kRefusedFirst{20};
constexpr std::chrono::milliseconds kRefusedMax{1000};

}  // namespace

Result<Reading::Ready> Reading::prepare(const TableMap& table) {
  if (!is_open()) return open(table);
  if (!flushed_) {
    LOCKSTEP_ASSIGN(flushed_, reader_.flushed(insert_lsn_));
  }
  return flushed_ ? Ready::Yes : Ready::Flushing;
}

Result<Reading::Ready> Reading::open(const TableMap& table) {
  if (shared_.clock.now() < not_before_) return Ready::Refused;
  auto read = std::make_shared<SourceRead>();
  const Visibility::Ticket ticket = shared_.visibility.begin();
  read->on_end = [&visibility = shared_.visibility, ticket] { visibility.end(ticket); };
  LOCKSTEP_ASSIGN(const OpenSnapshot opened, reader_.begin());
  if (!shared_.visibility.accept(ticket, opened.snapshot, opened.begins_stream)) {
    reader_.end();
    pause_ = std::clamp(pause_ * 2, kRefusedFirst, kRefusedMax);
    not_before_ = shared_.clock.now() + pause_;
    return Ready::Refused;
  }
  pause_ = {};
  read->table = &table;
  read->snapshot = opened.snapshot;
  read_ = std::move(read);
  insert_lsn_ = opened.insert_lsn;
  flushed_ = !rule_on(Rule::WaitForFlush);
  return Ready::Accepted;
}

bool Reading::hand_over(std::uint32_t lane, RowsItem item) {
  item.read = read_;
  LaneItem queued = std::move(item);
  const std::size_t bytes = item_bytes(queued);
  if (!shared_.queues[lane]->push(std::move(queued), bytes)) return false;
  ++items_out_;
  return true;
}

bool Reading::drained(const std::function<void(const LaneReport&)>& told) {
  if (items_out_ == 0) return true;
  for (const LaneReport& report : read_->reports.take(1 << 20, std::chrono::milliseconds(0))) {
    --items_out_;
    told(report);
  }
  return items_out_ == 0;
}

void Reading::close() {
  reader_.end();
  read_.reset();
  flushed_ = false;
  items_out_ = 0;
}

}  // namespace lockstep
