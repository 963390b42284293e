// The screen of `lockstep top`: a status and a history, as they were answered, on so many columns.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string>
#include <vector>

namespace lockstep {

struct ScreenSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

// Lines that fit, the worst table first; below them, where there is room, the newest events.
// `history`, `events`: as kHistoryPath and kEventsPath answer; null: not known.
std::vector<std::string> top_screen(const boost::json::object& status,
                                    const boost::json::value& history,
                                    const boost::json::value& events, ScreenSize size);

// The same in one line, for a pipe.
std::string top_line(const boost::json::object& status, const boost::json::value& history);

}  // namespace lockstep
