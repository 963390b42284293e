// translate: a source row as the target receives it, for scan and stream alike.
//
// Casts are the server's and constants are SQL, so what is left is small: the OID of a user-defined
// element type in the header of an array, which differs between servers.  A table without such
// columns passes through untouched and uncopied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// Whether a row of `map` reaches the target byte for byte.
bool identity(const TableMap& map);

// "'shop-eu'::text": the constant as SQL, for the target's statements.
// REQUIRES: the text holds no NUL byte (the manifest refuses it).
std::string constant_sql(const TableMap& map, const Constant& constant);

// 'it''s': a literal under standard_conforming_strings.
// REQUIRES: the text holds no NUL byte.
std::string quote_literal(std::string_view text);

// Constant after construction, so safe for concurrent use; each caller brings its own scratch.
class Translator {
 public:
  explicit Translator(const TableMap& map);

  bool identity() const { return row_.empty(); }

  // Returns the cells as the target receives them: `cells` itself when nothing changes, else a view
  // of `scratch`, valid until its next use.
  std::string_view row(std::string_view cells, std::string& scratch) const;
  // The same for the cells of a key (Delete).
  std::string_view key(std::string_view cells, std::string& scratch) const;

 private:
  // The cell at `cell` is an array whose elements have type `oid` on the target.
  struct ElementType {
    std::size_t cell;
    std::uint32_t oid;
  };
  static std::string_view rewrite(const std::vector<ElementType>& changes, std::string_view cells,
                                  std::string& scratch);
  static std::optional<std::uint32_t> element_oid(const TableMap& map, std::size_t column);

  std::vector<ElementType> row_;  // By ascending cell.
  std::vector<ElementType> key_;
};

}  // namespace lockstep
