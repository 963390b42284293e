#include "daemon/terminal.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>

namespace lockstep {

// How many characters a terminal shows of UTF-8; none of ours is wide.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

std::string cut(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::string kept;
  for (std::size_t at = 0; at < text.size() && width_of(kept) + 1 < width;) {
    do kept.push_back(text[at++]);
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80);
  }
  return width == 0 ? "" : kept + "…";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t lines) {
  std::vector<std::string> all;
  while (!text.empty() && all.size() + 1 < lines && width_of(text) > width) {
    const std::size_t end = text.rfind(' ', std::min(text.size() - 1, width));
    if (end == text.npos || end == 0) break;
    all.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  all.push_back(cut(text, width));
  return all;
}

std::vector<std::string> fitted(std::string_view text, ScreenSize size) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(cut(text.substr(0, end), size.columns));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (lines.size() <= size.rows) return lines;
  const std::size_t more = lines.size() - size.rows + 1;
  lines.resize(size.rows - 1);
  lines.push_back(cut(fmt::format(".. and {} lines more", more), size.columns));
  return lines;
}

Ending::Ending() {
  sigemptyset(&set_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

bool Ending::wait(std::chrono::seconds time) const {
  const timespec span{time.count(), 0};
  return sigtimedwait(&set_, nullptr, &span) > 0;
}

bool Screen::is_there() { return ::isatty(STDOUT_FILENO) == 1; }

ScreenSize Screen::size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {size.ws_col, size.ws_row};
}

Screen::Screen() { std::cout << "\x1b[?1049h\x1b[?25l" << std::flush; }
Screen::~Screen() { std::cout << "\x1b[?25h\x1b[?1049l" << std::flush; }

void Screen::draw(const std::vector<std::string>& lines) {
  std::string text = "\x1b[H";
  for (std::size_t at = 0; at < lines.size(); ++at)
    text += (at == 0 ? "" : "\r\n") + lines[at] + "\x1b[K";
  std::cout << text << "\x1b[J" << std::flush;
}

}  // namespace lockstep
