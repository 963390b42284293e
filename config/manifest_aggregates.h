// The `aggregates` list of the manifest.
#pragma once

#include <chrono>
#include <vector>

#include "config/manifest.h"
#include "config/yaml_tree.h"

namespace lockstep {

// `every`: of an entry that does not say it.
std::vector<ManifestAggregate> read_aggregates(const YamlNode& node, std::chrono::seconds every,
                                               Report& report);

}  // namespace lockstep
