// The manifest's JSON Schema (config/manifest.schema.json), as it was when this was built.
#pragma once

#include <string_view>

namespace lockstep {

std::string_view manifest_schema();

}  // namespace lockstep
