// Row: the values of one table row, in PostgreSQL's binary send/recv form.
//
// Everything between a source and the target speaks this form: binary COPY of a chunk passes
// through untouched, a change event is converted once, at decode, and the hash is taken over these
// bytes.
//
// Layout: one cell per mapped column (TableMap::columns), in order, each an int32 big-endian length
// and that many bytes.  Length -1 is NULL, as in COPY's binary format; -2 is "unavailable": the
// event did not carry the value (unchanged TOAST, or a value its wire form cannot hold).  A row
// without unavailable cells is therefore the body of a binary COPY tuple, byte for byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"

namespace lockstep {

enum class Presence : std::uint8_t { Value, Null, Unavailable };

// One value.  `bytes` borrows from the row; it is empty unless presence is Value.
struct Cell {
  Presence presence = Presence::Null;
  std::string_view bytes;

  friend bool operator==(const Cell&, const Cell&) = default;
};

inline constexpr std::int32_t kNullLength = -1;
inline constexpr std::int32_t kUnavailableLength = -2;

// Big-endian integers, as PostgreSQL's binary format and the checkpoint use them.
void append_be16(std::string& out, std::uint16_t value);
void append_be32(std::string& out, std::uint32_t value);
void append_be64(std::string& out, std::uint64_t value);
// REQUIRES: `bytes` has at least 2, 4 or 8 bytes.
std::uint16_t read_be16(std::string_view bytes);
std::uint32_t read_be32(std::string_view bytes);
std::uint64_t read_be64(std::string_view bytes);

// Appends one cell to `out`.
void append_cell(std::string& out, const Cell& cell);
inline void append_value(std::string& out, std::string_view bytes) {
  append_cell(out, {Presence::Value, bytes});
}
inline void append_null(std::string& out) { append_cell(out, {Presence::Null, {}}); }
inline void append_unavailable(std::string& out) { append_cell(out, {Presence::Unavailable, {}}); }

// Walks the cells of a row.  Borrows `cells`.
class CellReader {
 public:
  explicit CellReader(std::string_view cells) : rest_(cells) {}

  bool done() const { return rest_.empty(); }
  // Returns the next cell.  REQUIRES: !done(), and `cells` is well formed.
  Cell next();
  // What is not read yet.
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Checks that `cells` holds exactly `count` well-formed cells, none unavailable: what a reader does
// once with bytes from outside (a checkpoint, a debt's key).
bool well_formed_cells(std::string_view cells, std::size_t count);

// 128-bit hash of bytes (XXH3).  Ordered and comparable; used as map key and for lanes.
struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};
Hash128 hash128(std::string_view bytes, std::uint64_t seed);
// 32 hexadecimal digits.
std::string hash_text(const Hash128& hash);

// For unordered containers: the hash is already well mixed.
struct Hash128Hasher {
  std::size_t operator()(const Hash128& hash) const noexcept { return hash.low; }
};

}  // namespace lockstep
