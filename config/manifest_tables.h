// The `tables` list of the manifest.
#pragma once

#include <vector>

#include "config/manifest.h"
#include "config/yaml_tree.h"

namespace lockstep {

// Reads the rules and reports those that contradict each other.
std::vector<ManifestRule> read_rules(const YamlNode& node, Report& report);

// Reads a name or glob; reports what is wrong with it.
std::optional<At<NamePattern>> read_pattern(const YamlNode& node, std::string_view what,
                                            Report& report);

}  // namespace lockstep
