// Compared: one table as a comparison reads it, from either side, so that equal rows have equal
// bytes: the values as the target holds them, and the key as the source calls it.
//
//   source row ──casts of the server, translate──┐
//   target row ──────────────────────────────────┴─> compared cells ─> hash
//   either row ─> key cells in the source's form ─> the key's hash, as lanes know it
//
// Reconciliation reads both views by the same reader and compares the digests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/key.h"
#include "pipeline/model/row.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/sent_form.h"
#include "pipeline/tables/translate.h"

namespace lockstep {

// A row, as far as a comparison knows it.
struct RowDigest {
  Hash128 key;  // key_hash() of the table: what lanes, debts and Recent call the row.
  Hash128 row;  // Of the compared cells.
  friend bool operator==(const RowDigest&, const RowDigest&) = default;
};

// Whether two compared cells of a column count as equal: by their bytes in their SentForm, or by
// `compare: value`.
bool same_value(const TableMap& map, std::size_t column, const Cell& a, const Cell& b);

// Constant after construction.  Borrows the map.
class Compared {
 public:
  enum class From : std::uint8_t { Source, Target };

  // `seed`: of the rows' hashes; another one for each sweep, so that two rows that collide once do
  // not do so for ever (V1).
  Compared(const TableMap& map, std::uint64_t seed);

  const TableMap& map() const { return map_; }
  // Whether rows are equal exactly where their bytes are, in their SentForm,
  bool all_by_bytes() const { return all_by_bytes_; }
  // and whether those that a server reads are not the ones that are compared.
  bool translates() const { return !to_target_.identity() || !key_to_source_.identity(); }
  // What a reader of that side is given.  The target's has the sides changed over: its `source` is
  // the target's table.  A row has the compared cells first, then key cells that are not among
  // them.
  const TableMap& view(From side) const { return side == From::Source ? source_ : target_; }

  // Nothing of `scratch` is of use before or after.
  struct Scratch {
    std::string row;
    std::string key;
    std::string translated;
    std::string by_value;
  };
  // Returns false when the key holds NULL, which no table with a key has.
  bool digest(From side, std::string_view row, RowDigest& digest, Scratch& scratch) const;
  // The compared cells in the target's form, as they are, as scratch or as a part of `row`.
  std::string_view cells(From side, std::string_view row, Scratch& scratch) const;
  // The key cells in the source's form.  REQUIRES: digest() of the row answered true.
  std::string key(From side, std::string_view row, Scratch& scratch) const;

 private:
  std::string_view by_value(std::string_view cells, std::string& scratch) const;
  std::string_view source_key(From side, std::string_view row, Scratch& scratch) const;

  const TableMap& map_;
  const std::uint64_t seed_;
  const bool all_by_bytes_;            // No column says `compare: value`.
  const std::vector<SentForm> forms_;  // By column.
  const bool as_sent_;                 // What is sent is what is compared.
  const TableMap source_;
  const TableMap target_;
  const Translator to_target_;
  const Translator key_to_source_;
};

// The source's names of the columns in which two rows of compared cells differ.
std::vector<std::string> unequal_columns(const TableMap& map, std::string_view source,
                                         std::string_view target);

}  // namespace lockstep
