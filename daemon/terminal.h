// The terminal of a verb that goes on until Ctrl-C: when it is to end, and what its screen shows.
#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

struct ScreenSize {
  std::size_t columns = 80;
  std::size_t rows = 24;  // At least one.
};

// In characters; what a terminal shows wider than one counts as one.
std::size_t width_of(std::string_view text);
// "…" ends what is longer.
std::string cut(std::string_view text, std::size_t width);
// Its words on at most `lines` lines; the last one is cut.
std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t lines);
// As many lines of the text as fit; of the others how many there are.
std::vector<std::string> fitted(std::string_view text, ScreenSize size);

// Ctrl-C, a terminal that closes and SIGTERM end the wait, and nothing else, so that the screen is
// always given back.  On the main thread, before any other begins.
class Ending {
 public:
  Ending();
  // Returns whether somebody wants the end.
  bool wait(std::chrono::seconds time) const;

 private:
  sigset_t set_{};
};

// A second screen of the terminal, without a cursor, for as long as it lives.
class Screen {
 public:
  // Whether the standard output is a terminal.
  static bool is_there();
  static ScreenSize size();

  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // In place of what it shows.  REQUIRES: they fit.
  void draw(const std::vector<std::string>& lines);
};

}  // namespace lockstep
