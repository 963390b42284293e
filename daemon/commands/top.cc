// top: how a migration does, on one screen that redraws each second until Ctrl-C; lines in a pipe.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <ctime>
#include <iostream>
#include <optional>
#include <utility>

#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/event_log.h"
#include "daemon/history.h"
#include "daemon/state_directory.h"
#include "daemon/terminal.h"
#include "daemon/top_screen.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kEvery{1};
constexpr std::chrono::seconds kEveryWithout{10};
constexpr std::chrono::seconds kPatience{5};
constexpr std::size_t kSilenceLines = 4;
constexpr int kLineEvery = 10;  // Looks, while the mood stays.

// What the daemon answers; null: no daemon tells.
json::value ask(const Manifest& manifest, const std::string& path) {
  const auto owner = find_owner(manifest);
  if (!owner || !*owner || (*owner)->socket.empty()) return nullptr;
  const auto text = ask_owner(**owner, {"GET", path, ""}, kPatience);
  boost::system::error_code broken;
  json::value answer = text ? json::parse(*text, broken) : json::value();
  return broken ? json::value() : std::move(answer);
}

std::string clock_text() { return fmt::format("{:%H:%M:%S}Z", fmt::gmtime(std::time(nullptr))); }

// One screen, or one line, per look.
class Top {
 public:
  explicit Top(const Manifest& manifest) : manifest_(manifest) {
    if (Screen::is_there()) screen_.emplace();
  }

  // Returns whether a daemon has answered.
  bool look() {
    const auto document = read_status(manifest_, false);
    if (!document) {
      tell_silence(document.error().message);
      return false;
    }
    const json::object status = json::parse(*document).as_object();
    const json::value history = ask(manifest_, kHistoryPath);
    if (screen_)
      draw(top_screen(status, history, ask(manifest_, std::string(kEventsPath) + "?limit=20"),
                      Screen::size()));
    else
      print(json::serialize(status.at("verdict").at("mood")), top_line(status, history));
    return !history.is_null();
  }

 private:
  // The clock shows that it lives.
  void draw(std::vector<std::string> lines) {
    const std::size_t columns = Screen::size().columns;
    known_at_ = " " + clock_text();
    std::string& first = lines.front();
    first = cut(first, columns - std::min(columns, known_at_.size()));
    first.append(columns - std::min(columns, width_of(first) + known_at_.size()), ' ');
    first += known_at_;
    screen_->draw(lines);
    known_ = std::move(lines);
  }

  // What was last known stays, below a sentence that says so.
  void tell_silence(const std::string& why) {
    const std::string text = "? unknown: " + why;
    if (!screen_) return print("unknown", text);
    std::vector<std::string> lines = wrapped(text, Screen::size().columns, kSilenceLines);
    if (!known_.empty()) lines.push_back("What was known at" + known_at_ + ":");
    lines.insert(lines.end(), known_.begin(), known_.end());
    if (const std::size_t rows = Screen::size().rows; lines.size() > rows) lines.resize(rows);
    screen_->draw(lines);
  }

  void print(const std::string& mood, const std::string& line) {
    if (mood != std::exchange(mood_, mood) || looks_++ % kLineEvery == 0)
      std::cout << fmt::format("{:%Y-%m-%d}T{} ", fmt::gmtime(std::time(nullptr)), clock_text())
                << line << '\n'
                << std::flush;
  }

  const Manifest& manifest_;
  std::optional<Screen> screen_;
  std::vector<std::string> known_;
  std::string known_at_;
  std::string mood_;
  int looks_ = 0;
};

}  // namespace

ExitCode top_command(const std::string& path) {
  const auto manifest = load_or_complain(path);
  if (!manifest) return ExitCode::Config;
  const Ending ending;
  Top top(*manifest);
  // Without a daemon each look asks the target itself.
  while (!ending.wait(top.look() ? kEvery : kEveryWithout)) {
  }
  return ExitCode::Ok;
}

}  // namespace lockstep
