// What only the host can tell on which `run` will be.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/state_directory.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

void check_state(const Manifest& manifest, Findings& findings) {
  if (manifest.state_dir.value.empty() || manifest.migration.value.empty()) return;  // Reported.
  const auto owner = find_owner(manifest);
  const Status whose = owner ? check_whose(manifest) : fail(owner.error());
  if (!whose && whose.error().exit != ExitCode::Permission)  // Of that check_state_dir() warns.
    findings.failed(manifest.state_dir.where, whose.error());
}

// Whether a socket can have the address, on a port that nobody asked for.
bool is_ours(const std::string& address) {
  sockaddr_in6 six{};
  sockaddr_in four{};
  six.sin6_family = AF_INET6;
  four.sin_family = AF_INET;
  const bool is_six = ::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr) == 1;
  if (!is_six && ::inet_pton(AF_INET, address.c_str(), &four.sin_addr) != 1)
    return true;  // Reported.
  const int socket = ::socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return errno != EAFNOSUPPORT;
  const int bound = is_six ? ::bind(socket, reinterpret_cast<const sockaddr*>(&six), sizeof six)
                           : ::bind(socket, reinterpret_cast<const sockaddr*>(&four), sizeof four);
  const bool lacks_it = bound != 0 && errno == EADDRNOTAVAIL;
  ::close(socket);
  return !lacks_it;
}

void check_listen(const ListenSection& listen, Findings& findings) {
  if (listen.port == 0 || is_ours(listen.address)) return;
  findings.warn(
      listen.where, fmt::format("listen.address: this host does not have {} now", listen.address),
      "`lockstep run` ends with exit code 75 until it does; 127.0.0.1, or an address that "
      "`ip address` shows");
}

}  // namespace

void check_this_host(const Manifest& manifest, Findings& findings) {
  check_state(manifest, findings);
  check_listen(manifest.listen, findings);
}

}  // namespace lockstep
