#include "pipeline/backfill/read_session.h"

#include <algorithm>
#include <utility>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kRefusedFirst{20};
constexpr std::chrono::milliseconds kRefusedMax{1000};

}  // namespace

Result<bool> ReadSession::open(const TableMap& table) {
  CHECK(!is_open());
  if (clock_.now() < not_before_) return false;
  auto read = std::make_shared<SourceRead>();
  const Visibility::Ticket ticket = visibility_.begin();
  read->on_end = [&visibility = visibility_, ticket] { visibility.end(ticket); };
  LOCKSTEP_ASSIGN(const OpenSnapshot opened, reader_.begin());
  if (!visibility_.accept(ticket, opened.snapshot, opened.begins_stream)) {
    reader_.end();
    pause_ = std::clamp(pause_ * 2, kRefusedFirst, kRefusedMax);
    not_before_ = clock_.now() + pause_;
    return false;
  }
  pause_ = {};
  read->table = &table;
  read->snapshot = opened.snapshot;
  read_ = std::move(read);
  insert_lsn_ = opened.insert_lsn;
  flushed_ = !rule_on(Rule::WaitForFlush);
  return true;
}

Result<bool> ReadSession::flushed() {
  CHECK(is_open());
  if (!flushed_) {
    LOCKSTEP_ASSIGN(flushed_, reader_.flushed(insert_lsn_));
  }
  return flushed_;
}

void ReadSession::close() {
  reader_.end();
  read_.reset();
  flushed_ = false;
}

}  // namespace lockstep
