#include "pipeline/decode/pgoutput/direct.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/model/key.h"
#include "pipeline/model/row.h"
#include "pipeline/tables/table_checks.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

// Of a domain the typmod is its base type's, which the message does not have.
bool same_type(const Column& column, const WalColumn& wire) {
  const bool is_domain = column.type.oid != column.type.base_oid;
  return column.type.oid == wire.type && (is_domain || column.type.typmod == wire.typmod);
}

std::string shown(std::string_view column) {
  return "column " + quote_identifier(std::string(column));
}

const WalColumn* find_column(const WalRelation& wire, const std::string& name) {
  const auto found = std::ranges::find(wire.columns, name, &WalColumn::name);
  return found == wire.columns.end() ? nullptr : &*found;
}

// What of the message is not as in the catalog, or nothing.
std::optional<std::string> drift_of(const TableSpec& spec, const WalRelation& wire) {
  if (wire.schema != spec.name.schema || wire.table != spec.name.table)
    return fmt::format("it was renamed to {}.{}", wire.schema, wire.table);
  for (const Column& column : spec.columns) {
    if (column.generated) continue;
    const WalColumn* const now = find_column(wire, column.name);
    if (now == nullptr) return shown(column.name) + " was dropped or renamed";
    if (!same_type(column, *now))
      return shown(column.name) + " has another type now, not " + column.type.sql;
  }
  for (const WalColumn& column : wire.columns) {
    if (!spec.find(std::string(column.name))) return shown(column.name) + " was added";
  }
  return std::nullopt;
}

// The identity may be as it should be by now; the changes in the log are what they are.
std::string made_right(const TableMap& table, const std::string& step) {
  return fmt::format(
      " when it was changed: {}, unless that is done, and the table is copied again; should it "
      "stop "
      "once more, empty {} on the target and start again",
      step, table.target.name.text());
}

std::string identity_step(const TableSpec& source) {
  if (!source.key_is_primary) return choose_by_identity(source, source.key_index);
  return "ALTER TABLE " + quoted(source.name) + " REPLICA IDENTITY DEFAULT on the source";
}

std::unexpected<Error> out_of_order(std::string_view what) {
  return fail(Reaction::Halt,
              fmt::format("the replication stream sent {}: it is not what PostgreSQL sends", what));
}

}  // namespace

DirectDecoder::DirectDecoder(DirectOptions options, const std::vector<const TableMap*>& tables)
    : stream_(options.stream),
      catalog_lsn_(options.catalog_lsn),
      renewed_(std::move(options.renewed)),
      position_(options.start),
      near_xid_(options.near_xid) {
  for (const TableMap* table : tables) {
    by_oid_[table->source.oid] = table;
    by_name_[table->source.name] = table;
  }
}

void DirectDecoder::restart() {
  relations_.clear();
  begin_.reset();
  ordinal_ = 0;
}

Status DirectDecoder::decode(std::string_view message, ChangeBatch& batch) {
  LOCKSTEP_ASSIGN(const WalKind kind, wal_kind(message));
  switch (kind) {
    case WalKind::Begin:
      return take_begin(message);
    case WalKind::Commit:
      return take_commit(message);
    case WalKind::Relation:
      return take_relation(message, batch);
    case WalKind::Insert:
    case WalKind::Update:
    case WalKind::Delete:
      return take_row(message, kind, batch);
    case WalKind::Truncate:
      return take_truncate(message, batch);
    case WalKind::Origin:
    case WalKind::Type:
    case WalKind::Message:
      return {};
  }
  return {};
}

Status DirectDecoder::take_begin(std::string_view message) {
  if (begin_) return out_of_order("a transaction inside another one");
  LOCKSTEP_ASSIGN(begin_, read_wal_begin(message));
  ordinal_ = 0;
  xid_ = near_xid_ = widen_xid(begin_->xid, near_xid_);
  return {};
}

Status DirectDecoder::take_commit(std::string_view message) {
  LOCKSTEP_ASSIGN(const WalCommit commit, read_wal_commit(message));
  if (!begin_ || begin_->final_lsn != commit.commit_lsn)
    return out_of_order("a commit of a transaction that it did not begin");
  begin_.reset();
  move_to({commit.end_lsn, 0});
  return {};
}

// ---------------------------------------------------------------- what a table looks like

Status DirectDecoder::take_relation(std::string_view message, ChangeBatch& batch) {
  LOCKSTEP_TRY(read_wal_relation(message, wire_));
  Relation& relation = relations_[wire_.oid] = Relation();
  relation.width = wire_.columns.size();
  std::string drift;
  const TableMap* const table = table_of(wire_, drift);
  if (table == nullptr || stopped_.contains(table->id)) return {};
  if (drift.empty() && !is_old()) drift = drift_of(table->source, wire_).value_or("");
  if (drift.empty()) drift = map_columns(wire_, relation).value_or("");
  if (!drift.empty()) {
    if (is_void(*table)) return {};
    stop(*table, fmt::format("source table {} changed: {}", table->text(), drift), batch);
    return {};
  }
  relation.table = table;
  return {};
}

const TableMap* DirectDecoder::table_of(const WalRelation& wire, std::string& drift) const {
  if (const auto found = by_oid_.find(wire.oid); found != by_oid_.end()) return found->second;
  const auto same = by_name_.find({std::string(wire.schema), std::string(wire.table)});
  // A table of this name that is gone: ours was made after it.
  if (same == by_name_.end() || is_old()) return nullptr;
  drift = "it was dropped and created again";
  return same->second;
}

// Returns what makes the rows of the relation unreadable, or nothing.
std::optional<std::string> DirectDecoder::map_columns(const WalRelation& wire,
                                                      Relation& relation) const {
  const TableMap& table = *by_oid_.at(wire.oid);
  for (std::size_t cell = 0; cell < table.columns.size(); ++cell)
    relation.cells.push_back(source_of(table, cell, wire));
  for (const std::size_t cell : table.key) {
    const Source& source = relation.cells[cell];
    const std::string name = shown(table.source_column(cell).name);
    if (!source.place) return name + " of its key is not in its events as it is in the table";
    if (!source.in_identity)
      return name + " of its key was not in its replica identity" +
             made_right(table, identity_step(table.source));
  }
  return std::nullopt;
}

DirectDecoder::Source DirectDecoder::source_of(const TableMap& table, std::size_t cell,
                                               const WalRelation& wire) const {
  const Column& column = table.source_column(cell);
  Source source;
  source.plane = table.columns[cell].plane;
  source.text_is_binary = text_is_binary(column.type);
  const WalColumn* const found = find_column(wire, column.name);
  if (found == nullptr || !same_type(column, *found)) return source;
  source.place = static_cast<std::size_t>(found - wire.columns.data());
  source.in_identity = found->in_identity;
  return source;
}

void DirectDecoder::stop(const TableMap& table, std::string message, ChangeBatch& batch) {
  if (!stopped_.insert(table.id).second) return;
  for (auto& [oid, relation] : relations_)
    if (relation.table == &table) relation.table = nullptr;
  batch.stops.push_back(
      {table.id, Error{Reaction::StopTable, std::move(message), ExitCode::BadData, {}}});
}

void DirectDecoder::refuse_nameless(const TableMap& table, std::string_view what,
                                    ChangeBatch& batch) {
  if (is_void(table)) return;
  stop(
      table,
      fmt::format("{} {} carries no whole old key: its replica identity, or that of the partition, "
                  "was another one{}",
                  what, table.text(), made_right(table, "put that right on the source")),
      batch);
}

// ---------------------------------------------------------------- rows

bool DirectDecoder::count_change() {
  const Position next{begin_->final_lsn, ++ordinal_};
  if (next <= position_) return false;
  position_ = next;
  return true;
}

Change DirectDecoder::start_change(const TableMap& table) const {
  Change change;
  change.table = table.id;
  change.stream = stream_;
  change.next = {begin_->final_lsn, ordinal_};
  change.sequence = {0, begin_->final_lsn};
  change.xid = xid_;
  change.commit_us = begin_->commit_us;
  return change;
}

Status DirectDecoder::take_row(std::string_view message, WalKind kind, ChangeBatch& batch) {
  if (!begin_) return out_of_order("a row outside of a transaction");
  LOCKSTEP_TRY(read_wal_row(message, row_));
  const Position before = position_;
  if (!count_change()) return {};
  const auto found = relations_.find(row_.relation);
  if (found == relations_.end()) return out_of_order("a row of a table it did not describe");
  const Relation& relation = found->second;
  if (relation.table == nullptr) return {};
  if ((kind != WalKind::Delete && row_.after.size() != relation.width) ||
      (row_.old_form != WalRow::Old::None && row_.before.size() != relation.width))
    return out_of_order("a row of another width than its table's");
  const std::size_t stops = batch.stops.size();
  if (kind == WalKind::Delete)
    take_delete(relation, batch);
  else
    take_image(relation, kind, batch);
  // The table's position is the one before the change that cannot be taken.
  if (batch.stops.size() > stops) position_ = before;
  return {};
}

void DirectDecoder::take_delete(const Relation& relation, ChangeBatch& batch) {
  const TableMap& table = *relation.table;
  if (!read_key(relation, row_.before, old_key_))
    return refuse_nameless(table, "a delete from", batch);
  Change change = start_change(table);
  change.kind = ChangeKind::Delete;
  change.key = key_hash(table, old_key_);
  change.row = old_key_;
  batch.changes.push_back(std::move(change));
}

void DirectDecoder::take_image(const Relation& relation, WalKind kind, ChangeBatch& batch) {
  const TableMap& table = *relation.table;
  Change change = start_change(table);
  const Image image = read_image(relation, change.row);
  if (!extract_key(table, change.row, key_))
    return stop(table, "a row of " + table.text() + " carries no whole key", batch);
  change.key = key_hash(table, key_);
  change.kind = image.complete ? ChangeKind::Full : ChangeKind::Partial;
  change.debt = image.doubtful ? DebtReason::Doubtful : DebtReason::None;
  if (kind == WalKind::Update && row_.old_form != WalRow::Old::None) {
    if (!read_key(relation, row_.before, old_key_))
      return refuse_nameless(table, "an update of", batch);
    const Hash128 old_hash = key_hash(table, old_key_);
    if (old_hash != change.key) {
      Change gone = start_change(table);
      gone.kind = ChangeKind::Delete;
      gone.key = old_hash;
      gone.row = old_key_;
      batch.changes.push_back(std::move(gone));
      // What did not change was left under the old key, and goes with it.
      if (!image.complete) change.debt = DebtReason::Doubtful;
    }
  }
  batch.changes.push_back(std::move(change));
}

DirectDecoder::Image DirectDecoder::read_image(const Relation& relation, std::string& out) const {
  Image image;
  for (const Source& source : relation.cells) {
    if (!source.place) {
      append_unavailable(out);
      image.complete = false;
      image.doubtful = true;
      continue;
    }
    const WalValue* value = &row_.after[*source.place];
    // An old image holds the values that did not change, as far as it goes.  Its form is that of a
    // partition's root, which may promise more than the partition keeps: NULL is then no value, and
    // what lies out of line never is NULL.
    const bool is_in_old = row_.old_form != WalRow::Old::None &&
                           row_.before[*source.place].form != WalValue::Form::Null;
    if (value->form == WalValue::Form::Unchanged && is_in_old) value = &row_.before[*source.place];
    if (append_value_of(source, *value, out)) continue;
    append_unavailable(out);
    image.complete = false;
    if (value->form != WalValue::Form::Unchanged) image.doubtful = true;
  }
  return image;
}

// Appends the cell; false when the value is not carried in the form of the column's plane.
bool DirectDecoder::append_value_of(const Source& source, const WalValue& value,
                                    std::string& out) const {
  switch (value.form) {
    case WalValue::Form::Null:
      append_null(out);
      return true;
    case WalValue::Form::Unchanged:
      return false;
    case WalValue::Form::Text:
    case WalValue::Form::Binary: {
      const Plane plane = value.form == WalValue::Form::Text ? Plane::Text : Plane::Binary;
      if (plane != source.plane && !source.text_is_binary) return false;
      append_value(out, value.bytes);
      return true;
    }
  }
  return false;
}

bool DirectDecoder::read_key(const Relation& relation, const WalTuple& tuple,
                             std::string& out) const {
  out.clear();
  for (const std::size_t cell : relation.table->key) {
    const Source& source = relation.cells[cell];
    const WalValue& value = tuple[*source.place];
    if (value.form == WalValue::Form::Null || !append_value_of(source, value, out)) return false;
  }
  return true;
}

Status DirectDecoder::take_truncate(std::string_view message, ChangeBatch& batch) {
  if (!begin_) return out_of_order("a TRUNCATE outside of a transaction");
  LOCKSTEP_ASSIGN(const WalTruncate truncate, read_wal_truncate(message));
  for (const std::uint32_t oid : truncate.relations) {
    // Each table counts: a restart may come between two of them.
    if (!count_change()) continue;
    const auto found = relations_.find(oid);
    if (found == relations_.end()) return out_of_order("a TRUNCATE of a table it did not describe");
    if (found->second.table == nullptr) continue;
    Change change = start_change(*found->second.table);
    change.kind = ChangeKind::Truncate;
    batch.changes.push_back(std::move(change));
  }
  return {};
}

}  // namespace lockstep
