#include "connectors/postgres/source/exported_snapshot.h"

#include <utility>

#include "pipeline/tables/translate.h"

namespace lockstep {

ExportedSnapshot::ExportedSnapshot(PostgresOptions connection)
    : connection_(for_replication(std::move(connection))) {}

// The transaction uses the slot's own snapshot and lends it to others: one that the slot's command
// exports by itself would be gone with the next command.
Status ExportedSnapshot::make(const std::string& slot, const std::function<bool()>& goes_on) {
  const MutexLock lock(mutex_);
  LOCKSTEP_TRY(connection_.open());
  LOCKSTEP_TRY(ask_to_look_for_us(connection_));
  LOCKSTEP_TRY(connection_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  LOCKSTEP_ASSIGN(const PgResult made,
                  make_slot_by(connection_,
                               "CREATE_REPLICATION_SLOT " + quote_identifier(slot) +
                                   " LOGICAL pgoutput USE_SNAPSHOT",
                               slot, goes_on));
  LOCKSTEP_ASSIGN(begin_, parse_lsn(field(made, 0, 1)));
  LOCKSTEP_ASSIGN(const PgResult exported, connection_.run("SELECT pg_export_snapshot()"));
  literal_ = quote_literal(text_field(exported, 0, 0));
  held_ = true;
  return {};
}

bool ExportedSnapshot::held() const {
  const MutexLock lock(mutex_);
  return held_;
}

void ExportedSnapshot::end(std::string_view why) {
  {
    const MutexLock lock(mutex_);
    if (!held_) return;
    held_ = false;
    connection_.close();
  }
  over_.close();
  if (tell_) tell_(why);
}

}  // namespace lockstep
