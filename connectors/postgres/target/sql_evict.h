// Statement texts of an eviction: finding the rows that hold a unique value which a row read again
// from the source needs (I17).  Pure, like target/sql.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/target/sql.h"

namespace lockstep {

// A unique or exclusion index, as unique_index_sql() describes it.
struct UniqueIndex {
  struct Part {
    std::string expression;  // A column or an expression over the table's columns.
    std::string equals;      // The index's operator: "OPERATOR(pg_catalog.=)".
    std::string collation;   // "" for types without one.
  };
  std::string relation;  // Quoted; of a partitioned table the leaf.
  std::vector<Part> parts;
  std::string predicate;  // "" when the index is not partial.
  bool nulls_equal = false;
  // Of a partition: which rows of its root it has.  They are looked up through the root, since
  // nobody need grant anything on a partition; "": it is none.
  std::string partition{};
};

// $1: schema, $2: index name.  One row per part: relation, expression, operator, collation,
// predicate, nulls_equal, partition.
std::string unique_index_sql();

// The row to be written, as it would stand in the table: generated columns and defaults included.
inline constexpr const char* kNewRow = "pg_temp.lockstep_new";
std::string create_new_row_sql(const TableMap& table);
// Takes the columns that are not mapped from the row that exists; nothing when all are mapped.
// $1: rows.
std::optional<std::string> complete_new_row_sql(const StagedTable& table);

// What an eviction does with the rows it finds.
enum class HolderAction { Delete, Show };

// Finds the rows, other than that of the new row's own key, that the index holds to be equal.
// Delete: deletes them and returns their keys as staged.  Show: returns their keys as one text.
std::string holders_sql(const StagedTable& table, const UniqueIndex& index, HolderAction action);

}  // namespace lockstep
