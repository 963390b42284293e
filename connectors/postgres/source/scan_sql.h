// The SQL of reading a table: ranges, lists of keys, bounds.  Pure text, built from a TableMap.
//
// source/reader runs it.  Names and values reach the text only through quote_identifier() and
// through literals that the server quoted itself (literals_query), since COPY takes no parameters.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"
#include "pipeline/ports/digests.h"

namespace lockstep {

// A key as SQL: one quoted literal per key column, without its cast.  Empty: no bound.
using KeyLiterals = std::vector<std::string>;

// "SELECT format('%L', $1), ...": turns `count` binary parameters into literals by their types'
// output functions.
std::string literals_query(std::size_t count);

// The type of key column `i` as a parameter: its cells are text in the text plane.
std::uint32_t key_parameter_type(const TableMap& table, std::size_t i);

// A range of keys, as KeyRange has it.
struct LiteralRange {
  KeyLiterals lower{};
  KeyLiterals upper{};
  std::string condition{};  // Of the one partition that is read; "": all of the table.
};

// SELECT of the mapped columns with lower <= key < upper, in no order.
std::string range_query(const TableMap& table, const LiteralRange& range);

// How a server hashes a value, so that two have one hash exactly where they have the same bytes.
enum class HashedAs : std::uint8_t {
  It,      // As the server does it by itself.
  Halves,  // Of 64 bits the server hashes one half XOR the other: 1 and 4294967296 are one to it.
  InC,     // By its bytes, whatever its collation says.
  Sent,    // What its type's send function makes of it.
};
struct HashedColumn {
  HashedAs as = HashedAs::Sent;
  std::string type{};  // Without modifier; of a domain its base.
  std::string send{};  // "pg_catalog.numeric_send".
};

// Which rows belong together, by a hash of their keys (ports/digests.h).
std::string bucket_condition(const TableMap& table, const std::vector<HashedColumn>& columns,
                             const DigestForm& form, std::span<const std::uint32_t> buckets);

// SELECT of bucket, rows and sum of their hashes, of every bucket that has rows.
// `columns`: of the rows that range_query() selects.
std::string digest_query(const TableMap& table, const LiteralRange& range,
                         const std::vector<HashedColumn>& columns, const DigestForm& form);

// SELECT of what this server makes of fixed values, of every type that is not sent.
std::string digest_probe_query();

HashedAs hashed_as(std::uint32_t type_oid);

// SELECT of the key `rows` keys after the range's lower bound, itself counted if it is there.
std::string bound_query(const TableMap& table, const LiteralRange& range, std::uint64_t rows);

// SELECT of the mapped columns of `count` keys, whose cells are the parameters, key by key.
std::string keys_query(const TableMap& table, std::size_t count);

// SELECT of who wrote the row of one key, whose cells are the parameters: xmin, its commit time in
// microseconds or NULL, and where the server's transaction ids end.
std::string writer_query(const TableMap& table);

// Whether the key of the first parameters comes before the one of the others, in the order of
// ranges.
std::string before_query(const TableMap& table);

// SELECT of nothing, for the shape of all columns.
std::string shape_query(const TableMap& table);

// OIDs of the key's types whose comparison operators need not be in pg_catalog (citext, ltree):
// without their schema in the search_path, citext would be compared as text.
std::vector<std::uint32_t> foreign_operator_types(const TableMap& table);

}  // namespace lockstep
