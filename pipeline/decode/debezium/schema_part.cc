#include "pipeline/decode/debezium/schema_part.h"

#include <simdjson.h>

#include <string>

#include "pipeline/decode/debezium/type_codec.h"

namespace lockstep {
namespace {

namespace dom = simdjson::dom;

std::string_view text_field(const dom::element& element, std::string_view key) {
  std::string_view text;
  return element[key].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// Which value of decimal.handling.mode a schema shows, "" for string.
std::string_view decimal_mode(std::string_view type, std::string_view name) {
  if (name == "org.apache.kafka.connect.data.Decimal") return "precise";
  if (name == "io.debezium.data.VariableScaleDecimal") return "precise";
  return type == "double" ? "double" : "";
}

// Which value of time.precision.mode a schema shows, "" for the one whose schema is `expected`.
std::string_view time_mode(std::string_view name, std::string_view expected) {
  if (name == expected) return "";
  if (name.starts_with("org.apache.kafka.connect.data.")) return "connect";
  if (name.starts_with("io.debezium.time.Nano")) return "nanoseconds";
  if (name.starts_with("io.debezium.time.Iso")) return "isostring";
  if (name.starts_with("io.debezium.time.Structured")) return "structured";
  return "another than this manifest's";
}

std::string_view time_schema(const TypeCodec& codec) {
  if (codec.kind == TypeKind::Date) return "io.debezium.time.Date";
  const bool millis = codec.unit == TimeUnit::Millis;
  if (codec.kind == TypeKind::Time) {
    return millis ? "io.debezium.time.Time" : "io.debezium.time.MicroTime";
  }
  return millis ? "io.debezium.time.Timestamp" : "io.debezium.time.MicroTimestamp";
}

struct OtherSetting {
  std::string_view setting;  // "" when nothing is wrong.
  std::string_view mode;
};

OtherSetting check_type(const TypeCodec& codec, const dom::element& schema) {
  const std::string_view type = text_field(schema, "type");
  const std::string_view name = text_field(schema, "name");
  switch (codec.kind) {
    case TypeKind::Numeric:
    case TypeKind::Money: {
      const std::string_view mode = decimal_mode(type, name);
      return {mode.empty() ? "" : "decimal.handling.mode", mode};
    }
    case TypeKind::Date:
    case TypeKind::Time:
    case TypeKind::Timestamp: {
      const std::string_view mode = time_mode(name, time_schema(codec));
      return {mode.empty() ? "" : "time.precision.mode", mode};
    }
    case TypeKind::Bytea:
      if (type == "string") return {"binary.handling.mode", "base64 or hex"};
      return {};
    default:
      return {};
  }
}

Error refusal(const TableMap& table, std::string_view column, const OtherSetting& other) {
  Error error;
  error.reaction = Reaction::Halt;
  error.message = "the connector's " + std::string(other.setting);
  if (!other.mode.empty()) error.message += " is " + std::string(other.mode) + ", which";
  error.message += " loses data or is not what this run expects: column " + std::string(column) +
                   " of " + table.text() +
                   "; configure the connector as `lockstep connector-config` prints it";
  error.exit = ExitCode::Config;
  return error;
}

// Finds the struct of `after`, or of `before` when that comes first: they are the same.
bool find_row_schema(const dom::element& schema, dom::array& columns) {
  dom::array fields;
  if (schema["fields"].get(fields) != simdjson::SUCCESS) return false;
  for (const dom::element field : fields) {
    const std::string_view name = text_field(field, "field");
    if (name != "after" && name != "before") continue;
    return field["fields"].get(columns) == simdjson::SUCCESS;
  }
  return false;
}

}  // namespace

Status check_schema(const TableMap& table, const DecodeSettings& settings,
                    std::string_view schema) {
  dom::parser parser;
  dom::element root;
  dom::array columns;
  const simdjson::padded_string padded(schema);
  if (parser.parse(padded).get(root) != simdjson::SUCCESS || !find_row_schema(root, columns)) {
    return fail(Reaction::Halt, "the schema part of an event of " + table.text() +
                                    " is not that of a Debezium envelope");
  }
  for (const dom::element field : columns) {
    const std::string_view name = text_field(field, "field");
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const Column& column = table.source_column(i);
      if (column.name != name) continue;
      const Plane plane = table.columns[i].plane;
      dom::element items;
      const bool array = column.type.kind == TypeKind::Array;
      if (array && field["items"].get(items) != simdjson::SUCCESS) continue;
      const OtherSetting other =
          array ? check_type(make_element_codec(column.type, plane, settings), items)
                : check_type(make_type_codec(column.type, plane, settings), field);
      if (!other.setting.empty()) return fail(refusal(table, name, other));
    }
  }
  return {};
}

Error refuse_setting(const TableMap& table, std::string_view column, std::string_view setting) {
  return refusal(table, column, {setting, ""});
}

}  // namespace lockstep
