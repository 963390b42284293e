#include "daemon/actor.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>

namespace lockstep {

std::string actor_text(uid_t user) {
  std::array<char, 16384> room{};  // sysconf(_SC_GETPW_R_SIZE_MAX) is 1024 with glibc.
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, room.data(), room.size(), &found) != 0 || found == nullptr)
    return fmt::format("uid {}", user);
  return fmt::format("uid {} ({})", user, entry.pw_name);
}

std::string own_actor() { return actor_text(::getuid()); }

}  // namespace lockstep
