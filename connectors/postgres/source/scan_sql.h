// The SQL of reading a table: ranges, lists of keys, bounds.  Pure text, built from a TableMap.
//
// source/reader runs it.  Names and values reach the text only through quote_identifier() and
// through literals that the server quoted itself (literals_query), since COPY takes no parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

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

// Column `i` of the map as a value of its plane, of the table by the name t.
std::string selected_column(const TableMap& table, std::size_t i);

// SELECT of the key `rows` keys after the range's lower bound, itself counted if it is there.
std::string bound_query(const TableMap& table, const LiteralRange& range, std::uint64_t rows);

// The same of the keys `every` keys after each other, at most so many.
std::string bounds_query(const TableMap& table, const LiteralRange& range, std::uint64_t every,
                         std::size_t most);

// What is selected of one part of a range: a SELECT of " FROM .. WHERE ..", the part's rows, and of
// its number.
using SelectOfPart = std::function<std::string(const std::string& rows, const std::string& number)>;

// UNION ALL of what is selected of these parts of a range, in ascending order.  `bounds`: so many
// keys divide it, whose cells are the parameters, key by key.
std::string parts_query(const TableMap& table, const LiteralRange& range, std::size_t bounds,
                        std::span<const std::size_t> parts, const SelectOfPart& select);

// The rows of these parts, as range_query() has them.
std::string part_rows_query(const TableMap& table, const LiteralRange& range, std::size_t bounds,
                            std::span<const std::size_t> parts);

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
