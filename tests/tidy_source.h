// The sources of the house as text, and how tidy_test.cc finds things in them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

using Findings = std::vector<std::string>;

// One finding per line, each beginning with file:line.
inline void expect_none(const Findings& findings) {
  std::string lines;
  for (const std::string& finding : findings) lines += finding + "\n";
  EXPECT_TRUE(findings.empty()) << lines;
}

struct Source {
  std::string path;  // From the root: "pipeline/row.h".
  std::string text;
  std::string code;  // `text` with comments and the inside of literals blanked out.

  std::string folder() const { return path.substr(0, path.find('/')); }
  bool is_header() const { return path.ends_with(".h"); }
  std::string at(std::size_t offset) const {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(offset);
    return path + ":" + std::to_string(1 + std::count(text.begin(), end, '\n')) + ": ";
  }
};

// ---- Reading.

inline std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// Blanks [begin, end) except for line ends.
inline void blank(std::string& code, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < std::min(end, code.size()); ++i)
    if (code[i] != '\n') code[i] = ' ';
}

// The offset behind the literal whose opening quote is at `begin`.
inline std::size_t literal_end(std::string_view text, std::size_t begin) {
  if (text[begin] == '"' && begin > 0 && text[begin - 1] == 'R') {
    const std::size_t open = text.find('(', begin);
    const std::string close = ")" + std::string(text.substr(begin + 1, open - begin - 1)) + "\"";
    const std::size_t end = text.find(close, open);
    return end == std::string_view::npos ? text.size() : end + close.size();
  }
  std::size_t end = begin + 1;
  while (end < text.size() && text[end] != text[begin] && text[end] != '\n')
    end += text[end] == '\\' ? 2 : 1;
  return end + 1;
}

// 1'000'000 holds no literal.
inline bool is_digit_separator(std::string_view text, std::size_t i) {
  return text[i] == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0;
}

inline std::string code_of(const std::string& text) {
  std::string code = text;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    if (text.compare(i, 2, "//") == 0) {
      end = std::min(text.find('\n', i), text.size());
      blank(code, i, end);
    } else if (text.compare(i, 2, "/*") == 0) {
      end = std::min(text.find("*/", i + 2), text.size() - 2) + 2;
      blank(code, i, end);
    } else if (text[i] == '"' || (text[i] == '\'' && !is_digit_separator(text, i))) {
      end = literal_end(text, i);
      blank(code, i + 1, end - 1);
    }
    i = end;
  }
  return code;
}

inline bool is_ours(const std::filesystem::path& path) {
  static const std::set<std::string> kFolders{"pipeline", "checkpoint", "connectors", "config",
                                              "daemon",   "tests",      ".ci",        "run"};
  return kFolders.contains(path.begin()->string());
}

// Every file of ours whose name the predicate accepts, by path.
inline std::vector<Source> sources_where(
    const std::function<bool(const std::filesystem::path&)>& wanted) {
  const std::filesystem::path root = LOCKSTEP_SOURCE_DIR;
  std::vector<Source> sources;
  for (const auto& top : std::filesystem::directory_iterator(root)) {
    if (!is_ours(top.path().lexically_relative(root))) continue;
    const auto take = [&](const std::filesystem::path& path) {
      if (wanted(path)) sources.push_back({path.lexically_relative(root), read(path), {}});
    };
    if (top.is_regular_file()) take(top.path());
    if (!top.is_directory()) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top.path()))
      if (entry.is_regular_file()) take(entry.path());
  }
  for (Source& source : sources) source.code = code_of(source.text);
  std::sort(sources.begin(), sources.end(),
            [](const Source& a, const Source& b) { return a.path < b.path; });
  return sources;
}

inline const std::vector<Source>& sources() {
  static const std::vector<Source> all = sources_where([](const std::filesystem::path& path) {
    return path.extension() == ".cc" || path.extension() == ".h" || path.extension() == ".c";
  });
  return all;
}

inline std::vector<Source> scripts() {
  return sources_where([](const std::filesystem::path& path) {
    return path.extension() == ".sh" || path.extension() == ".py" || path.filename() == "run" ||
           path.string().find("/.ci/") != std::string::npos;
  });
}

inline bool is_product(const Source& source) { return source.folder() != "tests"; }

// A document at the root or in a folder, if it is there yet.
inline std::optional<std::string> document(const std::string& path) {
  const std::filesystem::path full = std::filesystem::path(LOCKSTEP_SOURCE_DIR) / path;
  if (!std::filesystem::exists(full)) return std::nullopt;
  return read(full);
}

// ---- Finding.

inline bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Offsets at which `word` stands in `text` as a word of its own.
inline std::vector<std::size_t> places_of(std::string_view text, std::string_view word) {
  std::vector<std::size_t> places;
  for (std::size_t i = text.find(word); i != std::string_view::npos; i = text.find(word, i + 1)) {
    const std::size_t end = i + word.size();
    // "::open" is the global one, not "Reader::open".
    const bool joins = word.starts_with("::") || is_name_char(word.front());
    const bool starts = i == 0 || !joins || (!is_name_char(text[i - 1]) && text[i - 1] != '>');
    const bool ends = end == text.size() || !is_name_char(text[end]) || !is_name_char(word.back());
    if (starts && ends) places.push_back(i);
  }
  return places;
}

inline std::size_t skip_space(std::string_view text, std::size_t i) {
  while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
  return i;
}

// Offsets at which a function named `word` is called.
inline std::vector<std::size_t> calls_of(std::string_view code, std::string_view word) {
  std::vector<std::size_t> calls = places_of(code, word);
  std::erase_if(calls, [&](std::size_t i) {
    const std::size_t next = skip_space(code, i + word.size());
    return next >= code.size() || code[next] != '(';
  });
  return calls;
}

inline void report(Findings& findings, const Source& source, const std::vector<std::size_t>& places,
                   const std::string& what) {
  for (const std::size_t place : places) findings.push_back(source.at(place) + what);
}

}  // namespace lockstep
