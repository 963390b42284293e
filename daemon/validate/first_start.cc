#include "daemon/validate/first_start.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/validate/validate.h"

namespace lockstep {

FirstStart check_first_start(const Manifest& manifest) {
  Findings findings(manifest.path, {});
  check_manifest(manifest, findings);
  FirstStart found;
  found.begun = !check_before_start(manifest, findings);
  found.away = fmt::format("{}", fmt::join(findings.away(), "; "));
  const bool refused = findings.login_refused();
  found.problems = std::move(findings).take();
  if (has_errors(found.problems)) found.exit = refused ? ExitCode::Permission : ExitCode::Config;
  return found;
}

}  // namespace lockstep
