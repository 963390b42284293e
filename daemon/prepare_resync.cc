// What a start does about a resync (daemon/resync.h).
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "connectors/postgres/source/slot.h"
#include "daemon/fingerprint.h"
#include "daemon/preparation.h"

namespace lockstep {

// Whether rows that its target has are compared, and go when the source lacks them.  A table that
// is to stop instead does so since nobody looks at it: here somebody has asked.
bool Preparation::heals(const TableMap& table) const {
  const bool asked = resync_.all || resync_.tables.contains(table.text());
  return table.heals() || (asked && !table.existing && table.partitions != PartitionPolicy::Keep);
}

// Tables that were here and that this run leaves out: their rows are still on the target, and are
// compared once they are back.
void Preparation::add_absent(std::vector<StoredMapping>& mappings) const {
  for (const StoredMapping& mapping : out_.claim.mappings) {
    if (std::ranges::find(mappings, mapping.source, &StoredMapping::source) != mappings.end())
      continue;
    StoredMapping absent;
    absent.source = mapping.source;
    absent.fingerprint = kForgotten;
    mappings.push_back(std::move(absent));
  }
}

// The slot goes before the positions in it are forgotten: one that stayed would be taken for that
// of a run that died.  A connector's is the connector's.
Status Preparation::leave_stream() {
  if (const Status fits = check_resync(resync_, out_.tables, manifest_.path); !fits)
    return refuse(fits.error().message);
  if (manifest_.source.stream.value != StreamKind::Direct) return {};
  const std::string& name = manifest_.source.slot.value;
  LOCKSTEP_ASSIGN(const SlotFacts slot, read_slot(source_, name));
  if (!slot.exists) return {};
  if (exported_ != nullptr && slot.confirmed_flush_lsn == exported_->begin())
    return {};  // Made by this run, before an error.
  if (slot.active)
    return wait_for(fmt::format("slot {}, which pid {} is using: a resync makes it anew", name,
                                slot.active_pid));
  LOCKSTEP_TRY(source_.ask("SELECT pg_drop_replication_slot(" + quote_literal(name) + ")"));
  return {};
}

// Of the tables that somebody named, also those that are left out now; the stream goes on.  One
// that keeps rows of the target stops instead (ShapeWatch).
Status Preparation::mark_resync() {
  for (const StoredMapping& mapping : out_.claim.mappings) {
    if (!resync_.tables.contains(mapping.source.text())) continue;
    LOCKSTEP_TRY(
        bookkeeping_.set_files(mapping.source, heal_text(mapping.files, out_.claim.epoch)));
  }
  return {};
}

std::string Preparation::what_was_lost(
    const std::vector<std::pair<std::string, Position>>& begins) const {
  std::map<std::string, Position> left;
  for (const StoredProgress& stored : out_.claim.progress) {
    const auto [found, fresh] = left.try_emplace(stored.row.stream, stored.row.position);
    if (!fresh) found->second = std::min(found->second, stored.row.position);
  }
  if (begins.empty() || left.empty()) return "what was committed before it is in no event";
  if (manifest_.source.stream.value == StreamKind::Direct)
    return fmt::format(
        "it was left at {} and begins at {}: what was committed in between is in no "
        "event",
        lsn_text(left.begin()->second.major), lsn_text(begins.front().second.major));
  return fmt::format(
      "{} partitions of topics are read from their present ends on: what came to "
      "them after the last event that was applied is in no event",
      begins.size());
}

}  // namespace lockstep
