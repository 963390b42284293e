// The rules of the house that a compiler does not check: who may include whom, sizes, banned calls.
//
// All libraries live in /usr/include, so CMake cannot stop a wrong include; this does.  It reads
// the sources as text, with comments and literals blanked out where they would mislead, and reports
// every finding as file:line.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy_source.h"

namespace lockstep {
namespace {

constexpr std::size_t kFileLinesMax = 500;
constexpr std::size_t kFunctionLinesMax = 70;
constexpr std::size_t kColumnsMax = 100;

struct Include {
  std::string name;
  bool ours = false;  // "..." rather than <...>.
  std::size_t offset = 0;
};

std::vector<Include> includes_of(const Source& source) {
  std::vector<Include> includes;
  for (const std::size_t i : places_of(source.code, "#include")) {
    const std::size_t open = skip_space(source.text, i + std::string_view("#include").size());
    const bool ours = source.text[open] == '"';
    const std::size_t close = source.text.find(ours ? '"' : '>', open + 1);
    includes.push_back({source.text.substr(open + 1, close - open - 1), ours, i});
  }
  return includes;
}

// ---- Layers.

TEST(Layering, IncludesFollowTheTable) {
  const std::map<std::string, std::set<std::string>> may_include{
      {"pipeline", {"pipeline"}},
      {"checkpoint", {"checkpoint", "pipeline"}},
      {"connectors", {"connectors", "pipeline"}},
      {"config", {"config", "pipeline", "checkpoint", "connectors"}},
      {"daemon", {"daemon", "config", "pipeline", "checkpoint", "connectors"}},
      {"tests", {"tests", "daemon", "config", "pipeline", "checkpoint", "connectors"}}};
  Findings findings;
  for (const Source& source : sources()) {
    for (const Include& include : includes_of(source)) {
      if (!include.ours) continue;
      const std::string folder = include.name.substr(0, include.name.find('/'));
      if (!may_include.at(source.folder()).contains(folder))
        findings.push_back(source.at(include.offset) + source.folder() + " may not include " +
                           include.name);
    }
  }
  expect_none(findings);
}

// The room of a file of the core: "merge" of "pipeline/merge/recent.h".
std::string room_of(std::string_view path) {
  const std::size_t begin = path.find('/') + 1;
  return std::string(path.substr(begin, path.find('/', begin) - begin));
}

// Inside the core an arrow points only downwards; each room names what lies below it.
TEST(Layering, RoomsOfTheCoreIncludeDownwards) {
  const std::set<std::string> ground{"base", "model", "ports"};
  std::map<std::string, std::set<std::string>> below{
      {"base", {}}, {"model", {"base"}}, {"ports", {"base", "model"}}};
  const auto room = [&](const char* name, std::set<std::string> others) {
    others.insert(ground.begin(), ground.end());
    below[name] = std::move(others);
  };
  room("tables", {});
  room("merge", {});
  room("decode", {"tables"});
  room("apply", {"tables", "merge"});
  room("backfill", {"tables", "merge", "apply"});
  room("watch", {"tables", "merge", "apply"});
  room("reconcile", {"tables", "merge", "apply", "backfill"});
  room("run", {"tables", "decode", "merge", "apply", "backfill", "watch", "reconcile"});
  Findings findings;
  for (const Source& source : sources()) {
    if (source.folder() != "pipeline") continue;
    const std::string from = room_of(source.path);
    if (!below.contains(from)) {
      findings.push_back(source.at(0) + "is in no room of the core");
      continue;
    }
    for (const Include& include : includes_of(source)) {
      if (!include.ours || !include.name.starts_with("pipeline/")) continue;
      const std::string to = room_of(include.name);
      if (to != from && !below.at(from).contains(to))
        findings.push_back(source.at(include.offset) + from + " may not include " + include.name);
    }
  }
  expect_none(findings);
}

// A library, by the beginning of its headers' names, and the only files that may include it.
struct Owner {
  std::string header;
  std::vector<std::string> files;  // Beginnings of paths.
};

const std::vector<Owner>& owners() {
  static const std::vector<Owner> kOwners{
      {"libpq", {"connectors/postgres/"}},
      {"librdkafka/", {"connectors/kafka/"}},
      {"xxhash", {"pipeline/"}},
      {"simdjson", {"pipeline/"}},
      {"spdlog/", {"pipeline/ports/events.cc", "daemon/log"}},
      {"rocksdb/", {"checkpoint/"}},
      {"yaml-cpp/", {"config/"}},
      {"CLI/", {"daemon/"}},
      {"boost/json", {"daemon/", "config/", "connectors/"}},
      {"boost/", {"daemon/", "connectors/connect/rest."}},
      {"prometheus/", {"daemon/metrics/"}},
      {"systemd/", {"daemon/"}},
      {"gtest/", {}},
      {"gmock/", {}},
      {"benchmark/", {}},
  };
  return kOwners;
}

TEST(Layering, EveryLibraryHasOneOwner) {
  Findings findings;
  for (const Source& source : sources()) {
    if (!is_product(source)) continue;
    for (const Include& include : includes_of(source)) {
      const auto owner = std::find_if(owners().begin(), owners().end(), [&](const Owner& o) {
        return !include.ours && include.name.starts_with(o.header);
      });
      if (owner == owners().end()) continue;
      const bool allowed =
          std::any_of(owner->files.begin(), owner->files.end(),
                      [&](const std::string& file) { return source.path.starts_with(file); });
      if (!allowed)
        findings.push_back(source.at(include.offset) + "<" + include.name +
                           "> belongs to others (see owners())");
    }
  }
  expect_none(findings);
}

TEST(Layering, TheCoreDoesNoInputOrOutput) {
  const std::set<std::string> allowed{"pipeline/base/failpoint.cc", "pipeline/ports/events.cc"};
  const std::set<std::string> headers{"fstream",  "iostream",     "filesystem", "fcntl.h",
                                      "unistd.h", "sys/socket.h", "netdb.h",    "sys/stat.h"};
  Findings findings;
  for (const Source& source : sources()) {
    if (source.folder() != "pipeline" || allowed.contains(source.path)) continue;
    for (const Include& include : includes_of(source))
      if (headers.contains(include.name))
        findings.push_back(source.at(include.offset) + "pipeline/ does no I/O: <" + include.name +
                           ">");
    for (const char* call : {"fopen", "socket", "freopen", "::open", "::read", "::write"})
      report(findings, source, calls_of(source.code, call), std::string("I/O: ") + call);
    // Time comes from the Clock port, so that the simulator can have its own.
    for (const char* clock : {"steady_clock::now", "system_clock::now"})
      report(findings, source, calls_of(source.code, clock), std::string("a real clock: ") + clock);
  }
  expect_none(findings);
}

// ---- Shape.

TEST(Shape, HeadersBeginWithWhatTheyAre) {
  Findings findings;
  for (const Source& source : sources()) {
    if (!source.is_header()) continue;
    if (!source.text.starts_with("// ")) findings.push_back(source.at(0) + "no file comment");
    const std::size_t guard = source.code.find("#pragma once");
    if (guard == std::string::npos)
      findings.push_back(source.at(0) + "no #pragma once");
    else if (skip_space(source.code, 0) != guard)
      findings.push_back(source.at(guard) + "#pragma once is not first");
  }
  expect_none(findings);
}

TEST(Shape, FilesAndLinesAreShort) {
  Findings findings;
  for (const Source& source : sources()) {
    std::istringstream lines(source.text);
    std::string line;
    std::size_t number = 0;
    while (std::getline(lines, line)) {
      ++number;
      // Characters, not bytes: every byte that does not continue one in UTF-8.
      const auto columns = static_cast<std::size_t>(
          std::count_if(line.begin(), line.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
      if (columns > kColumnsMax)
        findings.push_back(source.path + ":" + std::to_string(number) + ": " +
                           std::to_string(columns) + " columns");
    }
    if (number > kFileLinesMax)
      findings.push_back(source.path + ":1: " + std::to_string(number) + " lines");
  }
  expect_none(findings);
}

// Whether a brace behind `head` (the code since the last statement or brace) opens a function.
bool opens_function(std::string_view head) {
  for (const char* word : {"namespace", "class", "struct", "enum", "union"}) {
    const auto places = places_of(head.substr(0, head.find('(')), word);
    if (!places.empty()) return false;
  }
  const std::size_t open = head.find('(');
  if (open == std::string_view::npos) return false;
  const std::size_t assigned = head.find('=');
  return assigned > open || places_of(head.substr(0, open), "operator").size() == 1;
}

// Walks the braces of a file and reports functions that are too long.  A member initialiser with
// braces (`: a_{b} {`) counts with the function it belongs to.
void check_functions(const Source& source, Findings& findings) {
  const std::string& code = source.code;
  std::size_t head = 0;   // Where the current statement's code began.
  std::size_t depth = 0;  // Of braces.
  std::optional<std::size_t> function_depth;
  std::size_t function_begin = 0;
  bool just_closed = false;  // Only space since the end of a function.
  for (std::size_t i = 0; i < code.size(); ++i) {
    const char c = code[i];
    if (c == '{') {
      const std::string_view text = std::string_view(code).substr(head, i - head);
      const bool continues = just_closed && (text.empty() || text.find(',') == 0);
      if (!function_depth && (continues || opens_function(text))) {
        function_depth = depth;
        if (!continues) function_begin = skip_space(code, head);
      }
      ++depth;
    } else if (c == '}' && depth > 0) {
      --depth;
      just_closed = function_depth == depth;
      if (just_closed) {
        const auto lines = static_cast<std::size_t>(
            1 + std::count(code.begin() + static_cast<std::ptrdiff_t>(function_begin),
                           code.begin() + static_cast<std::ptrdiff_t>(i), '\n'));
        if (lines > kFunctionLinesMax)
          findings.push_back(source.at(function_begin) + std::to_string(lines) + " lines");
        function_depth.reset();
      }
    } else if (c == '#' && !function_depth) {
      // A directive, with the lines it continues on.
      while (i < code.size() && (code[i] != '\n' || code[i - 1] == '\\')) ++i;
    } else if (c != ';') {
      continue;
    }
    head = skip_space(code, i + 1);
    if (c == ';') just_closed = false;
  }
}

TEST(Shape, FunctionsAreShort) {
  Findings findings;
  for (const Source& source : sources()) check_functions(source, findings);
  expect_none(findings);
}

// ---- Banned words and calls.

TEST(Banned, CallsThatAreNeverRight) {
  Findings findings;
  for (const Source& source : sources()) {
    for (const char* call : {"sleep", "usleep", "nanosleep", "sleep_for", "sleep_until", "strcpy",
                             "strcat", "sprintf", "vsprintf", "assert", "settimeofday"})
      report(findings, source, calls_of(source.code, call), std::string("banned: ") + call);
    report(findings, source, places_of(source.code, "using namespace std"), "banned");
    for (const char* word : {"TODO", "FIXME", "XXX"})
      if (source.path != "tests/tidy_test.cc")
        report(findings, source, places_of(source.text, word), std::string("unfinished: ") + word);
  }
  expect_none(findings);
}

TEST(Banned, WordsOutsideTheirOwner) {
  struct Rule {
    std::vector<std::string> words;
    std::string owner;                 // Beginning of the only paths that may use them.
    std::vector<std::string> folders;  // That are checked.
    std::string why;
  };
  const std::vector<std::string> product{"pipeline", "checkpoint", "connectors", "config",
                                         "daemon"};
  const std::vector<Rule> rules{
      {{"std::thread", "std::jthread", "std::async", "pthread_create"},
       "pipeline/run/runner",
       product,
       "only the runner starts threads"},
      {{"condition_variable"}, "pipeline/base/bounded_queue.h", product, "wait on a queue"},
      {{"throw"}, "none", product, "errors are results"},
      {{"std::cout", "std::cerr", "printf", "fprintf", "puts"},
       "pipeline/base/result.h",
       {"pipeline", "checkpoint", "connectors", "config"},
       "business code calls events.h"},
      {{"popen", "std::system"}, "none", product, "no shell"},
  };
  Findings findings;
  for (const Source& source : sources()) {
    for (const Rule& rule : rules) {
      const bool checked = std::find(rule.folders.begin(), rule.folders.end(), source.folder()) !=
                           rule.folders.end();
      if (!checked || source.path.starts_with(rule.owner)) continue;
      for (const std::string& word : rule.words)
        report(findings, source, places_of(source.code, word), word + ": " + rule.why);
    }
  }
  expect_none(findings);
}

// A person at 3 a.m. copies the command: whoever prints it knows the manifest.
TEST(Banned, NextStepsWithoutTheManifestsPath) {
  Findings findings;
  for (const Source& source : sources()) {
    const bool checked = source.folder() == "daemon" || source.folder() == "pipeline";
    if (!checked || source.path == "daemon/main.cc") continue;  // There it is a name of --help.
    for (const std::size_t i : places_of(source.text, "FILE")) {
      const std::size_t begin = source.text.rfind('\n', i) + 1;
      const bool in_literal =
          source.code[i] == ' ' && source.code.find('"', begin) < i;  // No comment.
      if (in_literal) findings.push_back(source.at(i) + "print the manifest's path, not FILE");
    }
  }
  expect_none(findings);
}

TEST(Banned, EmptyCatchAll) {
  Findings findings;
  for (const Source& source : sources()) {
    for (const std::size_t i : calls_of(source.code, "catch")) {
      const std::size_t body = source.code.find('{', i);
      if (body != std::string::npos && source.code[skip_space(source.code, body + 1)] == '}')
        findings.push_back(source.at(i) + "an error is swallowed");
    }
  }
  expect_none(findings);
}

// Processes are ended by their id, and nobody changes the clock.
TEST(Banned, BroadCommands) {
  Findings findings;
  const auto check = [&](const Source& source) {
    if (source.path == "tests/tidy_test.cc") return;
    for (const char* word : {"pkill", "killall", "date -s", "date --set"})
      report(findings, source, places_of(source.text, word), std::string("banned: ") + word);
  };
  for (const Source& source : sources()) check(source);
  for (const Source& source : scripts()) check(source);
  expect_none(findings);
}

// ---- Names that stand in two places.

TEST(Names, FailpointsAreListedAndUsed) {
  const std::string list = read(LOCKSTEP_SOURCE_DIR "/pipeline/base/failpoint.cc");
  std::set<std::string> listed;
  for (std::size_t i = list.find("    \""); i != std::string::npos; i = list.find("    \"", i + 1))
    listed.insert(list.substr(i + 5, list.find("\\n\"", i) - i - 5));
  Findings findings;
  std::set<std::string> unused = listed;
  std::set<std::string> called;
  for (const Source& source : sources()) {
    if (!is_product(source) || source.path.starts_with("pipeline/base/failpoint.")) continue;
    std::erase_if(unused, [&](const std::string& name) {
      return source.text.find('"' + name + '"') != std::string::npos;
    });
    for (const std::size_t i : calls_of(source.code, "failpoint")) {
      const std::size_t open = source.text.find('(', i) + 1;
      if (source.text[open] != '"') continue;  // A name that was passed in.
      const std::string name =
          source.text.substr(open + 1, source.text.find('"', open + 1) - open - 1);
      if (!listed.contains(name)) findings.push_back(source.at(i) + name + " is not listed");
      // A test that dies at one of two places would not know at which.
      if (!called.insert(name).second) findings.push_back(source.at(i) + name + " stands twice");
    }
  }
  for (const std::string& name : unused)
    findings.push_back("pipeline/base/failpoint.cc:1: " + name + " is listed and nowhere used");
  expect_none(findings);
}

// "I17" of "I17," at an offset: a rule's name, or "" when it is none.
std::string rule_at(std::string_view text, std::size_t i) {
  const bool starts = i == 0 || (!is_name_char(text[i - 1]) && text[i - 1] != '"');
  if (!starts || std::string_view("IPVW").find(text[i]) == std::string_view::npos) return "";
  std::size_t end = i + 1;
  while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0) ++end;
  const std::size_t digits = end - i - 1;
  if (digits == 0 || digits > 2) return "";
  const bool part = end < text.size() && (text[end] == 'a' || text[end] == 'b' || text[end] == 'c');
  const std::size_t after = part ? end + 1 : end;
  if (after < text.size() && is_name_char(text[after])) return "";
  return std::string(text.substr(i, end - i));
}

// A rule that a comment cites stands in RULES.md, so that the repository alone explains it.
TEST(Names, CitedRulesAreWrittenDown) {
  const std::string rules = document("pipeline/merge/RULES.md").value_or("");
  Findings findings;
  for (const Source& source : sources()) {
    for (std::size_t i = source.text.find("//"); i != std::string::npos;
         i = source.text.find("//", i)) {
      const std::size_t end = std::min(source.text.find('\n', i), source.text.size());
      for (; i < end; ++i) {
        const std::string rule = rule_at(source.text, i);
        if (!rule.empty() && rules.find("### " + rule + ". ") == std::string::npos)
          findings.push_back(source.at(i) + rule + " is not in pipeline/merge/RULES.md");
      }
    }
  }
  expect_none(findings);
}

// Documents name files that exist, and never line numbers, which go stale.
TEST(Names, DocumentsNameFilesThatExist) {
  Findings findings;
  for (const char* path : {"README.md", "ARCHITECTURE.md", "checkpoint/FORMAT.md"}) {
    const std::string text = document(path).value_or("");
    for (std::size_t i = text.find('`'); i != std::string::npos;) {
      const std::size_t end = text.find('`', i + 1);
      if (end == std::string::npos) break;
      const std::string name = text.substr(i + 1, end - i - 1);
      const bool is_file = is_ours(name) && name.find('/') != std::string::npos &&
                           name.find_first_of(" *<{") == std::string::npos;
      if (is_file && (name.ends_with(".cc") || name.ends_with(".h")) && !document(name))
        findings.push_back(std::string(path) + ": " + name + " does not exist");
      if (is_file &&
          (name.find(".cc:") != std::string::npos || name.find(".h:") != std::string::npos))
        findings.push_back(std::string(path) + ": a line number in " + name);
      i = text.find('`', end + 1);
    }
  }
  expect_none(findings);
}

TEST(Names, DocumentsCoverTheCode) {
  const std::map<std::string, std::vector<std::string>> mentions{
      {"README.md", {"./run demo", "./run test", "./run bench", "./run lint"}},
      {"ARCHITECTURE.md",
       {"pipeline/", "checkpoint/", "connectors/", "config/", "daemon/", "tests/", "Invariants",
        "Glossary", "Decisions", "ChangeSource", "StreamProof", "ChunkReader", "SourceProbe",
        "CheckpointStore", "Clock"}}};
  Findings findings;
  for (const auto& [path, words] : mentions) {
    const std::optional<std::string> text = document(path);
    if (!text) continue;
    for (const std::string& word : words)
      if (text->find(word) == std::string::npos) findings.push_back(path + ": no word of " + word);
  }
  expect_none(findings);
}

}  // namespace
}  // namespace lockstep
