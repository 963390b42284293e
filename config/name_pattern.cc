#include "config/name_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace lockstep {
namespace {

bool is_bare(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '*' || c == '?' || byte >= 0x80;
}

std::size_t character_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0xc0) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

// Takes one part off the front of `rest`; nothing when it is malformed.
std::optional<NamePart> take_part(std::string_view& rest) {
  NamePart part;
  if (rest.starts_with('"')) {
    std::size_t i = 1;
    for (; i < rest.size(); ++i) {
      if (rest[i] == '"') {
        if (i + 1 == rest.size() || rest[i + 1] != '"') break;
        ++i;
      }
      part.text += rest[i];
    }
    if (i >= rest.size()) return std::nullopt;
    rest.remove_prefix(i + 1);
  } else {
    const auto end = std::find_if_not(rest.begin(), rest.end(), is_bare);
    part.text.assign(rest.begin(), end);
    part.glob = part.text.find_first_of("*?") != std::string::npos;
    rest.remove_prefix(part.text.size());
  }
  if (part.text.empty() || part.text.size() > kIdentifierMax) return std::nullopt;
  return part;
}

}  // namespace

bool NamePart::matches(std::string_view name) const {
  if (!glob) return name == text;
  std::size_t at = 0;
  std::size_t pattern = 0;
  std::optional<std::pair<std::size_t, std::size_t>> star;  // Last one, and what it began at.
  while (at < name.size()) {
    const char wanted = pattern < text.size() ? text[pattern] : '\0';
    if (wanted == '*') {
      star = {++pattern, at};
    } else if (pattern < text.size() && wanted == '?') {
      at = std::min(name.size(), at + character_length(name[at]));
      ++pattern;
    } else if (pattern < text.size() && wanted == name[at]) {
      ++at;
      ++pattern;
    } else if (star) {
      pattern = star->first;
      at = ++star->second;
    } else {
      return false;
    }
  }
  return text.find_first_not_of('*', pattern) == std::string::npos;
}

bool NamePattern::matches(const TableName& name) const {
  return schema.matches(name.schema) && table.matches(name.table);
}

std::string exact_pattern(const TableName& name) {
  const auto part = [](const std::string& text) {
    const bool bare =
        std::ranges::all_of(text, [](char c) { return is_bare(c) && c != '*' && c != '?'; });
    return bare ? text : quote_identifier(text);
  };
  return part(name.schema) + "." + part(name.table);
}

std::expected<NamePattern, std::string> parse_name_pattern(std::string_view text) {
  std::string_view rest = text;
  auto schema = take_part(rest);
  if (!schema) return std::unexpected(fmt::format("'{}' is not a table's name", text));
  if (!rest.starts_with('.')) {
    return std::unexpected(fmt::format("'{}' is not of the form schema.table", text));
  }
  rest.remove_prefix(1);
  auto table = take_part(rest);
  if (!table || !rest.empty()) {
    return std::unexpected(fmt::format("'{}' is not of the form schema.table", text));
  }
  return NamePattern{std::move(*schema), std::move(*table)};
}

}  // namespace lockstep
