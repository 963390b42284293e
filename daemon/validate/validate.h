// Validate: everything that can be known to be wrong before a run, all of it at once.
//
//   file ──> both servers ──> tables, grants ──> publication, slot ──> broker ──> Connect
//
// Each part has a file here and adds to the Findings; a server that is away leaves out its part.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/manifest.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/wire/checks.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/tables.h"
#include "daemon/validate/findings.h"
#include "daemon/validate/summary.h"

namespace lockstep {

// One server and what it said.
struct CheckedServer {
  PostgresConnection connection;
  Where where;            // Of its `connect`.
  bool answered = false;  // Otherwise that is reported, and `facts` says nothing.
  ServerFacts facts;
};

// What the checks know; filled by check_servers() from top to bottom.
struct Validation {
  const Manifest& manifest;
  Findings& findings;
  CheckedServer source;
  CheckedServer target;
  TablePlan plan;
  std::optional<Claim> claim;  // Of a migration that has begun on the target.
  std::optional<SlotFacts> slot;
  std::set<TableName> unlogged;  // Of the source: no publication can cover them.
  bool running = false;          // A daemon owns the state directory.

  // REQUIRES: `stream: debezium`.
  const DebeziumSection& debezium() const;
  // Of the planned tables.
  std::vector<TableSpec> source_specs() const;
  std::vector<TableName> source_names() const;
  bool has_begun(const TableName& name) const;
};

// Version, role and limits of each server; what a migration that has begun remembers of them.
void check_source_server(Validation& validation);
void check_target_server(Validation& validation);
void check_start(Validation& validation);
// Whether another migration runs from our target to our source.  REQUIRES: both answered.
void check_opposite(Validation& validation);

// Grants, each with the statement and who must run it.
void check_source_grants(Validation& validation);
void check_target_grants(Validation& validation);
void check_bookkeeping_grants(Validation& validation);
// "SELECT, INSERT": what our role needs on a table of that side, "source" or "target", and lacks.
std::string lacking_privileges(const TablePrivileges& held, std::string_view side);

// What the tables are like beyond their plan, whatever they hold.  REQUIRES: a source that
// answered.
void check_table_kinds(Validation& validation);
// Rows, and what came since the migration began.
void check_tables(Validation& validation);
void check_disk(Validation& validation);

// Of the aggregates: each side's statement, as far as the server plans it.
void check_aggregates(Validation& validation);

// REQUIRE: a source that answered.  check_direct() is for `stream: direct`.
void check_publication(Validation& validation);
void check_direct(Validation& validation);
// REQUIRE: `stream: debezium`; check_slot() a source that answered.
void check_connector_limits(Validation& validation);
void check_slot(Validation& validation);
void check_topics(Validation& validation);
void check_connector(Validation& validation);

// What only this host can tell: whose the state directory is, and whether it has the address of
// `listen`.  `run` finds that out by itself, once it has the directory's lock.
void check_this_host(const Manifest& manifest, Findings& findings);
// What the manifest asks for and this version lacks.
void check_manifest(const Manifest& manifest, Findings& findings);
// Everything the servers, the broker and Connect can tell.  Nothing when the source does not
// answer.
std::optional<Summary> check_servers(const Manifest& manifest, Findings& findings);
// The same, unless the migration has begun: then false, and only whether both servers answer.
bool check_before_start(const Manifest& manifest, Findings& findings);

// For `init`, which asks before roles and grants are there: whether the tables can be moved, each
// problem at its rule; and what is wrong with the servers even after all that init prints was run.
TablePlan check_kinds_of_tables(const Manifest& manifest, Findings& findings);
void check_prepared_servers(const Manifest& manifest, Findings& findings);

}  // namespace lockstep
