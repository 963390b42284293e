#include "connectors/postgres/wire/first_words.h"

#include <cstddef>
#include <utility>

#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

constexpr std::size_t kBytesMax = 60;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
// Bytes of names, of any language.
bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (c & '\x80') != 0;
}

// Whether a value or a comment begins at `i`.
bool begins_value(std::string_view text, std::size_t i) {
  const char c = text[i];
  if (c == '\'') return true;
  if (c == '-' || c == '/') return text.substr(i, 2) == "--" || text.substr(i, 2) == "/*";
  const bool within_name = i > 0 && is_name(text[i - 1]);
  return !within_name && (c == '$' || is_digit(c));
}

}  // namespace

std::string first_words(std::string_view statement) {
  std::string words;
  bool quoted = false;  // A name in quotes may hold anything, and is none of the values.
  for (std::size_t i = 0; i < statement.size(); ++i) {
    const char c = statement[i];
    if (c == '"') quoted = !quoted;
    if (!quoted && begins_value(statement, i)) break;
    if (words.size() == kBytesMax) {  // Perhaps in the middle of a character.
      while (!words.empty() && (words.back() & '\xc0') == '\x80') words.pop_back();
      if (!words.empty() && (words.back() & '\xc0') == '\xc0') words.pop_back();
      break;
    }
    if (!is_space(c))
      words += c;
    else if (!words.empty() && words.back() != ' ')
      words += ' ';
  }
  while (!words.empty() && words.back() == ' ') words.pop_back();
  return valid_utf8(std::move(words));  // A session of another database has that one's encoding.
}

}  // namespace lockstep
