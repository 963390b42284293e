#include "daemon/web_page.h"

namespace lockstep {

std::string_view web_page() {
  static constexpr std::string_view kText =
#include <web_page.inc>
      ;
  return kText;
}

}  // namespace lockstep
