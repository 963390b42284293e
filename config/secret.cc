#include "config/secret.h"

#include <fmt/format.h>
#include <string.h>

#include <cstddef>
#include <fstream>

namespace lockstep {

Secret::~Secret() {
  // The whole buffer: a short value that was moved away left its bytes behind.
  explicit_bzero(value_.data(), value_.capacity());
}

Result<Secret> read_secret(const std::string& path) {
  constexpr std::size_t kSecretMax = 65'536;
  std::ifstream file(path, std::ios::binary);
  std::string text(kSecretMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof()))
    return fail(Reaction::Retry, "cannot read the file " + path, ExitCode::Permission);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  const bool usable =
      !text.empty() && text.size() <= kSecretMax && text.find('\0') == std::string::npos;
  Secret secret(std::move(text));
  if (usable) return secret;
  return fail(Reaction::Retry, fmt::format("the file {} is empty, binary or too large", path),
              ExitCode::Permission);
}

}  // namespace lockstep
