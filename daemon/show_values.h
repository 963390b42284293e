// ShowValues: whether keys and values of rows are told, which only whoever asks for them at the
// control socket or on the command line is.
#pragma once

#include <cstdint>

namespace lockstep {

enum class ShowValues : std::uint8_t { No, Yes };

}  // namespace lockstep
