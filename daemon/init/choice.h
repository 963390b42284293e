// InitChoice: which tables of the source move, by the checks of `validate`.
#pragma once

#include <string>
#include <vector>

#include "config/manifest.h"
#include "config/problem.h"
#include "connectors/postgres/wire/write_needs.h"
#include "daemon/init/manifest_text.h"
#include "daemon/init/server.h"
#include "pipeline/base/result.h"

namespace lockstep {

struct InitChoice {
  // The target has tables of the source already; else their schema is to be restored there.
  bool restored = false;
  // Those of the source that the target lacks, though it has others: they neither move yet nor are
  // they left out.
  std::vector<TableName> lacking;
  std::vector<InitTable> tables;   // All of the source's.
  std::vector<TableSpec> moved;    // Those that move, as the source has them.
  std::vector<UnfedColumn> unfed;  // Of their counterparts, where these are restored.
  // For the owner of the tables, before they are published: without these updates and deletes of
  // some that move would be refused.
  std::vector<std::string> identities;
  Manifest manifest;  // That names them, as whoever prepares it connects.
  // What is in the way of all of them, whatever is run.
  std::vector<Problem> problems;

  std::vector<TableName> moved_names() const;
};

// REQUIRES: both servers answered.  `path`: of the manifest.
Result<InitChoice> choose_tables(InitServer& source, InitServer& target,
                                 const std::string& migration, const std::string& path);

}  // namespace lockstep
