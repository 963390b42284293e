#include "pipeline/decode/debezium/json.h"

#include <cstring>

namespace lockstep {
namespace {

std::string_view token_of(ondemand::value& value) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
                            token.back() == '\t')) {
    token.remove_suffix(1);
  }
  return token;
}

JsonKind kind_of_token(std::string_view token) {
  if (token.empty()) return JsonKind::Null;
  switch (token.front()) {
    case '"':
      return JsonKind::String;
    case '{':
      return JsonKind::Object;
    case '[':
      return JsonKind::Array;
    case 't':
    case 'f':
      return JsonKind::Bool;
    case 'n':
      return JsonKind::Null;
    default:
      return JsonKind::Number;
  }
}

bool read_string(ondemand::value& value, std::string_view token, Scalar& scalar) {
  if (token.size() < 2 || token.back() != '"') return false;
  token = token.substr(1, token.size() - 2);
  if (std::memchr(token.data(), '\\', token.size()) == nullptr) {
    // The common case is one copy, from the document to the row.
    scalar.text = token;
    return true;
  }
  if (value.get_string().get(scalar.text) != simdjson::SUCCESS) return false;
  return scalar.text.find('\0') == std::string_view::npos;
}

}  // namespace

JsonKind kind_of(ondemand::value& value) { return kind_of_token(value.raw_json_token()); }

bool read_scalar(ondemand::value& value, Scalar& scalar) {
  const std::string_view token = token_of(value);
  scalar.kind = kind_of_token(token);
  scalar.text = token;
  switch (scalar.kind) {
    case JsonKind::Null:
      return token == "null";
    case JsonKind::Bool:
      return token == "true" || token == "false";
    case JsonKind::String:
      return read_string(value, token, scalar);
    default:
      return true;
  }
}

bool is_valid_json(std::string_view text) {
  simdjson::dom::parser parser;
  return parser.parse(text.data(), text.size()).error() == simdjson::SUCCESS;
}

}  // namespace lockstep
