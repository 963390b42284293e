// What a stream needs before a run reads it: the publication, the slot, the first positions (P1).
//
// prepare.cc calls it in the order that P1 asks for: the publication before the slot, the slot (or
// the ends of the topics) before P0.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/manifest.h"
#include "connectors/postgres/source/exported_snapshot.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/result.h"
#include "pipeline/model/change.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/probe.h"

namespace lockstep {

// Tells what is waited for.  False: somebody wants the program to end.
using Patience = std::function<bool(const std::string& reason)>;

struct StreamContext {
  const Manifest& manifest;
  PostgresConnection& source;
  const SourceIdentity& identity;
  const std::vector<TableSpec>& specs;       // Of the tables that are copied.
  const std::vector<const TableMap*>& maps;  // Likewise.
  const bool first;                          // The migration has not begun.
  const Patience& patience;
  std::shared_ptr<ExportedSnapshot>& exported;  // Of a slot made for `backfill.snapshot: exported`.
};

// How long a broker may take to answer before a run begins.
inline constexpr std::chrono::milliseconds kBrokerTimeout{10000};

// The manifest does not fit what is there.
std::unexpected<Error> refuse(std::string message);
// Something outside must happen first; prepare() is called again.
std::unexpected<Error> wait_for(std::string message);

// As the target remembers them: "direct" and the slot, "debezium" and the topics' prefix.
std::string stream_kind(const Manifest& manifest);
std::string stream_name(const Manifest& manifest);

// Adds tables that an earlier run did not have to the publication.  Returns those that it does not
// cover all the same, and what must be done: the others do not wait for them.
Result<std::map<TableName, std::string>> cover_new_tables(PostgresConnection& source,
                                                          const Manifest& manifest,
                                                          std::span<const TableSpec> fresh);
// Makes the publication.  Retry when its owner must do that; Halt when it does not cover what it
// must.
Status need_publication(const StreamContext& context);
// The slot of a migration that has begun; of one that has not, where a connector makes it.
Status need_slot(const StreamContext& context);
// Where each stream begins.  Direct: makes the slot, which waits for every open transaction.
Result<std::vector<std::pair<std::string, Position>>> first_positions(const StreamContext& context);

// Waits until every transaction that is running now has ended: what they wrote before the
// publication covered their tables is in no stream, but in every snapshot taken afterwards.
// `what` waits for it.
Status outlast_transactions(const StreamContext& context, const std::string& what);

}  // namespace lockstep
