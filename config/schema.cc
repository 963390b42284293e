#include "config/schema.h"

namespace lockstep {

std::string_view manifest_schema() {
  static constexpr std::string_view kText =
#include <manifest_schema.inc>
      ;
  return kText;
}

}  // namespace lockstep
