#include "connectors/postgres/target/target_debts.h"

#include <array>

namespace lockstep {
namespace {

using Parameter = std::optional<std::string_view>;

std::string be64(std::uint64_t value) {
  std::string bytes;
  append_be64(bytes, value);
  return bytes;
}

std::int64_t as_int8(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

void DebtRows::add(const Write& write, const DebtNote& note) {
  hashes_.add(key_hash_bytes(write.key_hash));
  keys_.add(write.key);
  xids_.add_int8(as_int8(write.xid));
  times_.add_int8(write.commit_us);
  reasons_.add(debt_reason_text(note.reason));
  details_.add(note.detail);
  holders_.add(note.holder);
  attempts_.add_int4(static_cast<std::int32_t>(note.attempts));
}

Status DebtRows::queue(TargetSession& session, std::uint32_t debt_attempts) const {
  const std::string kept(1, state_ == DebtState::Kept ? '\1' : '\0');
  std::string attempts_max;
  append_be32(attempts_max, debt_attempts);
  const std::array<Parameter, 12> params{
      table_.schema,  table_.table,     hashes_.bytes(),  keys_.bytes(),    xids_.bytes(),
      times_.bytes(), reasons_.bytes(), details_.bytes(), holders_.bytes(), attempts_.bytes(),
      kept,           attempts_max};
  return session.queue("open_debts", params);
}

Status prepare_ledger_statements(TargetSession& session, const BookkeepingName& name) {
  constexpr std::uint32_t kInferred = 0;
  LOCKSTEP_TRY(session.prepare(
      "open_debts", open_debts_sql(name),
      {kTextOid, kTextOid, kByteaArrayOid, kByteaArrayOid, kXid8ArrayOid, kInt8ArrayOid,
       kTextArrayOid, kTextArrayOid, kTextArrayOid, kInt4ArrayOid, kInferred, kInt4Oid}));
  LOCKSTEP_TRY(
      session.prepare("clear_debts", clear_debts_sql(name), {kTextOid, kTextOid, kByteaArrayOid}));
  LOCKSTEP_TRY(
      session.prepare("clear_visible_debts", clear_visible_debts_sql(name),
                      {kTextOid, kTextOid, kByteaArrayOid, kInferred, kInferred, kInferred}));
  LOCKSTEP_TRY(session.prepare("no_swallowers", no_swallowers_sql(), {kOidArrayOid}));
  LOCKSTEP_TRY(session.prepare("progress", progress_sql(name),
                               {kTextArrayOid, kInt4ArrayOid, kInt8ArrayOid, kInt8ArrayOid,
                                kXid8ArrayOid, kXid8ArrayOid, kInt8Oid, kInt8Oid}));
  LOCKSTEP_TRY(
      session.prepare("end_progress", end_progress_sql(name), {kTextArrayOid, kInt4ArrayOid}));
  return session.prepare("mark", mark_chunk_sql(name),
                         {kTextOid, kTextOid, kInt8Oid, kInt8Oid, kByteaOid, kByteaOid, kInt8Oid});
}

Status queue_clear_debts(TargetSession& session, const Run& run) {
  const TableName& table = run.table->source.name;
  ArrayBuilder hashes(kByteaOid);
  for (const Write& write : run.writes) hashes.add(key_hash_bytes(write.key_hash));
  if (run.rule == DebtRule::Clear) {
    const std::array<Parameter, 3> params{table.schema, table.table, hashes.bytes()};
    return session.queue("clear_debts", params);
  }
  CHECK(run.rule == DebtRule::ClearVisible && run.snapshot != nullptr);
  const std::string snapshot = snapshot_bytes(*run.snapshot);
  // A debt without an xid is settled by a snapshot begun after it was opened, which holds for the
  // rows that were read for debts; of a chunk's rows it is not known.
  const std::string unknown_too(1, run.settles() ? '\1' : '\0');
  // One that was opened since may have been a delete (may_have_been_deleted()): the target's row
  // must go with it.
  const std::string deletes_too(1, run.kind != WriteKind::Forget ? '\1' : '\0');
  const std::array<Parameter, 6> params{table.schema, table.table, hashes.bytes(),
                                        snapshot,     unknown_too, deletes_too};
  return session.queue("clear_visible_debts", params);
}

Status queue_progress(TargetSession& session, std::span<const ProgressRow> rows,
                      ProgressStamp stamp) {
  ArrayBuilder streams(kTextOid);
  ArrayBuilder lanes(kInt4Oid);
  ArrayBuilder majors(kInt8Oid);
  ArrayBuilder minors(kInt8Oid);
  ArrayBuilder last_xids(kXid8Oid);
  ArrayBuilder max_xids(kXid8Oid);
  for (const ProgressRow& row : rows) {
    streams.add(row.stream);
    lanes.add_int4(static_cast<std::int32_t>(row.lane));
    majors.add_int8(as_int8(row.position.major));
    minors.add_int8(as_int8(row.position.minor));
    last_xids.add_int8(as_int8(row.last_xid));
    max_xids.add_int8(as_int8(row.max_xid));
  }
  const std::string epoch = be64(stamp.epoch);
  const std::string batch = be64(stamp.batch);
  const std::array<Parameter, 8> params{
      streams.bytes(),   lanes.bytes(),    majors.bytes(), minors.bytes(),
      last_xids.bytes(), max_xids.bytes(), epoch,          batch};
  return session.queue("progress", params);
}

Status queue_end_progress(TargetSession& session,
                          std::span<const std::pair<std::string, std::uint32_t>> rows) {
  ArrayBuilder streams(kTextOid);
  ArrayBuilder lanes(kInt4Oid);
  for (const auto& [stream, lane] : rows) {
    streams.add(stream);
    lanes.add_int4(static_cast<std::int32_t>(lane));
  }
  const std::array<Parameter, 2> params{streams.bytes(), lanes.bytes()};
  return session.queue("end_progress", params);
}

Status queue_mark(TargetSession& session, const TableName& table, const ChunkMark& mark) {
  const std::string first = be64(mark.first);
  const std::string last = be64(mark.last);
  const std::string rows = be64(mark.rows);
  const auto bound = [](const std::optional<std::string>& key) {
    return key ? Parameter(*key) : Parameter();
  };
  const std::array<Parameter, 7> params{
      table.schema, table.table, first, last, bound(mark.range.lower), bound(mark.range.upper),
      rows};
  return session.queue("mark", params);
}

std::string snapshot_bytes(const Snapshot& snapshot) {
  std::string bytes;
  append_be32(bytes, static_cast<std::uint32_t>(snapshot.running.size()));
  append_be64(bytes, snapshot.xmin);
  append_be64(bytes, snapshot.xmax);
  for (const Xid xid : snapshot.running) append_be64(bytes, xid);
  return bytes;
}

}  // namespace lockstep
