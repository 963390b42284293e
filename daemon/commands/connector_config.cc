#include "config/connector_config.h"

#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/tables.h"

namespace lockstep {

ExitCode connector_config_command(const std::string& path) {
  const auto manifest = load_or_complain(path);
  if (!manifest) return ExitCode::Config;
  if (!manifest->source.debezium) {
    std::cerr << "lockstep: connector-config is for `stream: debezium`; this manifest reads the "
                 "source's own stream and needs no connector\n";
    return ExitCode::Config;
  }
  auto source = connect(*manifest, Side::Source, "connector-config");
  const auto specs = read_source_tables(source, *manifest);
  if (!specs) return complain(specs.error());
  std::cout << connector_config_json(*manifest, *specs) << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
