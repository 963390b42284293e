#include "daemon/init/manifest_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>
#include <string_view>

#include "config/name_pattern.h"

namespace lockstep {
namespace {

constexpr std::size_t kCommentColumns = 100;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// A word that YAML reads as itself, or a string in quotation marks.
std::string yaml_scalar(const std::string& text) {
  static constexpr std::string_view kWords[] = {"null", "true", "false", "yes", "no",
                                                "on",   "off",  "y",     "n"};
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const bool is_word = std::ranges::find(kWords, lower) != std::end(kWords);
  const bool plain = !text.empty() && (is_letter_or_digit(text[0]) || text[0] == '/') &&
                     std::ranges::all_of(text, [](char c) {
                       return is_letter_or_digit(c) || c == '_' || c == '.' || c == '/' || c == '-';
                     });
  if (plain && !is_word) return text;
  if (std::ranges::any_of(text, is_control))
    return boost::json::serialize(boost::json::string(text));
  std::string quoted_text = "'";
  for (const char c : text) quoted_text += c == '\'' ? "''" : std::string(1, c);
  return quoted_text + "'";
}

std::string connect_text(const InitConnect& connect) {
  std::string items;
  const auto add = [&items](const std::string& name, const std::string& value) {
    items += (items.empty() ? "" : ", ") + name + ": " + value;
  };
  for (const auto& [name, value] : connect.settings) add(name, yaml_scalar(value));
  if (!connect.password_file.empty())
    add("password", "{file: " + yaml_scalar(connect.password_file) + "}");
  return "  connect: {" + items + "}\n";
}

}  // namespace

std::string as_comment(const std::string& text, const std::string& prefix, std::size_t columns) {
  std::string clean = text;
  std::ranges::replace_if(clean, is_control, ' ');
  std::string lines;
  std::string line;
  std::istringstream words(clean);
  for (std::string word; words >> word;) {
    if (!line.empty() && prefix.size() + line.size() + 1 + word.size() > columns) {
      lines += prefix + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return lines + (line.empty() ? "" : prefix + line + "\n");
}

std::string migration_name(const std::string& database) {
  constexpr std::size_t kNameMax = 40;
  std::string name;
  for (char c : database) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    name += is_letter_or_digit(c) ? c : '_';
  }
  if (name.empty() || name[0] < 'a' || name[0] > 'z') name.insert(0, "m_");
  return name.substr(0, kNameMax);
}

std::string manifest_text(const InitManifest& manifest) {
  std::string text = fmt::format(
      "# Made by lockstep init.  `lockstep config schema` knows every key, `lockstep validate` "
      "says "
      "what is wrong.\n"
      "version: 1\n"
      "migration: {}\n"
      "state_dir: {}\n"
      "source:\n{}"
      "target:\n{}"
      "# Every table of the source.  One with `skip` stays for the reason above it: once that is "
      "gone, delete its `skip`.\n"
      "tables:\n",
      yaml_scalar(manifest.migration), yaml_scalar("state/" + manifest.migration),
      connect_text(manifest.source), connect_text(manifest.target));
  for (const InitTable& table : manifest.tables) {
    const std::string rule = "  - source: " + yaml_scalar(exact_pattern(table.name)) + "\n";
    text += table.reason.empty()
                ? rule
                : as_comment(table.reason, "  # ", kCommentColumns) + rule + "    skip: true\n";
  }
  return text;
}

}  // namespace lockstep
