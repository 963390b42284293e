// effective_config: what a manifest comes to, defaults included and secrets left out; for people,
// for `config diff`, and to tell what a reload would change.
#pragma once

#include <boost/json/value.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/manifest.h"

namespace lockstep {

// In the manifest's own structure.  A secret that stands in the file itself is "***"; one that is
// referred to is its reference.
boost::json::object effective_config(const Manifest& manifest);

// The same as YAML.
std::string config_yaml(const boost::json::object& config);

// A key that is not the same in two of them: "backfill.workers", "tables[public.orders].skip"; the
// order of `tables`, of which a later one wins, is "tables.order".
struct ConfigChange {
  std::string key;
  std::string before;  // JSON; "": it is not there.
  std::string after;
  bool hot = false;  // It may change while lockstep runs.
};
// Of two documents of effective_config(), ordered by key; the order of the tables comes last.
std::vector<ConfigChange> config_changes(const boost::json::value& before,
                                         const boost::json::value& after);

// The secrets that stand in the file itself, by key: "source.connect.password".  Never shown.
std::map<std::string, Secret> literal_secrets(const Manifest& manifest);
// Those that both have and that are not the same.
std::vector<ConfigChange> secret_changes(const std::map<std::string, Secret>& before,
                                         const std::map<std::string, Secret>& after);

// Whether a key may change while lockstep runs.
bool is_hot(std::string_view key);

}  // namespace lockstep
