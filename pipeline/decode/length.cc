#include "pipeline/decode/length.h"

#include <bit>
#include <cstring>

#include "pipeline/model/row.h"

namespace lockstep {

std::size_t open_length(std::string& out) {
  append_be32(out, 0);
  return out.size();
}

void close_length(std::string& out, std::size_t begin) {
  write_be32(out, begin - 4, static_cast<std::uint32_t>(out.size() - begin));
}

void write_be32(std::string& out, std::size_t at, std::uint32_t value) {
  CHECK(at + 4 <= out.size());
  value = std::byteswap(value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

}  // namespace lockstep
