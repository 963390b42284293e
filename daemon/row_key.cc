#include "daemon/row_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <string_view>

namespace lockstep {
namespace {

namespace json = boost::json;

using Given = std::map<std::string, std::string>;

std::unexpected<Error> no_key(std::span<const std::string> columns, const std::string& why) {
  std::vector<std::string> pairs;
  for (const std::string& column : columns) pairs.push_back(column + "=..");
  return fail(Reaction::Halt,
              fmt::format("{}: the key is ({}), written as {}", why, fmt::join(columns, ", "),
                          fmt::join(pairs, ",")),
              ExitCode::Usage);
}

// The text of a value; nothing where it is NULL, no single value, or a number that a double blurs.
std::optional<std::string> text_of_value(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  const bool exact = value.is_bool() || value.is_int64() || value.is_uint64();
  return exact ? std::optional(json::serialize(value)) : std::nullopt;
}

Result<Given> given_as_json(std::span<const std::string> columns, const json::object& object) {
  Given given;
  for (const auto& [name, value] : object) {
    const auto text = text_of_value(value);
    if (!text)
      return no_key(columns,
                    fmt::format("{} is neither a text nor a whole number", std::string_view(name)));
    given[name] = *text;
  }
  return given;
}

// Where the next "column=" begins at or after `from`, behind a comma or at the beginning.
std::size_t next_pair(std::span<const std::string> columns, std::string_view text,
                      std::size_t from) {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (at > 0 && text[at - 1] != ',') continue;
    const std::string_view rest = text.substr(at);
    const bool named = std::ranges::any_of(
        columns, [&](const std::string& column) { return rest.starts_with(column + "="); });
    if (named) return at;
  }
  return text.npos;
}

Result<Given> given_as_pairs(std::span<const std::string> columns, std::string_view text) {
  Given given;
  for (std::size_t at = 0; at != text.npos;) {
    const std::size_t equals = text.find('=', at);
    const std::size_t next = next_pair(columns, text, equals);
    const std::string_view value =
        next == text.npos ? text.substr(equals + 1) : text.substr(equals + 1, next - equals - 2);
    const std::string name(text.substr(at, equals - at));
    if (!given.emplace(name, value).second) return no_key(columns, name + " is given twice");
    at = next;
  }
  return given;
}

Result<Given> given_in(std::span<const std::string> columns, const std::string& text) {
  boost::system::error_code no_json;
  const json::value parsed = json::parse(text, no_json);
  if (!no_json && parsed.is_object()) return given_as_json(columns, parsed.get_object());
  if (next_pair(columns, text, 0) == 0) return given_as_pairs(columns, text);
  if (columns.size() == 1) return Given{{columns.front(), text}};
  return no_key(columns, fmt::format("'{}' is no key", text));
}

}  // namespace

Result<std::vector<std::string>> parse_row_key(std::span<const std::string> columns,
                                               const std::string& text) {
  if (columns.empty())
    return fail(Reaction::Halt, "the table has no key by which a row could be named",
                ExitCode::Usage);
  LOCKSTEP_ASSIGN(Given given, given_in(columns, text));
  std::vector<std::string> values;
  for (const std::string& column : columns) {
    auto value = given.extract(column);
    if (value.empty()) return no_key(columns, column + " is missing");
    values.push_back(std::move(value.mapped()));
  }
  if (!given.empty()) return no_key(columns, given.begin()->first + " is not of the key");
  return values;
}

}  // namespace lockstep
