// Cells of a row: the bytes of a binary COPY tuple, and what is refused of bytes from outside.
#include "pipeline/model/row.h"

#include <gtest/gtest.h>

#include <set>

namespace lockstep {
namespace {

std::string cells(std::initializer_list<Cell> list) {
  std::string row;
  for (const Cell& cell : list) append_cell(row, cell);
  return row;
}
Cell value(std::string_view bytes) { return {Presence::Value, bytes}; }
const Cell kNull{Presence::Null, {}};
const Cell kUnavailable{Presence::Unavailable, {}};

TEST(Row, LooksLikeACopyTuple) {
  EXPECT_EQ(cells({value("ab"), kNull, value("")}),
            std::string("\0\0\0\2ab\xFF\xFF\xFF\xFF\0\0\0\0", 14));
}

TEST(Row, IsReadAsItWasWritten) {
  const std::string row = cells({value("ab"), kNull, value(""), kUnavailable});
  CellReader reader(row);
  for (const Cell& expected : {value("ab"), kNull, value(""), kUnavailable})
    EXPECT_EQ(reader.next(), expected);
  EXPECT_TRUE(reader.done());
}

TEST(Row, EmptyIsNotNull) { EXPECT_NE(cells({value("")}), cells({kNull})); }

TEST(Row, NumbersAreBigEndian) {
  std::string bytes;
  append_be16(bytes, 0x0102);
  append_be32(bytes, 0x03040506);
  append_be64(bytes, 0x0708090A0B0C0D0E);
  EXPECT_EQ(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E");
  EXPECT_EQ(read_be16(bytes), 0x0102);
  EXPECT_EQ(read_be32(std::string_view(bytes).substr(2)), 0x03040506U);
  EXPECT_EQ(read_be64(std::string_view(bytes).substr(6)), 0x0708090A0B0C0D0EU);
}

TEST(Row, WellFormedMeansExactlySoManyCells) {
  const std::string row = cells({value("ab"), kNull});
  EXPECT_TRUE(well_formed_cells(row, 2));
  EXPECT_FALSE(well_formed_cells(row, 1));
  EXPECT_FALSE(well_formed_cells(row, 3));
  EXPECT_TRUE(well_formed_cells("", 0));
  EXPECT_FALSE(well_formed_cells("", 1));
}

TEST(Row, CutOrStrangeCellsAreNotWellFormed) {
  const std::string row = cells({value("abc")});
  for (std::size_t size = 0; size < row.size(); ++size)
    EXPECT_FALSE(well_formed_cells(std::string_view(row).substr(0, size), 1)) << size;
  EXPECT_FALSE(well_formed_cells(row + "x", 1));
  EXPECT_FALSE(well_formed_cells(cells({kUnavailable}), 1));
  EXPECT_FALSE(well_formed_cells(std::string("\x80\0\0\0", 4), 1));
  EXPECT_FALSE(well_formed_cells(std::string("\x7F\xFF\xFF\xFF"
                                             "a"),
                                 1));
}

TEST(RowHash, DependsOnEveryByteAndTheSeed) {
  std::set<Hash128> seen;
  const std::string bytes(100, 'x');
  seen.insert(hash128(bytes, 0));
  seen.insert(hash128(bytes, 1));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = 'y';
    seen.insert(hash128(changed, 0));
  }
  EXPECT_EQ(seen.size(), bytes.size() + 2);
}

// Keys' hashes lie in the debt table of targets in use: they must never change.
TEST(RowHash, IsXxh3) {
  EXPECT_EQ(hash128("", 0), (Hash128{0x6001c324468d497f, 0x99aa06d3014798d8}));
}

}  // namespace
}  // namespace lockstep
