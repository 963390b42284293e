#include "pipeline/backfill/read_session.h"

#include "pipeline/rules.h"

namespace lockstep {

Result<bool> ReadSession::open(const TableMap& table) {
  CHECK(!is_open());
  ticket_ = visibility_.begin();
  auto opened = reader_.begin();
  if (!opened) {
    close();
    return std::unexpected(std::move(opened).error());
  }
  if (!visibility_.accept(*ticket_, opened->snapshot)) {
    close();
    return false;
  }
  read_ = std::make_shared<SourceRead>();
  read_->table = &table;
  read_->snapshot = opened->snapshot;
  insert_lsn_ = opened->insert_lsn;
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
  if (ticket_) visibility_.end(*ticket_);
  ticket_.reset();
  read_.reset();
  flushed_ = false;
}

}  // namespace lockstep
