#include "pipeline/model/key.h"

#include <array>
#include <bit>
#include <cmath>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

std::uint64_t table_seed(const TableName& name) {
  return hash128(name.table, hash128(name.schema, 0).low).low;
}

// Appends a numeric without its display scale and without zero groups at either end, which a client
// (not numeric_send) may have left in.
void append_numeric(std::string& out, std::string_view bytes) {
  constexpr std::size_t kHeader = 8;
  constexpr std::size_t kDigit = 2;
  if (bytes.size() < kHeader || bytes.size() % kDigit != 0) return append_value(out, bytes);
  std::uint16_t weight = read_be16(bytes.substr(2));
  std::uint16_t sign = read_be16(bytes.substr(4));
  std::string_view digits = bytes.substr(kHeader);
  while (digits.ends_with(std::string_view("\0\0", 2))) digits.remove_suffix(kDigit);
  while (digits.starts_with(std::string_view("\0\0", 2))) {
    digits.remove_prefix(kDigit);
    --weight;
  }
  const bool special = (sign & 0xC000) == 0xC000;
  if (digits.empty()) weight = 0;
  if (digits.empty() && !special) sign = 0;
  append_be32(out, static_cast<std::uint32_t>(4 + digits.size()));
  append_be16(out, weight);
  append_be16(out, sign);
  out.append(digits);
}

void append_float(std::string& out, std::string_view bytes) {
  if (bytes.size() == 4) {
    auto value = std::bit_cast<float>(read_be32(bytes));
    if (value == 0) value = 0;
    const std::uint32_t bits =
        std::isnan(value) ? 0x7FC00000u : std::bit_cast<std::uint32_t>(value);
    append_be32(out, 4);
    return append_be32(out, bits);
  }
  if (bytes.size() != 8) return append_value(out, bytes);
  auto value = std::bit_cast<double>(read_be64(bytes));
  if (value == 0) value = 0;
  const std::uint64_t bits =
      std::isnan(value) ? 0x7FF8000000000000u : std::bit_cast<std::uint64_t>(value);
  append_be32(out, 8);
  append_be64(out, bits);
}

void append_folded(std::string& out, std::string_view bytes) {
  append_be32(out, static_cast<std::uint32_t>(bytes.size()));
  for (const char c : bytes) out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
}

// interval_send: microseconds, days, months.
void append_canonical_interval(std::string& out, std::string_view bytes) {
  constexpr std::size_t kSize = 16;
  constexpr std::int64_t kDay = 86'400'000'000;
  constexpr std::int64_t kMonth = 30;
  if (bytes.size() != kSize) return append_value(out, bytes);
  auto time = static_cast<std::int64_t>(read_be64(bytes));
  std::int64_t days = static_cast<std::int32_t>(read_be32(bytes.substr(8))) +
                      kMonth * static_cast<std::int32_t>(read_be32(bytes.substr(12)));
  days += time / kDay;
  time %= kDay;
  if (time < 0) {
    time += kDay;
    --days;
  }
  append_be32(out, kSize);
  append_be64(out, static_cast<std::uint64_t>(days));
  append_be64(out, static_cast<std::uint64_t>(time));
}

bool hashed_as_is(const TableMap& table) {
  if (!rule_on(Rule::LaneByCanonicalKey)) return true;
  for (const CanonicalRule rule : table.canonical) {
    if (rule != CanonicalRule::Bytes && rule != CanonicalRule::Opaque) return false;
  }
  return true;
}

}  // namespace

void append_canonical(std::string& out, CanonicalRule rule, std::string_view bytes) {
  switch (rule) {
    case CanonicalRule::Bytes:
    case CanonicalRule::Opaque:
      return append_value(out, bytes);
    case CanonicalRule::Numeric:
      return append_numeric(out, bytes);
    case CanonicalRule::Float:
      return append_float(out, bytes);
    case CanonicalRule::Interval:
      return append_canonical_interval(out, bytes);
    case CanonicalRule::TrimBlanks: {
      while (bytes.ends_with(' ')) bytes.remove_suffix(1);
      return append_value(out, bytes);
    }
    case CanonicalRule::FoldAscii:
      return append_folded(out, bytes);
  }
}

Hash128 key_hash(const TableMap& table, std::string_view key) {
  const std::uint64_t seed = table_seed(table.source.name);
  if (hashed_as_is(table)) return hash128(key, seed);
  // One buffer per thread: this runs for every row of every chunk.
  thread_local std::string canonical;
  canonical.clear();
  CellReader cells(key);
  for (const CanonicalRule rule : table.canonical) {
    const Cell cell = cells.next();
    if (cell.presence == Presence::Value) {
      append_canonical(canonical, rule, cell.bytes);
    } else {
      append_cell(canonical, cell);
    }
  }
  return hash128(canonical, seed);
}

bool extract_key(const TableMap& table, std::string_view row, std::string& out) {
  // Enough for any index PostgreSQL allows (INDEX_MAX_KEYS).
  std::array<Cell, 32> cells;
  const std::size_t wanted = table.key.size();
  CHECK(wanted <= cells.size());
  std::size_t found = 0;
  CellReader reader(row);
  for (std::size_t column = 0; found < wanted && !reader.done(); ++column) {
    const Cell cell = reader.next();
    for (std::size_t i = 0; i < wanted; ++i) {
      if (table.key[i] != column) continue;
      if (cell.presence != Presence::Value) return false;
      cells[i] = cell;
      ++found;
    }
  }
  if (found < wanted) return false;
  out.clear();
  for (std::size_t i = 0; i < wanted; ++i) append_cell(out, cells[i]);
  return true;
}

bool wire_equals_canonical(const TableMap& table) {
  for (const CanonicalRule rule : table.canonical) {
    if (rule != CanonicalRule::Bytes) return false;
  }
  return true;
}

}  // namespace lockstep
