// effective_config: what a manifest comes to, defaults included and secrets left out; for people,
// for `config diff`, and to tell what a reload would change.
#pragma once

#include <boost/json/value.hpp>
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

// A key that is not the same in two of them: "backfill.workers", "tables[public.orders].skip".
struct ConfigChange {
  std::string key;
  std::string before;  // JSON; "": it is not there.
  std::string after;
  bool hot = false;  // It may change while lockstep runs.
};
// Of two documents of effective_config(), ordered by key.
std::vector<ConfigChange> config_changes(const boost::json::value& before,
                                         const boost::json::value& after);
// The keys of literal secrets that are not the same in both.
std::vector<ConfigChange> secret_changes(const Manifest& before, const Manifest& after);

// Whether a key may change while lockstep runs.
bool is_hot(std::string_view key);

}  // namespace lockstep
