// The replication slot of a direct stream: what must be true of it, and how it is made (P1, I16).
//
// daemon/prepare_stream makes it once; source/stream looks at it before each START_REPLICATION.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// What is wrong with a slot that exists, as the end of a sentence: "has plugin test_decoding".
// Nothing: a stream can be read from it.
std::optional<std::string> slot_fault(const SlotFacts& slot, const std::string& database);

// Why the stream of a slot that exists lacks changes behind `progress`, up to which lockstep has
// applied them: the slot was moved, or the source was restored and `insert_lsn` is where its log
// ends.  Nothing: it lacks none.
std::optional<std::string> stream_fault(const std::string& name, const SlotFacts& slot,
                                        Lsn insert_lsn, Lsn progress);

// Makes the slot and returns the position its stream begins at.  The server waits for every
// transaction that is open; meanwhile `goes_on` is asked twice a second, and false gives up
// (Cancel).  REQUIRES: the connection is open.
Result<Lsn> make_slot(PostgresConnection& connection, const std::string& name,
                      const std::function<bool()>& goes_on);
// The same by a command of another protocol; returns what it answers.
Result<PgResult> make_slot_by(PostgresConnection& connection, const std::string& command,
                              const std::string& name, const std::function<bool()>& goes_on);
// Before either: the server goes on waiting for a client that died, and holds a slot that is half
// made, unless it looks.
Status ask_to_look_for_us(PostgresConnection& connection);

// What a stream must know of the server at each connect.
struct StreamFacts {
  SlotFacts slot;
  Lsn insert_lsn = 0;
  Xid next_xid = 0;              // 64 bits wide.
  std::uint64_t kept_bytes = 0;  // Of the log, for the slot.
  std::string reader;            // Of an active slot: the application's name.
  std::string synchronous_standby_names;
};
// REQUIRES: the connection is open.
Result<StreamFacts> read_stream_facts(PostgresConnection& connection, const std::string& slot);

// Whether commits of the source would wait for a walsender that serves `name`, by what
// synchronous_standby_names says: 's1, "s 2"', 'ANY 1 (s1, s2)', '*'.  One of a logical slot
// counts.
bool is_synchronous(std::string_view names, std::string_view name);

// Ends the server process that reads a slot.  Needs to be of the same role.
Status end_reader(PostgresConnection& connection, int pid);
// Ends `reader`, if there is one, and drops the slot.  Waits at most 5 s for it.
Status drop_slot(PostgresConnection& connection, const std::string& name,
                 std::optional<int> reader);

}  // namespace lockstep
