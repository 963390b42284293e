// From rows of the system catalogs to parts of a TableSpec: types resolved, the key chosen.
//
// wire/catalog reads the rows; this part is pure, so it is tested without a server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// One attribute of a composite type.
struct CatalogAttribute {
  Member member;  // Its attnum and name.
  std::uint32_t type = 0;
  std::int32_t typmod = -1;
  std::string sql;
  std::string folding;  // Of its collation.
};

// One row of pg_type, as far as a Type needs it.
struct CatalogType {
  std::uint32_t oid = 0;
  std::string sql;        // format_type(oid, NULL).
  std::string extension;  // The extension it belongs to, "" when none.
  std::string schema;
  std::string name;                               // typname.
  char type = 'b';                                // typtype.
  bool sendable = true;                           // Has send and receive functions.
  std::uint32_t base = 0;                         // Domain: the type below, ...
  std::int32_t base_typmod = -1;                  // ... its typmod ...
  std::string base_sql;                           // ... and format_type() of both.
  bool has_default = false;                       // Domain: a default of its own.
  std::uint32_t element = 0;                      // True array: the element's type.
  std::uint32_t bound = 0;                        // Range: the bound's type.
  std::string folding = {};                       // Range: of its collation.
  std::vector<CatalogAttribute> attributes = {};  // Composite: those that are not dropped.
  std::vector<Member> labels = {};                // Enum: in order.
  std::vector<CheckRule> checks = {};             // Domain: its own.
};

// The types that a set of columns uses, closed under base, element, bound and attribute.
class TypeCatalog {
 public:
  void add(CatalogType type);
  // REQUIRE: the type `oid` was added.
  void add_attribute(std::uint32_t oid, CatalogAttribute attribute);
  void add_label(std::uint32_t oid, Member label);
  void add_check(std::uint32_t oid, CheckRule check);
  // The locale by which the server folds citext.
  void set_ctype(std::string ctype) { ctype_ = std::move(ctype); }
  // Returns the type of a column whose format_type(oid, typmod) is `sql`.
  // A type that was not added is Other, without a binary form.
  Type resolve(std::uint32_t oid, std::int32_t typmod, const std::string& sql) const;

 private:
  const CatalogType* find(std::uint32_t oid) const;
  std::string identity(const CatalogType& type) const;
  void resolve_parts(const CatalogType& row, Type& type) const;

  std::unordered_map<std::uint32_t, CatalogType> types_;
  std::string ctype_;
};

// Adds to a list of what folds values (Type::folding).
void add_folding(std::string& all, const std::string& one);

// One row of pg_index of a table or of one of its partitions.
struct CatalogIndex {
  std::uint32_t id = 0;  // Of its constraint, else of itself.
  std::string name;
  std::vector<std::int16_t> attnums;  // Key columns only (INCLUDE left out); 0: an expression.
  bool primary = false;
  bool unique = false;  // Else it belongs to an exclusion constraint.
  bool immediate = true;
  bool valid = true;
  bool replica_identity = false;
  bool whole = true;  // No predicate, no expression; collations and equality of the columns.
  bool own = true;    // Of the table itself, not of a partition.
  UniqueRule rule = {};
};

// Sets keys, key, key_is_primary, key_deferrable, key_index, key_id, uniques and secondary_unique.
// The key is what names old rows in the log: the index that is the replica identity, else the
// primary key, else the only NOT NULL unique immediate index; with several to choose from there is
// none. REQUIRES: spec.columns is filled.
void choose_key(TableSpec& spec, const std::vector<CatalogIndex>& indexes);

// A column as a parsed query describes it now; domains appear as their base types.
struct ColumnShape {
  std::string name;
  std::int16_t attnum = 0;
  std::uint32_t base_oid = 0;
  std::int32_t typmod = -1;
};

// Returns what happened to the first column that is not as in `spec`, or nothing:
// "column \"note\" was dropped".
std::optional<std::string> column_drift(const TableSpec& spec,
                                        const std::vector<ColumnShape>& current);

}  // namespace lockstep
