// Secret: a value that must not be seen.
//
// It has no operator<< and no formatter, so that no log line, message or JSON can take it by
// mistake; whoever needs the text asks for it by name.
#pragma once

#include <string>
#include <utility>

#include "pipeline/base/result.h"

namespace lockstep {

// Not thread-safe.  The bytes are overwritten when it is destroyed or assigned.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret& other) = default;
  Secret(Secret&& other) noexcept { value_.swap(other.value_); }
  Secret& operator=(Secret other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  ~Secret();

  // The text, for the one call that needs it (libpq, librdkafka).
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

// Reads the file of a secret, without the newline that editors put at its end.  Retry where it
// cannot be read, or holds none; the message names the file.
Result<Secret> read_secret(const std::string& file);

}  // namespace lockstep
