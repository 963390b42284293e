#include "pipeline/model/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace lockstep {
namespace {

// Takes an unsigned number off the front of `text`.
bool take_number(std::string_view& text, std::uint64_t& number, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take_char(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

bool Snapshot::sees(Xid xid) const {
  if (xid == 0) return false;
  if (xid < xmin) return true;
  if (xid >= xmax) return false;
  return !std::binary_search(running.begin(), running.end(), xid);
}

std::string Snapshot::text() const {
  return fmt::format("{}:{}:{}", xmin, xmax, fmt::join(running, ","));
}

Result<Snapshot> parse_snapshot(std::string_view text) {
  const std::string whole(text);
  Snapshot snapshot;
  bool good = take_number(text, snapshot.xmin) && take_char(text, ':') &&
              take_number(text, snapshot.xmax) && take_char(text, ':');
  while (good && !text.empty()) {
    Xid xid = 0;
    good = take_number(text, xid) && (text.empty() || take_char(text, ','));
    snapshot.running.push_back(xid);
  }
  if (!good || !std::is_sorted(snapshot.running.begin(), snapshot.running.end()))
    return fail(Reaction::Halt, "not a pg_snapshot: '" + whole + "'");
  return snapshot;
}

std::string lsn_text(Lsn lsn) { return fmt::format("{:X}/{:X}", lsn >> 32, lsn & 0xFFFFFFFF); }

Result<Lsn> parse_lsn(std::string_view text) {
  const std::string whole(text);
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  if (!take_number(text, high, 16) || !take_char(text, '/') || !take_number(text, low, 16) ||
      !text.empty() || high > 0xFFFFFFFF || low > 0xFFFFFFFF)
    return fail(Reaction::Halt, "not an LSN: '" + whole + "'");
  return (high << 32) | low;
}

Xid widen_xid(std::uint32_t xid, Xid last) {
  const auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(last));
  return last + static_cast<Xid>(static_cast<std::int64_t>(distance));
}

}  // namespace lockstep
