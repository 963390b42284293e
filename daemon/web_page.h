// The web page of a migration (daemon/web_page.html), as it was when this was built: one file that
// asks nobody but the daemon it came from.
#pragma once

#include <string_view>

namespace lockstep {

inline constexpr const char* kPagePath = "/";
std::string_view web_page();

}  // namespace lockstep
