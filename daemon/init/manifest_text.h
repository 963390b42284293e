// The manifest that `lockstep init` writes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// A table of the source.
struct InitTable {
  TableName name;
  std::string reason;  // Why it is left out; "": it moves.
};

// How lockstep itself reaches a server.
struct InitConnect {
  std::vector<std::pair<std::string, std::string>> settings;  // Without the password.
  std::string password_file;  // As the manifest refers to it; "": it names none.
};

struct InitManifest {
  std::string migration;
  InitConnect source;
  InitConnect target;
  std::vector<InitTable> tables;
};

// YAML that load_manifest() reads.  The rule of each table has a line of its own.
std::string manifest_text(const InitManifest& manifest);

// A text in lines of about `columns`, each behind `prefix`; what is no character is a blank.
std::string as_comment(const std::string& text, const std::string& prefix, std::size_t columns);

// "Shop-DB" as the name of a migration: shop_db.
std::string migration_name(const std::string& database);

}  // namespace lockstep
