// translate: a source row as the target receives it, for scan and stream alike.
//
// Casts are the server's and constants are SQL, so what is left is small: the OIDs of types inside
// values (type_oids.h), which differ between servers.  A table without such columns passes through
// untouched and uncopied.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"
#include "pipeline/tables/type_oids.h"

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
  // A cell whose values hold OIDs that the target does not know.
  struct Foreign {
    std::size_t cell;
    TypeOids oids;
  };
  static std::string_view rewrite(const std::vector<Foreign>& changes, std::string_view cells,
                                  std::string& scratch);
  static void add(const TableMap& map, std::size_t column, std::size_t cell,
                  std::vector<Foreign>& changes);

  std::vector<Foreign> row_;  // By ascending cell.
  std::vector<Foreign> key_;
};

}  // namespace lockstep
