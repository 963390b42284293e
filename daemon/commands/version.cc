#include <boost/json.hpp>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/libraries.h"
#include "pipeline/base/failpoint.h"

namespace lockstep {

std::string version_text() { return LOCKSTEP_VERSION " (" LOCKSTEP_COMMIT ")"; }

ExitCode version_command(const VersionCommand& command) {
  if (command.failpoints) {
    std::cout << failpoint_names();
    return ExitCode::Ok;
  }
  if (command.format == OutputFormat::Text) {
    std::cout << "lockstep " << version_text() << "\n" << "compiler " << __VERSION__ << "\n";
    for (const auto& [name, version] : library_versions())
      std::cout << name << " " << version << "\n";
    return ExitCode::Ok;
  }
  boost::json::object document;
  document["version"] = LOCKSTEP_VERSION;
  document["commit"] = LOCKSTEP_COMMIT;
  document["compiler"] = __VERSION__;
  boost::json::object libraries;
  for (const auto& [name, version] : library_versions()) libraries[name] = version;
  document["libraries"] = std::move(libraries);
  std::cout << boost::json::serialize(document) << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
