// ColumnCodec: one column's values from Debezium's JSON to cells of a row.
//
// table_decoder.h walks an object's fields and hands each to its column's codec.  Here is what
// Debezium's wire does to columns (W1): which forms the placeholder of an unchanged TOAST value
// takes, when NULL is not to be believed, arrays, hstore and point.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/decode/debezium/json.h"
#include "pipeline/decode/debezium/settings.h"
#include "pipeline/decode/debezium/type_codec.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {

// Buffers that codecs share; one per decoder.
struct CodecScratch {
  struct Pair {
    std::string key;
    std::string value;
    bool null = false;
  };
  ondemand::parser parser;  // For JSON inside a JSON string.
  std::string text;
  std::vector<Pair> pairs;
};

// One thread.  Constant after construction.
class ColumnCodec {
 public:
  // REQUIRES: `column` < table.columns.size().
  ColumnCodec(const TableMap& table, std::size_t column, const DecodeSettings& settings);

  // Appends one cell, whatever `value` is: without a value it is NULL or unavailable.
  Carry encode(ondemand::value& value, CodecScratch& scratch, std::string& row) const;

  TypeKind kind() const { return type_.kind; }

 private:
  enum class Shape : std::uint8_t { Scalar, Array, Hstore, Point };

  Carry encode_value(ondemand::value& value, CodecScratch& scratch, std::string& out) const;
  Carry encode_array(ondemand::value& value, std::string& out) const;
  Carry encode_text_array(ondemand::value& value, std::string& out) const;
  Carry encode_element(ondemand::value& value, std::string& out) const;
  Carry encode_hstore(ondemand::value& value, CodecScratch& scratch, std::string& out) const;
  bool is_placeholder(std::string_view text) const;
  void set_placeholder(const TableMap& table, const Column& column, const DecodeSettings& settings);
  std::string placeholder_array(PlaceholderArray form) const;

  Shape shape_ = Shape::Scalar;
  TypeCodec type_;
  TypeCodec element_;  // Of an array.
  std::uint32_t element_oid_ = 0;
  bool array_text_ = false;   // The cell is the array's text form.
  bool never_ = false;        // Every value is doubtful.
  Carry null_ = Carry::Null;  // What NULL means: Null or Doubtful.

  // What stands for an unchanged TOAST value, if one is possible here.
  bool toast_ = false;
  Carry placeholder_means_ = Carry::Unavailable;  // Or Doubtful, when user data may equal it.
  std::string placeholder_;
  std::string placeholder_base64_;
  std::string placeholder_image_;  // As a whole cell value: arrays, hstore.
};

}  // namespace lockstep
