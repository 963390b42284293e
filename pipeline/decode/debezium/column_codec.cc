#include "pipeline/decode/debezium/column_codec.h"

#include <algorithm>
#include <array>
#include <limits>

#include "pipeline/decode/bytes.h"
#include "pipeline/decode/debezium/null_trust.h"
#include "pipeline/decode/length.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

// Writes a one-dimensional array in send() form.
class ArrayWriter {
 public:
  ArrayWriter(std::string& out, std::uint32_t element_oid) : out_(out), begin_(out.size()) {
    append_be32(out, 1);  // Dimensions.
    append_be32(out, 0);  // No NULLs: they make the whole array doubtful.
    append_be32(out, element_oid);
    append_be32(out, 0);  // Elements, filled in by finish().
    append_be32(out, 1);  // Lower bound.
  }

  std::size_t open_element() {
    ++count_;
    return open_length(out_);
  }
  void close_element(std::size_t begin) { close_length(out_, begin); }
  void finish() {
    constexpr std::size_t kCountAt = 12;
    write_be32(out_, begin_ + kCountAt, count_);
    if (count_ > 0) return;
    // An empty array has no dimensions.
    write_be32(out_, begin_, 0);
    out_.resize(begin_ + kCountAt);
  }

 private:
  std::string& out_;
  std::size_t begin_;
  std::uint32_t count_ = 0;
};

// Appends an element of an array's text form, quoted where array_out quotes.
void append_quoted_element(std::string& out, std::string_view text) {
  const auto is_null_word = [](std::string_view word) {
    constexpr std::string_view kNull = "null";
    return std::ranges::equal(word, kNull, [](char a, char b) { return (a | 0x20) == b; });
  };
  if (!text.empty() && text.find_first_of("\"\\{}, \t\n\r\v\f") == std::string_view::npos &&
      !is_null_word(text)) {
    out.append(text);
    return;
  }
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

// Whether an element came through Java's old date classes unharmed: they know neither infinity nor
// the days before the Gregorian calendar as PostgreSQL counts them.
bool survived_java(TypeKind kind, std::string_view bytes) {
  constexpr std::int64_t kFirstDay = kFirstGregorianDay - 10957;
  if (kind == TypeKind::Date) {
    const auto days = static_cast<std::int32_t>(read_be32(bytes));
    return days >= kFirstDay && days != std::numeric_limits<std::int32_t>::max();
  }
  if (kind == TypeKind::Timestamp || kind == TypeKind::TimestampTz) {
    const auto micros = static_cast<std::int64_t>(read_be64(bytes));
    return micros >= kFirstDay * 86'400'000'000 &&
           micros != std::numeric_limits<std::int64_t>::max();
  }
  return true;
}

Carry encode_point(ondemand::value& value, std::string& out) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) return Carry::Unreadable;
  std::array<std::string, 2> ordinates;
  for (auto result : object) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return Carry::Unreadable;
    const std::string_view key = raw_key(field);
    if (key != "x" && key != "y") continue;
    Scalar scalar;
    if (!read_scalar(field.value(), scalar)) return Carry::Unreadable;
    std::string& ordinate = ordinates[key == "x" ? 0 : 1];
    if (append_float8(ordinate, scalar) != Carry::Value) return Carry::Unreadable;
  }
  if (ordinates[0].size() != 8 || ordinates[1].size() != 8) return Carry::Unreadable;
  out.append(ordinates[0]).append(ordinates[1]);
  return Carry::Value;
}

bool read_pairs(ondemand::object& object, std::vector<CodecScratch::Pair>& pairs) {
  pairs.clear();
  for (auto result : object) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return false;
    Scalar scalar;
    if (!read_scalar(field.value(), scalar)) return false;
    if (scalar.kind != JsonKind::Null && scalar.kind != JsonKind::String) return false;
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return false;
    const bool null = scalar.kind == JsonKind::Null;
    pairs.push_back({std::string(key), null ? std::string() : std::string(scalar.text), null});
  }
  return true;
}

// Appends hstore's send() form; it keeps pairs by length and then bytes of their keys.
void append_pairs(std::string& out, std::vector<CodecScratch::Pair>& pairs) {
  std::ranges::sort(pairs, [](const auto& a, const auto& b) {
    return a.key.size() != b.key.size() ? a.key.size() < b.key.size() : a.key < b.key;
  });
  append_be32(out, static_cast<std::uint32_t>(pairs.size()));
  for (const CodecScratch::Pair& pair : pairs) {
    append_value(out, pair.key);
    append_cell(out, {pair.null ? Presence::Null : Presence::Value, pair.value});
  }
}

}  // namespace

ColumnCodec::ColumnCodec(const TableMap& table, std::size_t column,
                         const DecodeSettings& settings) {
  const Column& source = table.source_column(column);
  const ColumnMap& map = table.columns[column];
  type_ = make_type_codec(source.type, map.plane, settings);
  never_ = map.doubtful_always || (map.reread_arrays && source.type.kind == TypeKind::Array);
  if (source.type.kind == TypeKind::Array) {
    shape_ = Shape::Array;
    element_ = make_element_codec(source.type, map.plane, settings);
    if (!source.type.inner.empty()) element_oid_ = source.type.inner[0].oid;
    array_text_ = map.plane == Plane::Text;
    never_ = never_ || element_.form == Form::Never || element_.form == Form::Base64Text;
  } else if (map.plane == Plane::Binary && source.type.kind == TypeKind::Hstore) {
    shape_ = Shape::Hstore;
  } else if (map.plane == Plane::Binary && source.type.kind == TypeKind::Point) {
    shape_ = Shape::Point;
  } else {
    never_ = never_ || type_.form == Form::Never;
  }
  const bool maybe_null = source.has_default && !source.not_null;
  never_ = never_ || (settings.null_becomes_default && maybe_null);
  null_ = null_is_trusted(table, source, settings) ? Carry::Null : Carry::Doubtful;
  set_placeholder(table, source, settings);
}

void ColumnCodec::set_placeholder(const TableMap&, const Column& column,
                                  const DecodeSettings& settings) {
  toast_ = column.toastable && !settings.placeholder.empty();
  if (!toast_) return;
  placeholder_means_ = settings.placeholder_is_default ? Carry::Doubtful : Carry::Unavailable;
  placeholder_ = settings.placeholder;
  placeholder_base64_ = to_base64(settings.placeholder);
  if (shape_ == Shape::Array && !never_ && !column.type.inner.empty())
    placeholder_image_ = placeholder_array(unchanged_array(column.type.inner.front()));
  if (shape_ == Shape::Hstore) {
    std::vector<CodecScratch::Pair> pairs{{placeholder_, placeholder_, false}};
    append_pairs(placeholder_image_, pairs);
  }
}

// What an unchanged TOAST array looks like once it is encoded.  Empty where Debezium has no such
// form, or one that cannot be told from others.
std::string ColumnCodec::placeholder_array(PlaceholderArray form) const {
  std::string image;
  if (array_text_) {
    image.push_back('{');
    append_quoted_element(image, placeholder_);
    image.push_back('}');
    return image;
  }
  ArrayWriter writer(image, element_oid_);
  const auto add = [&](const auto& append) {
    const std::size_t begin = writer.open_element();
    append();
    writer.close_element(begin);
  };
  switch (form) {
    case PlaceholderArray::Numbers:
      for (const char byte : placeholder_) {
        const std::string number = std::to_string(static_cast<int>(static_cast<signed char>(byte)));
        add([&] { encode_scalar(element_, {JsonKind::Number, number}, image); });
      }
      break;
    case PlaceholderArray::Text:
      add([&] { encode_scalar(element_, {JsonKind::String, placeholder_}, image); });
      break;
    case PlaceholderArray::Bytes:
      add([&] { image.append(placeholder_); });
      break;
    case PlaceholderArray::Uuid:
    case PlaceholderArray::None:
      return {};
  }
  writer.finish();
  return image;
}

bool ColumnCodec::is_placeholder(std::string_view text) const {
  return toast_ && (text == placeholder_ || text == placeholder_base64_);
}

Carry ColumnCodec::encode(ondemand::value& value, CodecScratch& scratch, std::string& row) const {
  const std::size_t begin = open_length(row);
  Carry carry = encode_value(value, scratch, row);
  if (carry == Carry::Value && !placeholder_image_.empty() &&
      std::string_view(row).substr(begin) == placeholder_image_) {
    carry = placeholder_means_;
  }
  if (carry == Carry::Value) {
    close_length(row, begin);
    return carry;
  }
  row.resize(begin - 4);
  append_cell(row, {carry == Carry::Null ? Presence::Null : Presence::Unavailable, {}});
  return carry;
}

Carry ColumnCodec::encode_value(ondemand::value& value, CodecScratch& scratch,
                                std::string& out) const {
  const JsonKind kind = kind_of(value);
  if (kind == JsonKind::Array || kind == JsonKind::Object) {
    if (never_) return Carry::Doubtful;
    if (shape_ == Shape::Array && kind == JsonKind::Array) {
      return array_text_ ? encode_text_array(value, out) : encode_array(value, out);
    }
    if (shape_ == Shape::Hstore && kind == JsonKind::Object) {
      return encode_hstore(value, scratch, out);
    }
    if (shape_ == Shape::Point && kind == JsonKind::Object) return encode_point(value, out);
    return shape_ == Shape::Scalar ? encode_scalar(type_, {kind, {}}, out) : Carry::Unreadable;
  }
  Scalar scalar;
  if (!read_scalar(value, scalar)) return Carry::Unreadable;
  if (kind == JsonKind::Null) return null_;
  if (kind == JsonKind::String && is_placeholder(scalar.text)) return placeholder_means_;
  if (never_) return Carry::Doubtful;
  if (shape_ == Shape::Scalar) return encode_scalar(type_, scalar, out);
  if (shape_ != Shape::Hstore || kind != JsonKind::String) return Carry::Unreadable;
  scratch.text.assign(scalar.text);
  scratch.text.reserve(scratch.text.size() + simdjson::SIMDJSON_PADDING);
  ondemand::document document;
  ondemand::value inner;
  if (scratch.parser.iterate(scratch.text).get(document) != simdjson::SUCCESS ||
      document.get_value().get(inner) != simdjson::SUCCESS) {
    return Carry::Unreadable;
  }
  return encode_hstore(inner, scratch, out);
}

Carry ColumnCodec::encode_hstore(ondemand::value& value, CodecScratch& scratch,
                                 std::string& out) const {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS || !read_pairs(object, scratch.pairs)) {
    return Carry::Unreadable;
  }
  append_pairs(out, scratch.pairs);
  return Carry::Value;
}

// Appends an element's bytes.  NULL may stand for a nested array, whose elements Debezium loses.
Carry ColumnCodec::encode_element(ondemand::value& value, std::string& out) const {
  Scalar scalar;
  if (!read_scalar(value, scalar)) return Carry::Unreadable;
  if (scalar.kind == JsonKind::Null || scalar.kind == JsonKind::Array) return Carry::Doubtful;
  const std::size_t begin = out.size();
  const Carry carry = encode_scalar(element_, scalar, out);
  if (carry != Carry::Value || array_text_) return carry;
  return survived_java(element_.kind, std::string_view(out).substr(begin)) ? carry
                                                                           : Carry::Doubtful;
}

Carry ColumnCodec::encode_array(ondemand::value& value, std::string& out) const {
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) return Carry::Unreadable;
  ArrayWriter writer(out, element_oid_);
  std::size_t count = 0;
  bool version3 = false;
  for (auto result : array) {
    ondemand::value element;
    if (std::move(result).get(element) != simdjson::SUCCESS) return Carry::Unreadable;
    const std::size_t begin = writer.open_element();
    const Carry carry = encode_element(element, out);
    if (carry != Carry::Value) return carry;
    constexpr std::size_t kVersionAt = 6;
    version3 = element_.kind == TypeKind::Uuid &&
               (static_cast<std::uint8_t>(out[begin + kVersionAt]) >> 4) == 3;
    writer.close_element(begin);
    ++count;
  }
  writer.finish();
  // An unchanged TOAST uuid[] is one UUID of version 3, made of the placeholder's MD5.
  return toast_ && count == 1 && version3 ? Carry::Doubtful : Carry::Value;
}

Carry ColumnCodec::encode_text_array(ondemand::value& value, std::string& out) const {
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) return Carry::Unreadable;
  std::string text;
  char separator = '{';
  for (auto result : array) {
    ondemand::value element;
    if (std::move(result).get(element) != simdjson::SUCCESS) return Carry::Unreadable;
    text.clear();
    const Carry carry = encode_element(element, text);
    if (carry != Carry::Value) return carry;
    out.push_back(separator);
    separator = ',';
    append_quoted_element(out, text);
  }
  if (separator == '{') out.push_back('{');
  out.push_back('}');
  return Carry::Value;
}

}  // namespace lockstep
