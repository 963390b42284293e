// A length in front of bytes whose number is known only once they are written: cells, elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lockstep {

// Appends room for a length.  Returns where the bytes it counts begin.
std::size_t open_length(std::string& out);
// Fills in the length of what was appended since.
void close_length(std::string& out, std::size_t begin);
// Overwrites the four bytes at `at`.
void write_be32(std::string& out, std::size_t at, std::uint32_t value);

}  // namespace lockstep
