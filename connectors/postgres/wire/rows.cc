#include "connectors/postgres/wire/rows.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstring>

namespace lockstep {
namespace {

constexpr std::size_t kSizeAt = 12;  // Of the element count in an array's header.

void put_be32(std::string& bytes, std::size_t at, std::uint32_t value) {
  value = std::byteswap(value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

void ArrayBuilder::clear() {
  size_ = 0;
  bytes_.clear();
  append_be32(bytes_, 1);  // Dimensions.
  append_be32(bytes_, 0);  // No NULL elements.
  append_be32(bytes_, element_oid_);
  append_be32(bytes_, 0);  // Elements; element_added() counts.
  append_be32(bytes_, 1);  // Lower bound.
}

void ArrayBuilder::element_added() { put_be32(bytes_, kSizeAt, ++size_); }

void ArrayBuilder::add(std::string_view value) {
  append_value(bytes_, value);
  element_added();
}

void ArrayBuilder::add_int8(std::int64_t value) {
  append_be32(bytes_, sizeof value);
  append_be64(bytes_, static_cast<std::uint64_t>(value));
  element_added();
}

void ArrayBuilder::add_int4(std::int32_t value) {
  append_be32(bytes_, sizeof value);
  append_be32(bytes_, static_cast<std::uint32_t>(value));
  element_added();
}

void RowArrayBuilder::add_row(std::string_view row) {
  std::string& out = buffer();
  const std::size_t begin = out.size();
  append_be32(out, 0);  // Length, known below.
  append_be32(out, static_cast<std::uint32_t>(column_oids_.size()));
  CellReader reader(row);
  for (const std::uint32_t oid : column_oids_) {
    const Cell cell = reader.next();
    append_be32(out, oid);
    append_cell(out,
                {cell.presence == Presence::Value ? Presence::Value : Presence::Null, cell.bytes});
  }
  CHECK(reader.done());
  put_be32(out, begin, static_cast<std::uint32_t>(out.size() - begin - sizeof(std::uint32_t)));
  element_added();
}

std::string key_hash_bytes(const Hash128& hash) {
  std::string bytes;
  append_be64(bytes, hash.high);
  append_be64(bytes, hash.low);
  return bytes;
}

Hash128 read_key_hash(std::string_view bytes) {
  return {read_be64(bytes.substr(8)), read_be64(bytes)};
}

std::string key_hash_text(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

std::optional<Hash128> parse_key_hash(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  Hash128 hash;
  if (text.size() != 2 * kDigits) return std::nullopt;
  const char* const middle = text.data() + kDigits;
  const char* const end = middle + kDigits;
  constexpr int kHex = 16;
  if (std::from_chars(text.data(), middle, hash.high, kHex).ptr != middle ||
      std::from_chars(middle, end, hash.low, kHex).ptr != end)
    return std::nullopt;
  return hash;
}

}  // namespace lockstep
