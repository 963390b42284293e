// The description of the control socket's API (daemon/openapi.json), as it was when this was built.
#pragma once

#include <string_view>

namespace lockstep {

inline constexpr const char* kOpenApiPath = "/api/v1/openapi.json";
std::string_view openapi_document();

}  // namespace lockstep
