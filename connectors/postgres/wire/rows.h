// Binary parameters of the target's statements: arrays of composites, and arrays of plain values.
//
// A statement takes all its rows as one parameter, an array of a composite type that holds the
// columns as they are staged: one path for every type (an array per column would be flattened by
// unnest() where the column is an array itself), no temporary storage, and usable in libpq's
// pipeline mode.  target/target stages and sends; the text of the statements is target/sql's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {

// Builds a one-dimensional array in binary send/recv form.  bytes() is what the server receives.
class ArrayBuilder {
 public:
  explicit ArrayBuilder(std::uint32_t element_oid) : element_oid_(element_oid) { clear(); }

  void clear();
  void add(std::string_view value);
  void add_int8(std::int64_t value);
  void add_int4(std::int32_t value);
  std::size_t size() const { return size_; }
  std::string_view bytes() const { return bytes_; }

 protected:
  // Counts one element, whose bytes the caller has appended to buffer().
  void element_added();
  std::string& buffer() { return bytes_; }

 private:
  std::uint32_t element_oid_;
  std::uint32_t size_ = 0;
  std::string bytes_;
};

// Builds an array of composites from rows.
class RowArrayBuilder : public ArrayBuilder {
 public:
  // Borrows `column_oids`, the types of the composite's attributes.
  RowArrayBuilder(std::uint32_t composite_oid, const std::vector<std::uint32_t>& column_oids)
      : ArrayBuilder(composite_oid), column_oids_(column_oids) {}

  // Adds one row.  Unavailable cells become NULL: the statement does not read them.
  // REQUIRES: `row` has one cell per staged column.
  void add_row(std::string_view row);

 private:
  const std::vector<std::uint32_t>& column_oids_;
};

// A key hash as the bookkeeping stores it, 16 bytes; its hex form is the id of a quarantined row.
std::string key_hash_bytes(const Hash128& hash);
// REQUIRES: 16 bytes.
Hash128 read_key_hash(std::string_view bytes);
// That hex form, and back; nothing of any other text.
std::string key_hash_text(const Hash128& hash);
std::optional<Hash128> parse_key_hash(std::string_view text);

// OIDs of PostgreSQL's own types, fixed for ever.
inline constexpr std::uint32_t kByteaOid = 17;
inline constexpr std::uint32_t kInt8Oid = 20;
inline constexpr std::uint32_t kInt4Oid = 23;
inline constexpr std::uint32_t kTextOid = 25;
inline constexpr std::uint32_t kXid8Oid = 5069;
inline constexpr std::uint32_t kByteaArrayOid = 1001;
inline constexpr std::uint32_t kInt4ArrayOid = 1007;
inline constexpr std::uint32_t kTextArrayOid = 1009;
inline constexpr std::uint32_t kOidOid = 26;
inline constexpr std::uint32_t kOidArrayOid = 1028;
inline constexpr std::uint32_t kInt8ArrayOid = 1016;
inline constexpr std::uint32_t kXid8ArrayOid = 271;

}  // namespace lockstep
