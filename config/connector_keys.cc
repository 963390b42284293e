#include "config/connector_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace lockstep {
namespace {

bool needs_telling(const TableSpec& table) { return !table.key.empty() && !table.key_is_primary; }

std::set<std::string_view> entries_of(std::string_view setting) {
  std::set<std::string_view> entries;
  while (!setting.empty()) {
    const std::string_view entry = setting.substr(0, setting.find(';'));
    setting.remove_prefix(std::min(setting.size(), entry.size() + 1));
    if (!entry.empty()) entries.insert(entry);
  }
  return entries;
}

}  // namespace

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Separators and the white space around them are taken for their own, escaped or not.
std::string name_regex(std::string_view name) {
  std::string pattern;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || is_word(c))
      pattern += c;
    else
      pattern += c == '.' ? "\\." : fmt::format("\\x{:02x}", byte);
  }
  return pattern;
}

std::string key_columns(std::span<const TableSpec> tables) {
  std::string setting;
  for (const TableSpec& table : tables) {
    if (!needs_telling(table)) continue;
    std::string columns;
    for (const std::size_t i : table.key)
      columns += (columns.empty() ? "" : ",") + name_regex(table.columns[i].name);
    setting +=
        fmt::format("{}{}:{}", setting.empty() ? "" : ";", name_regex(table.name.text()), columns);
  }
  return setting;
}

bool same_key_columns(const std::string& a, const std::string& b) {
  return entries_of(a) == entries_of(b);
}

bool has_key_columns(const std::string& value, const std::string& wanted) {
  return std::ranges::includes(entries_of(value), entries_of(wanted));
}

std::vector<std::string> keying_problems(std::span<const TableSpec> tables) {
  std::vector<std::string> problems;
  for (const TableSpec& table : tables) {
    if (!needs_telling(table)) continue;
    for (const TableSpec& other : tables)
      if (other.name != table.name && lower(other.name.text()) == lower(table.name.text()))
        problems.push_back(
            fmt::format("{} needs {}, which would be taken for {}, too: Debezium does not tell "
                        "case",
                        table.name.text(), kKeyColumns, other.name.text()));
    for (const std::size_t i : table.key)
      for (const Column& column : table.columns)
        if (column.name != table.columns[i].name &&
            lower(column.name) == lower(table.columns[i].name))
          problems.push_back(
              fmt::format("the key {} of {} needs {}, which would be taken for column {}, too: "
                          "Debezium does not tell case",
                          table.columns[i].name, table.name.text(), kKeyColumns, column.name));
  }
  return problems;
}

}  // namespace lockstep
