#include "config/secret.h"

#include <string.h>

namespace lockstep {

Secret::~Secret() {
  // The whole buffer: a short value that was moved away left its bytes behind.
  explicit_bzero(value_.data(), value_.capacity());
}

}  // namespace lockstep
