// The screen of `lockstep top`: a status and a history, as they were answered, on so many columns.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "daemon/terminal.h"

namespace lockstep {

// Lines that fit, the worst table first; below them, where there is room, the newest events.
// `history`, `events`: as kHistoryPath and kEventsPath answer; null: not known.
std::vector<std::string> top_screen(const boost::json::object& status,
                                    const boost::json::value& history,
                                    const boost::json::value& events, ScreenSize size);

// The same in one line, for a pipe.
std::string top_line(const boost::json::object& status, const boost::json::value& history);

}  // namespace lockstep
