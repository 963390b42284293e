// TableDecoder: one table's rows and keys from JSON objects to cells.
//
// debezium.h has one per mapped table.  Fields are found by remembering in which order they came
// the last time; only a field out of that order costs a look-up by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/decode/debezium/column_codec.h"
#include "pipeline/decode/debezium/json.h"
#include "pipeline/model/change.h"
#include "pipeline/model/table.h"

namespace lockstep {

// What became of one object.
struct ReadOutcome {
  enum class Kind : std::uint8_t {
    Cells,          // The cells were appended, whatever they hold.
    Broken,         // The JSON breaks off, or a field comes twice.
    UnknownColumn,  // `column` is not in the catalog: the table has changed.
    Refused,        // `column` arrives in a form that belongs to a refused setting.
  };
  Kind kind = Kind::Cells;
  bool complete = true;                // No cell is unavailable.
  DebtReason debt = DebtReason::None;  // Doubtful or Unreadable, the worse of its cells.
  std::string column;                  // Unreadable: the first such column, too.
  std::string_view setting;            // Refused: its name.
};

// Reads objects whose fields are columns into cells of a fixed order.  One thread.
class ObjectReader {
 public:
  // `cells` are indices into table.columns, in the order of the cells.  Other columns of the
  // catalog are passed over.
  ObjectReader(const TableMap& table, const std::vector<std::size_t>& cells,
               const DecodeSettings& settings);

  // Appends the cells of `object` to `out`; fields that are missing are unavailable and doubtful.
  ReadOutcome read(ondemand::object& object, CodecScratch& scratch, std::string& out);

 private:
  static constexpr std::int32_t kSkip = -1;
  static constexpr std::int32_t kUnknown = -2;

  struct Slot {
    std::string raw_key;
    std::int32_t cell = kSkip;
  };
  struct Span {
    std::size_t begin = 0;
    std::size_t size = 0;  // 0: not seen yet.
  };

  std::int32_t find(ondemand::field& field, std::size_t position, std::string_view raw);
  void note(Carry carry, std::size_t cell, ReadOutcome& outcome) const;
  void reorder(std::string& out, std::size_t begin, ReadOutcome& outcome);

  const TableMap& table_;
  std::vector<std::size_t> columns_;                       // Of each cell: its column.
  std::vector<ColumnCodec> codecs_;                        // Of each cell.
  std::unordered_map<std::string, std::int32_t> by_name_;  // Every column of the catalog.
  std::vector<Slot> slots_;  // Fields in the order of the last object.
  std::vector<Span> spans_;  // Of each cell, in the object being read.
};

// One thread.  `table` must outlive it.
class TableDecoder {
 public:
  TableDecoder(const TableMap& table, const DecodeSettings& settings);

  const TableMap& table() const { return table_; }
  // Cells in TableMap::columns order.
  ObjectReader& rows() { return rows_; }
  // Cells in key order; fields are found by name, since Debezium's order is the index's.
  ObjectReader& keys() { return keys_; }

 private:
  const TableMap& table_;
  ObjectReader rows_;
  ObjectReader keys_;
};

}  // namespace lockstep
