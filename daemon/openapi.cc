#include "daemon/openapi.h"

namespace lockstep {

std::string_view openapi_document() {
  static constexpr std::string_view kText =
#include <openapi_document.inc>
      ;
  return kText;
}

}  // namespace lockstep
