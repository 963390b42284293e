// Connector settings: what the Debezium connector must be told, what may be chosen, what is refused
// (W1).
//
// The manifest's `debezium.settings` overrides are read by it, connector_config prints and compares
// by it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/fields.h"
#include "config/yaml_tree.h"

namespace lockstep {

// Debezium's setting names and values.
using ConnectorSettings = std::map<std::string, std::string>;

// Why a value of a setting cannot be accepted, or nothing when it can.  A setting without a value
// has the connector's default.
std::optional<std::string> refused_setting(const std::string& name, const std::string& value);

// What every session of the connector must be told, whatever the defaults of the source's database
// and of its role are, as `driver.options` takes it: values reach the events in the form that these
// give them.  Appended to other options, it wins over them.
std::string pinned_options();

// The settings that lockstep asks for, the same for every manifest, in the order printed.
const std::vector<std::pair<std::string, std::string>>& wanted_settings();

// The connector's own default of a setting, where lockstep cares; "" otherwise.
std::string default_setting(const std::string& name);

// Reads `debezium.settings`; reports settings that are refused or not known to be harmless.
std::map<std::string, At<std::string>> read_connector_settings(const YamlNode& node,
                                                               const std::string& path,
                                                               Report& report);

}  // namespace lockstep
