#include "connectors/postgres/target/bookkeeping_schema.h"

#include <fmt/format.h>

#include "connectors/postgres/target/sql.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

struct TableText {
  const char* name;
  const char* body;
  const char* comment;
};

constexpr TableText kTables[] = {
    {"fence", R"(
  migration   text PRIMARY KEY,
  format      int NOT NULL,      -- Version of these tables; a newer one is refused.
  epoch       bigint NOT NULL,   -- Incarnation that may write; each claim raises it by one.
  claimed_at  timestamptz NOT NULL DEFAULT now())",
     "Who owns a migration: every writing transaction checks the epoch and fails if it is not its "
     "own"},
    {"session", R"(
  migration      text NOT NULL,
  pid            int NOT NULL,
  backend_start  timestamptz NOT NULL,  -- A pid may be used again; the pair may not.
  epoch          bigint NOT NULL,
  PRIMARY KEY (migration, pid))",
     "Server processes that write for a migration: a new owner ends those of the old one"},
    {"start", R"(
  migration        text PRIMARY KEY,
  source_system    text NOT NULL,    -- System identifiers and timelines: another one halts (I16).
  source_timeline  bigint NOT NULL,
  target_system    text NOT NULL,
  target_timeline  bigint NOT NULL,
  stream_kind      text NOT NULL,    -- direct | debezium.
  stream_name      text NOT NULL,    -- Slot, or topic prefix.
  start_xid        xid8 NOT NULL,    -- Assigned at P0: every snapshot has xmin above it (P1).
  lanes            int NOT NULL,     -- When it changes all lanes take the least position (I13).
  started_at       timestamptz NOT NULL DEFAULT now())",
     "What was true when a migration began"},
    {"mapping", R"(
  migration      text NOT NULL,
  source_schema  text NOT NULL,
  source_table   text NOT NULL,
  fingerprint    text NOT NULL,                  -- Of the mapping; a changed one stops the table.
  state          text NOT NULL DEFAULT 'active'  CHECK (state IN ('active', 'copied', 'stopped')),
  reason         text NOT NULL DEFAULT '',       -- Why it stopped, for people.
  horizon_major  bigint NOT NULL DEFAULT 0,      -- Begin of the copy or last TRUNCATE: events
  horizon_minor  bigint NOT NULL DEFAULT 0,      -- before it in the log are dropped (I15).
  files          text NOT NULL DEFAULT '',       -- @horizon relation/filenode/bond ..., and what it
                                                 -- is made of: what its chunks were read from.
  PRIMARY KEY (migration, source_schema, source_table))",
     "The tables of a migration"},
    {"progress", R"(
  migration  text NOT NULL,
  stream     text NOT NULL,    -- Kafka: topic/partition; else wal.  A stopped table has its own.
  lane       int NOT NULL,
  major      bigint NOT NULL,  -- Next offset; or the commit's LSN.
  minor      bigint NOT NULL,  -- 0; or the ordinal of the row change in its transaction.
  last_xid   xid8 NOT NULL,    -- Of the last change; 32-bit xids are widened from it.
  max_xid    xid8 NOT NULL,    -- Largest ever applied; never lowered (I5).
  epoch      bigint NOT NULL,  -- Incarnation and number of the transaction that wrote the row:
  batch      bigint NOT NULL,  -- found again in the state directory's intents.
  PRIMARY KEY (migration, stream, lane))",
     "What each lane has applied of each stream, written with the rows themselves (I13)"},
    {"chunk", R"(
  migration      text NOT NULL,
  source_schema  text NOT NULL,
  source_table   text NOT NULL,
  first_chunk    bigint NOT NULL,  -- Sequence numbers of the chunks it covers, inclusive.
  last_chunk     bigint NOT NULL,
  lower_bound    bytea,            -- Key cells, from (inclusive) and to (exclusive); NULL: none.
  upper_bound    bytea,
  rows           bigint NOT NULL,
  done_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, source_schema, source_table, first_chunk))",
     "Chunks whose rows are all committed or dropped (I10)"},
    {"debt", R"(
  migration      text NOT NULL,
  source_schema  text NOT NULL,
  source_table   text NOT NULL,
  key_hash       bytea NOT NULL,   -- Of the canonical key; its hex form is the row's id.
  key            bytea NOT NULL,   -- Key cells, as last seen.
  xid            xid8 NOT NULL,    -- A snapshot that sees it settles the debt; 0: a later one.
  commit_us      bigint NOT NULL,  -- Of the event; lag counts it as not applied.
  reason         text NOT NULL,
  attempts       int NOT NULL DEFAULT 0,
  state          text NOT NULL DEFAULT 'open'  CHECK (state IN ('open', 'quarantined', 'dropped')),
  detail         text NOT NULL DEFAULT '',     -- The server's message; holds no values.
  holder         text,                         -- Key of the row in its way; shown on request.
  opened_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, source_schema, source_table, key_hash))",
     "Rows that must be read from the source again (I17)"},
};

}  // namespace

const std::vector<std::string>& bookkeeping_tables() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const TableText& table : kTables) all.emplace_back(table.name);
    return all;
  }();
  return names;
}

std::string bookkeeping_index_sql(const std::string& schema) {
  return fmt::format(
      "CREATE INDEX IF NOT EXISTS {} ON {} (migration, source_schema, source_table, attempts,"
      " commit_us, key_hash) WHERE state = 'open'",
      quote_identifier(kDebtIndex), quoted({schema, "debt"}));
}

std::vector<std::string> create_bookkeeping_sql(const std::string& schema) {
  std::vector<std::string> statements;
  for (const TableText& table : kTables) {
    const std::string name = quoted({schema, table.name});
    statements.push_back(fmt::format("CREATE TABLE IF NOT EXISTS {} ({})", name, table.body));
    statements.push_back(
        fmt::format("COMMENT ON TABLE {} IS {}", name, quote_literal(table.comment)));
  }
  return statements;
}

}  // namespace lockstep
