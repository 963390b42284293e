#include <iostream>

#include "daemon/commands/commands.h"

namespace lockstep {

std::optional<Manifest> load_or_complain(const std::string& path) {
  Parsed parsed = load_manifest(path);
  for (const Problem& problem : parsed.problems) std::cerr << problem.print() << "\n";
  return std::move(parsed.manifest);
}

ExitCode complain(const Error& error) {
  std::cerr << "lockstep: " << error.message << "\n";
  return error.exit;
}

}  // namespace lockstep
