// The `listen` map of the manifest: where everybody may read how the daemon is.
#pragma once

#include "config/manifest.h"
#include "config/yaml_tree.h"

namespace lockstep {

// Reports what is wrong with it.
ListenSection read_listen(const YamlNode& node, Report& report);

}  // namespace lockstep
