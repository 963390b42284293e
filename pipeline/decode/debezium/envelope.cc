#include "pipeline/decode/debezium/envelope.h"

#include "pipeline/base/number.h"

namespace lockstep {
namespace {

bool read_text(ondemand::value& value, std::string_view& text) {
  Scalar scalar;
  if (!read_scalar(value, scalar)) return false;
  if (scalar.kind == JsonKind::Null) return true;
  text = scalar.text;
  return scalar.kind == JsonKind::String || scalar.kind == JsonKind::Bool;
}

// Leaves `number` alone for null.
template <typename T>
bool read_number(ondemand::value& value, T& number) {
  Scalar scalar;
  if (!read_scalar(value, scalar)) return false;
  if (scalar.kind == JsonKind::Null) return true;
  return scalar.kind == JsonKind::Number && parse_number(scalar.text, number);
}

// Takes one element of `["123","456"]` or `[null,"456"]`, up to `end`.
bool take_lsn(std::string_view& text, char end, std::uint64_t& lsn) {
  const std::size_t stop = text.find(end);
  if (stop == std::string_view::npos) return false;
  std::string_view element = text.substr(0, stop);
  text.remove_prefix(stop + 1);
  while (element.starts_with(' ')) element.remove_prefix(1);
  if (element == "null") return true;
  if (element.size() < 3 || !element.starts_with('"') || !element.ends_with('"')) return false;
  return parse_number(element.substr(1, element.size() - 2), lsn);
}

bool read_sequence(ondemand::value& value, Position& sequence) {
  std::string_view text;
  if (!read_text(value, text)) return false;
  if (text.empty()) return true;
  if (!text.starts_with('[')) return false;
  text.remove_prefix(1);
  return take_lsn(text, ',', sequence.major) && take_lsn(text, ']', sequence.minor) && text.empty();
}

struct Times {
  std::int64_t ms = 0;
  std::int64_t us = 0;
};

bool read_source_field(std::string_view key, ondemand::value& value, Envelope& envelope,
                       Times& times) {
  switch (key.size()) {
    case 4:
      if (key != "txId") return true;
      envelope.tx_id = 0;
      if (!read_number(value, *envelope.tx_id)) return false;
      if (*envelope.tx_id == 0) envelope.tx_id.reset();
      return true;
    case 5:
      if (key == "table") return read_text(value, envelope.table);
      if (key == "ts_ms") return read_number(value, times.ms);
      return key != "ts_us" || read_number(value, times.us);
    case 6:
      return key != "schema" || read_text(value, envelope.schema);
    case 8:
      if (key == "snapshot") return read_text(value, envelope.snapshot);
      return key != "sequence" || read_sequence(value, envelope.sequence);
    default:
      return true;
  }
}

bool read_source(ondemand::value& value, Envelope& envelope) {
  ondemand::object source;
  if (value.get_object().get(source) != simdjson::SUCCESS) return false;
  Times times;
  for (auto result : source) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return false;
    // Most fields are not wanted; this saves finding the ends of their names.
    const char first = *field.key().raw();
    if (first != 't' && first != 's') continue;
    if (!read_source_field(raw_key(field), field.value(), envelope, times)) return false;
  }
  constexpr std::int64_t kMillisMax = INT64_MAX / 1000;
  if (times.us == 0 && (times.ms > kMillisMax || times.ms < 0)) return false;
  envelope.commit_us = times.us != 0 ? times.us : times.ms * 1000;
  envelope.has_source = true;
  return true;
}

bool read_op(ondemand::value& value, Envelope& envelope) {
  Scalar scalar;
  if (!read_scalar(value, scalar) || scalar.kind != JsonKind::String) return false;
  envelope.op = '?';
  if (scalar.text.size() == 1) envelope.op = static_cast<char>(scalar.text[0] | 0x20);
  return true;
}

bool read_after(ondemand::value& value, Envelope& envelope) {
  if (kind_of(value) == JsonKind::Null) return true;
  ondemand::object after;
  if (value.get_object().get(after) != simdjson::SUCCESS) return false;
  envelope.after = after;
  return true;
}

}  // namespace

bool read_envelope(ondemand::object& root, Envelope& envelope) {
  for (auto result : root) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return false;
    const std::string_view key = raw_key(field);
    bool good = true;
    if (key == "after") good = read_after(field.value(), envelope);
    if (key == "source") good = read_source(field.value(), envelope);
    if (key == "op") good = read_op(field.value(), envelope);
    if (!good) return false;
  }
  return true;
}

bool is_marker(ondemand::object& root) {
  bool status = false;
  bool id = false;
  std::size_t fields = 0;
  std::size_t times = 0;
  bool has_fields = false;
  if (root.reset().get(has_fields) != simdjson::SUCCESS || !has_fields) return false;
  for (auto result : root) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return false;
    const std::string_view key = raw_key(field);
    ++fields;
    times += key.starts_with("ts_") ? 1 : 0;
    status = status || key == "status";
    id = id || key == "id";
  }
  return (status && id) || times == fields;
}

}  // namespace lockstep
