// Snapshot: which transactions a PostgreSQL snapshot sees; the merge is decided by it, never by
// LSN.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"

namespace lockstep {

// A 64-bit transaction id (xid8): epoch and 32-bit xid.  0: unknown.
using Xid = std::uint64_t;
using Lsn = std::uint64_t;

struct Snapshot {
  Xid xmin = 0;              // Everything below is finished.
  Xid xmax = 0;              // Everything at or above had not begun or not finished.
  std::vector<Xid> running;  // Between the two, ascending.

  // Whether effects of `xid` are seen, if it committed.  An unknown xid (0) is not (I7).
  bool sees(Xid xid) const;
  std::string text() const;  // "xmin:xmax:a,b", as pg_snapshot prints it.
};

// Parses pg_snapshot's text form.
Result<Snapshot> parse_snapshot(std::string_view text);

std::string lsn_text(Lsn lsn);  // "16/B374D848"
Result<Lsn> parse_lsn(std::string_view text);

// Widens a 32-bit xid to 64 bits by signed distance from `last`, a widened xid of the same stream
// that is at most 2^31 transactions away (02, "xid width").
Xid widen_xid(std::uint32_t xid, Xid last);

}  // namespace lockstep
