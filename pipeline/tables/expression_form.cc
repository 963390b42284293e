#include "pipeline/tables/expression_form.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {
namespace {

using Tokens = std::vector<std::string>;

constexpr std::array<std::string_view, 3> kTextTypes{"character varying", "bpchar", "text"};
constexpr std::array<std::string_view, 11> kByCtype{"lower",
                                                    "upper",
                                                    "initcap",
                                                    "to_tsvector",
                                                    "casefold",
                                                    "regexp_replace",
                                                    "regexp_match",
                                                    "regexp_count",
                                                    "regexp_instr",
                                                    "regexp_like",
                                                    "regexp_split_to_array"};
constexpr std::array<std::string_view, 6> kOperatorsByCtype{"~", "~*", "!~", "!~*", "~~*", "!~~*"};

bool is_name_part(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

bool is_operator_part(char c) {
  return std::string_view("+-*/<>=~!@#%^&|`?").find(c) != std::string_view::npos;
}

// Where what `quote` opens at the beginning ends.  A doubled one reads as two that stand side by
// side, which the caller puts together.
std::size_t quoted_end(std::string_view text, char quote) {
  std::size_t end = 1;
  while (end < text.size() && (text[end] != quote || text.substr(end, 2) == std::string(2, quote)))
    end += text[end] == quote ? 2 : 1;
  return std::min(end + 1, text.size());
}

std::size_t token_end(std::string_view text) {
  const char first = text.front();
  if (first == '\'' || first == '"') return quoted_end(text, first);
  if (text.starts_with("E'")) return 1 + quoted_end(text.substr(1), '\'');
  if (text.starts_with("::")) return 2;
  if (std::isdigit(static_cast<unsigned char>(first)) != 0) {
    std::size_t end = 1;
    while (end < text.size() && (is_name_part(text[end]) || text[end] == '.')) ++end;
    return end;
  }
  bool (*const belongs)(char) = is_name_part(first) ? is_name_part : is_operator_part;
  std::size_t end = 1;
  while (belongs(first) && end < text.size() && belongs(text[end])) ++end;
  return end;
}

Tokens tokens_of(std::string_view text) {
  Tokens tokens;
  while (!text.empty()) {
    const std::size_t end = token_end(text);
    if (text.front() != ' ') tokens.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return tokens;
}

bool is_word(const std::string& token) {
  return token.front() == '"' || is_name_part(token.front());
}
bool is_literal(const std::string& token) { return token.ends_with('\''); }

// Of the bracket at `open`; tokens.size() where it is never closed.
std::size_t closing(const Tokens& tokens, std::size_t open) {
  const std::string closes = tokens[open] == "(" ? ")" : "]";
  std::size_t depth = 0;
  for (std::size_t at = open; at < tokens.size(); ++at) {
    if (tokens[at] == tokens[open]) ++depth;
    if (tokens[at] == closes && --depth == 0) return at;
  }
  return tokens.size();
}

// How many tokens a cast to a type of text takes that stands at `at`; 0: there is none.
std::size_t text_cast(const Tokens& tokens, std::size_t at) {
  if (at + 1 >= tokens.size() || tokens[at] != "::") return 0;
  std::size_t taken = 2;
  std::string type = tokens[at + 1];
  if (type == "character" && at + 2 < tokens.size()) type += " " + tokens[at + taken++];
  if (std::ranges::find(kTextTypes, type) == kTextTypes.end()) return 0;
  const bool is_array =
      at + taken + 1 < tokens.size() && tokens[at + taken] == "[" && tokens[at + taken + 1] == "]";
  return is_array ? taken + 2 : taken;
}

// Whether the parentheses at `open` and `close` hold one thing.
bool is_idle(const Tokens& tokens, std::size_t open, std::size_t close) {
  if (open > 0 && is_word(tokens[open - 1])) return false;  // Of a call, or behind a keyword.
  if (close == open + 2 || (tokens[open + 1] == "(" && closing(tokens, open + 1) == close - 1))
    return true;
  return tokens[open + 1] == "ARRAY" && tokens[open + 2] == "[" &&
         closing(tokens, open + 2) == close - 1;
}

// Whether the token at `at` ends a literal, or an array of some.
bool ends_literal(const Tokens& tokens, std::size_t at) {
  if (is_literal(tokens[at])) return true;
  if (tokens[at] != "]") return false;
  for (std::size_t open = at; open > 0; --open)
    if (tokens[open] == "[" && tokens[open - 1] == "ARRAY") return closing(tokens, open) == at;
  return false;
}

using Place = Tokens::difference_type;

// Takes one thing away that says nothing; false where there is none.
bool shorten(Tokens& tokens) {
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    const auto begin = tokens.begin() + static_cast<Place>(at);
    if (tokens[at] == "(") {
      const std::size_t close = closing(tokens, at);
      if (close >= tokens.size() || close <= at + 1 || !is_idle(tokens, at, close)) continue;
      tokens.erase(tokens.begin() + static_cast<Place>(close));
      tokens.erase(tokens.begin() + static_cast<Place>(at));
      return true;
    }
    const std::size_t cast = ends_literal(tokens, at) ? text_cast(tokens, at + 1) : 0;
    if (cast == 0) continue;
    tokens.erase(begin + 1, begin + 1 + static_cast<Place>(cast));
    return true;
  }
  return false;
}

// The name of an identifier; nothing of what is none.
std::optional<std::string> name_in(const std::string& token) {
  if (token.front() != '"') {
    const bool is_number = std::isdigit(static_cast<unsigned char>(token.front())) != 0;
    return is_word(token) && !is_literal(token) && !is_number ? std::optional(token) : std::nullopt;
  }
  std::string name;
  for (std::size_t i = 1; i + 1 < token.size(); ++i) {
    name += token[i];
    if (token[i] == '"') ++i;
  }
  return name;
}

}  // namespace

std::string expression_form(std::string_view expression, const ColumnNames& name_of) {
  Tokens tokens = tokens_of(expression);
  while (shorten(tokens)) continue;
  std::string form;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_called = i + 1 < tokens.size() && (tokens[i + 1] == "(" || tokens[i + 1] == ".");
    const bool is_part = i > 0 && (tokens[i - 1] == "." || tokens[i - 1] == "::");
    const auto name = name_in(tokens[i]);
    const bool may_be_column = name && !is_called && !is_part;
    form +=
        (form.empty() ? "" : " ") + (may_be_column ? quote_identifier(name_of(*name)) : tokens[i]);
  }
  return form;
}

std::string without_schemas(std::string_view form) {
  const Tokens tokens = tokens_of(form);
  std::string rest;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i + 1 < tokens.size() && is_word(tokens[i]) && tokens[i + 1] == ".")
      ++i;
    else
      rest += (rest.empty() ? "" : " ") + tokens[i];
  }
  return rest;
}

bool goes_by_ctype(std::string_view expression) {
  const Tokens tokens = tokens_of(expression);
  if (std::ranges::find(tokens, "COLLATE") != tokens.end()) return false;  // It says by what.
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_called = i + 1 < tokens.size() && tokens[i + 1] == "(";
    if (is_called && std::ranges::find(kByCtype, tokens[i]) != kByCtype.end()) return true;
    if (std::ranges::find(kOperatorsByCtype, tokens[i]) != kOperatorsByCtype.end()) return true;
  }
  return false;
}

}  // namespace lockstep
