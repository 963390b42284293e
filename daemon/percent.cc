// Boost.URL without its library: this file is the only one that includes it.
#include <boost/url/src.hpp>
//
#include <boost/url/pct_string_view.hpp>

#include "daemon/percent.h"

namespace lockstep {

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  const auto encoded = boost::urls::make_pct_string_view({text.data(), text.size()});
  if (!encoded) return std::nullopt;
  boost::urls::encoding_opts options;
  options.space_as_plus = plus_is_space;
  return encoded->decode(options);
}

}  // namespace lockstep
