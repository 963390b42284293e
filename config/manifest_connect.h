// The parts of the manifest that say how to reach something: `connect`, `kafka`, references.
#pragma once

#include <filesystem>

#include "config/fields.h"
#include "config/manifest.h"
#include "config/yaml_tree.h"

namespace lockstep {

// Where references are resolved, and what is wrong with them reported.
struct ManifestContext {
  std::filesystem::path directory;  // Of the manifest; relative paths start here.
  Report& report;
  Secrets secrets = Secrets::Needed;
};

// Reads a map of settings: each value is text or one of {file:}, {credential:}, {env:}.
std::vector<Setting> read_settings(const YamlNode& node, const std::string& path,
                                   const ManifestContext& context);

Connect read_connect(const YamlNode& node, const std::string& path, const ManifestContext& context);

// sslmode is verify-full unless `connect` says otherwise, except on sockets and loopback.
void add_default_sslmode(Connect& connect);

// Whether libpq 15 knows a keyword that a manifest may hold.
bool is_connect_keyword(std::string_view name);

std::vector<Setting> read_kafka(const YamlNode& node, const std::string& path,
                                const ManifestContext& context);

// Whether a setting of `connect`, `kafka` or the connector is a secret.
bool is_sensitive(std::string_view name);

// Returns a variable of the environment, or null.  Nothing in the program sets one, so that reading
// is safe on any thread.
const char* environment(const std::string& name);

// Whether a host name or address never leaves this machine; a socket directory does not either.
bool is_local_host(std::string_view host);

}  // namespace lockstep
