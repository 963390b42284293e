// What a start, a later one, and lanes that change in number write into the bookkeeping.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "connectors/postgres/source/stream.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/bookkeeping_schema.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

// Some lane has no row of its stream.  Of a table's own ("wal/public.orders") that lane stands
// where the whole stream does; of any other it has applied nothing yet.
void complete(ProgressRow& row, const std::map<std::string, ProgressRow>& streams) {
  const std::string whole = std::string(kDirectStream) + "/";
  if (!row.stream.starts_with(whole)) {
    row.position = {};
    row.last_xid = 0;
    return;
  }
  const auto found = streams.find(std::string(kDirectStream));
  if (found == streams.end() || row.position <= found->second.position) return;
  row.position = found->second.position;
  row.last_xid = found->second.last_xid;
}

}  // namespace

Status Bookkeeping::save_start(const StartFacts& facts, std::span<const StoredMapping> mappings,
                               std::span<const ProgressRow> progress) {
  CHECK(epoch_ != 0);
  return transact([&]() -> Status {
    Claim known;
    LOCKSTEP_TRY(read_start(known));
    if (known.start && !(*known.start == facts))
      return fail(Reaction::Halt,
                  "another start of this migration is recorded on the target: use another name, or "
                  "remove the old one's bookkeeping");
    if (known.start) return {};
    LOCKSTEP_TRY(insert_start(facts));
    LOCKSTEP_TRY(insert_mappings(mappings));
    return insert_progress(progress);
  });
}

Status Bookkeeping::replace_start(const StartFacts& facts, std::span<const StoredMapping> mappings,
                                  std::span<const ProgressRow> progress) {
  CHECK(epoch_ != 0);
  return transact([&]() -> Status {
    for (const std::string& name : bookkeeping_tables())
      if (name != "fence")  // An older process stays shut out.
        LOCKSTEP_TRY(
            run(fmt::format("DELETE FROM {} WHERE {}", table(name), of_migration(options_.name))));
    LOCKSTEP_TRY(insert_start(facts));
    LOCKSTEP_TRY(insert_mappings(mappings));
    return insert_progress(progress);
  });
}

Status Bookkeeping::insert_start(const StartFacts& facts) {
  LOCKSTEP_TRY(run(fmt::format(
      "INSERT INTO {} (migration, source_system, source_timeline, target_system,"
      " target_timeline, stream_kind, stream_name, start_xid, lanes)"
      " VALUES ({}, {}, {}, {}, {}, {}, {}, '{}', {})",
      table("start"), quote_literal(options_.name.migration), quote_literal(facts.source_system),
      facts.source_timeline, quote_literal(facts.target_system), facts.target_timeline,
      quote_literal(facts.stream_kind), quote_literal(facts.stream_name), facts.start_xid,
      facts.lanes)));
  return {};
}

Status Bookkeeping::add_mappings(std::span<const StoredMapping> mappings,
                                 std::span<const ProgressRow> progress,
                                 std::span<const std::pair<TableName, std::string>> forgotten) {
  return transact([&]() -> Status {
    for (const auto& [source, own_stream] : forgotten)
      LOCKSTEP_TRY(delete_table(source, own_stream));
    LOCKSTEP_TRY(insert_mappings(mappings));
    return insert_progress(progress);
  });
}

Status Bookkeeping::insert_mappings(std::span<const StoredMapping> mappings) {
  for (const StoredMapping& mapping : mappings) {
    LOCKSTEP_TRY(run(fmt::format(
        "INSERT INTO {} (migration, source_schema, source_table, fingerprint, state, reason,"
        " horizon_major, horizon_minor, files)"
        " VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT DO NOTHING",
        table("mapping"), quote_literal(options_.name.migration),
        quote_literal(mapping.source.schema), quote_literal(mapping.source.table),
        quote_literal(mapping.fingerprint), quote_literal(mapping.state),
        quote_literal(mapping.reason), mapping.horizon.major, mapping.horizon.minor,
        quote_literal(mapping.files))));
    // One chunk of all keys is done, without a row.
    if (mapping.compared)
      LOCKSTEP_TRY(run(
          fmt::format("INSERT INTO {} (migration, source_schema, source_table, first_chunk,"
                      " last_chunk, rows) VALUES ({}, {}, {}, 0, 0, 0) ON CONFLICT DO NOTHING",
                      table("chunk"), quote_literal(options_.name.migration),
                      quote_literal(mapping.source.schema), quote_literal(mapping.source.table))));
  }
  return {};
}

Status Bookkeeping::insert_progress(std::span<const ProgressRow> progress) {
  for (const ProgressRow& row : progress)
    LOCKSTEP_TRY(run(fmt::format(
        "INSERT INTO {} (migration, stream, lane, major, minor, last_xid, max_xid, epoch, batch)"
        " VALUES ({}, {}, {}, {}, {}, '{}', '{}', {}, 0) ON CONFLICT DO NOTHING",
        table("progress"), quote_literal(options_.name.migration), quote_literal(row.stream),
        row.lane, row.position.major, row.position.minor, row.last_xid, row.max_xid, epoch_)));
  return {};
}

Status Bookkeeping::set_table_state(const TableName& source, const std::string& state,
                                    const std::string& reason) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(run(fmt::format("UPDATE {} SET state = {}, reason = {} WHERE {}", table("mapping"),
                                 quote_literal(state), quote_literal(reason),
                                 of_table(options_.name, source))));
    return {};
  });
}

Status Bookkeeping::set_fingerprint(const TableName& source, const std::string& fingerprint) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(run(fmt::format("UPDATE {} SET fingerprint = {} WHERE {}", table("mapping"),
                                 quote_literal(fingerprint), of_table(options_.name, source))));
    return {};
  });
}

Status Bookkeeping::set_files(const TableName& source, const std::string& files) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(run(fmt::format("UPDATE {} SET files = {} WHERE {}", table("mapping"),
                                 quote_literal(files), of_table(options_.name, source))));
    return {};
  });
}

Status Bookkeeping::forget_chunks(const TableName& source) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(run(
        fmt::format("DELETE FROM {} WHERE {}", table("chunk"), of_table(options_.name, source))));
    return {};
  });
}

Status Bookkeeping::delete_table(const TableName& source, const std::string& own_stream) {
  for (const char* name : {"chunk", "debt", "mapping"})
    LOCKSTEP_TRY(
        run(fmt::format("DELETE FROM {} WHERE {}", table(name), of_table(options_.name, source))));
  LOCKSTEP_TRY(run(fmt::format("DELETE FROM {} WHERE {} AND stream = {}", table("progress"),
                               of_migration(options_.name), quote_literal(own_stream))));
  return {};
}

Status Bookkeeping::forget_table(const TableName& source, const std::string& own_stream,
                                 const std::string& mark) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(delete_table(source, own_stream));
    StoredMapping row;
    row.source = source;
    row.fingerprint = mark;
    return insert_mappings({&row, 1});
  });
}

// A key takes another lane from now on: each goes on where the last one stood, and what some lane
// had applied behind that is applied again.  The largest xid of the stream must survive in some
// row, so every row takes it.  A table of the direct stream that stands where that does needs no
// rows of its own.
Status Bookkeeping::change_lanes(std::uint32_t lanes) {
  CHECK(epoch_ != 0 && lanes > 0);
  return transact([&]() -> Status {
    Claim now;
    LOCKSTEP_TRY(read_start(now));
    LOCKSTEP_TRY(read_progress(now));
    if (!now.start || now.start->lanes == lanes) return {};
    std::map<std::string, ProgressRow> streams;
    std::map<std::string, std::uint32_t> rows_of;
    for (const StoredProgress& stored : now.progress) {
      const auto [found, fresh] = streams.try_emplace(stored.row.stream, stored.row);
      ProgressRow& row = found->second;
      ++rows_of[row.stream];
      row.max_xid = std::max(row.max_xid, stored.row.max_xid);
      if (stored.row.position >= row.position) continue;
      row.position = stored.row.position;
      row.last_xid = stored.row.last_xid;
    }
    std::vector<ProgressRow> rows;
    if (const auto whole = streams.find(kDirectStream); whole != streams.end()) {
      std::erase_if(streams, [&](const auto& own) {
        const ProgressRow& row = own.second;
        if (own.first == kDirectStream || row.position != whole->second.position) return false;
        whole->second.max_xid = std::max(whole->second.max_xid, row.max_xid);
        return true;
      });
    }
    for (auto& [stream, row] : streams) {
      if (rows_of[stream] < now.start->lanes) complete(row, streams);
      for (row.lane = 0; row.lane < lanes; ++row.lane) rows.push_back(row);
    }
    LOCKSTEP_TRY(run(
        fmt::format("DELETE FROM {} WHERE {}", table("progress"), of_migration(options_.name))));
    LOCKSTEP_TRY(insert_progress(rows));
    LOCKSTEP_TRY(run(fmt::format("UPDATE {} SET lanes = {} WHERE {}", table("start"), lanes,
                                 of_migration(options_.name))));
    return {};
  });
}

Status Bookkeeping::level_lanes(const std::string& whole, const std::string& own) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(run(fmt::format(
        "WITH place AS (SELECT DISTINCT ON (lane) * FROM {0} WHERE {1} AND stream IN ({2}, {3})"
        " ORDER BY lane, stream = {3} DESC),"
        " least AS (SELECT major, minor FROM place ORDER BY major, minor LIMIT 1)"
        " INSERT INTO {0} (migration, stream, lane, major, minor, last_xid, max_xid, epoch, batch)"
        " SELECT migration, {3}, lane, l.major, l.minor, last_xid, max_xid, epoch, batch"
        " FROM place CROSS JOIN least l ON CONFLICT (migration, stream, lane)"
        " DO UPDATE SET (major, minor) = (excluded.major, excluded.minor)",
        table("progress"), of_migration(options_.name), quote_literal(whole), quote_literal(own))));
    return {};
  });
}

}  // namespace lockstep
