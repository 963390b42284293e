#include "pipeline/model/row.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <bit>
#include <cstring>

namespace lockstep {
namespace {

template <typename T>
void append_swapped(std::string& out, T value) {
  value = std::byteswap(value);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T read_swapped(std::string_view bytes) {
  CHECK(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return std::byteswap(value);
}

static_assert(std::endian::native == std::endian::little, "a big-endian port swaps nothing");

}  // namespace

void append_be16(std::string& out, std::uint16_t value) { append_swapped(out, value); }
void append_be32(std::string& out, std::uint32_t value) { append_swapped(out, value); }
void append_be64(std::string& out, std::uint64_t value) { append_swapped(out, value); }
std::uint16_t read_be16(std::string_view bytes) { return read_swapped<std::uint16_t>(bytes); }
std::uint32_t read_be32(std::string_view bytes) { return read_swapped<std::uint32_t>(bytes); }
std::uint64_t read_be64(std::string_view bytes) { return read_swapped<std::uint64_t>(bytes); }

void append_cell(std::string& out, const Cell& cell) {
  switch (cell.presence) {
    case Presence::Null:
      append_be32(out, static_cast<std::uint32_t>(kNullLength));
      return;
    case Presence::Unavailable:
      append_be32(out, static_cast<std::uint32_t>(kUnavailableLength));
      return;
    case Presence::Value:
      append_be32(out, static_cast<std::uint32_t>(cell.bytes.size()));
      out.append(cell.bytes);
      return;
  }
}

Cell CellReader::next() {
  const auto length = static_cast<std::int32_t>(read_be32(rest_));
  rest_.remove_prefix(4);
  if (length == kNullLength) return {Presence::Null, {}};
  if (length == kUnavailableLength) return {Presence::Unavailable, {}};
  CHECK(length >= 0 && static_cast<std::size_t>(length) <= rest_.size());
  const Cell cell{Presence::Value, rest_.substr(0, static_cast<std::size_t>(length))};
  rest_.remove_prefix(static_cast<std::size_t>(length));
  return cell;
}

bool well_formed_cells(std::string_view cells, std::size_t count) {
  while (count > 0 && cells.size() >= 4) {
    const auto length = static_cast<std::int32_t>(read_be32(cells));
    cells.remove_prefix(4);
    if (length < kNullLength) return false;
    if (length > 0) {
      if (static_cast<std::size_t>(length) > cells.size()) return false;
      cells.remove_prefix(static_cast<std::size_t>(length));
    }
    --count;
  }
  return count == 0 && cells.empty();
}

Hash128 hash128(std::string_view bytes, std::uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.low64, hash.high64};
}

std::string hash_text(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace lockstep
