#include <iostream>

#include "daemon/commands/commands.h"

namespace lockstep {

std::optional<Manifest> load_or_complain(const std::string& path, Secrets secrets) {
  Parsed parsed = load_manifest(path, secrets);
  for (const Problem& problem : parsed.problems) std::cerr << problem.print() << "\n";
  return std::move(parsed.manifest);
}

ExitCode complain(const Error& error) {
  std::cerr << "lockstep: " << error.message << "\n";
  return error.exit;
}

}  // namespace lockstep
