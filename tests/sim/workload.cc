#include "tests/sim/workload.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep {
namespace {

constexpr std::size_t kOpenMax = 4;

}  // namespace

std::string Workload::value(TableId table) {
  const bool refused = random_.chance(options_.refused);
  // A row that cannot be deleted would keep its unique value from others for ever.
  const char kinds[] = {'!', '~', '#'};
  const std::size_t possible = source_.map(table).ordered ? 2 : 3;
  const char kind = refused ? kinds[random_.below(possible)] : 'v';
  return fmt::format("{}{}", kind, ++values_);
}

std::string Workload::unique_value() {
  if (random_.chance(100)) return {};
  return fmt::format("u{}", random_.below(static_cast<std::size_t>(options_.unique_values)));
}

FakeRow Workload::new_row(TableId table, int id) {
  FakeRow row;
  row.id = id;
  const bool numeric = source_.map(table).canonical[0] == CanonicalRule::Numeric;
  row.scale = numeric ? random_.between(0, 2) : 0;
  row.a = value(table);
  row.toast = fmt::format("toast{}", ++values_);
  row.u = unique_value();
  return row;
}

void Workload::seed_rows() {
  for (TableId table = 0; table < options_.tables.size(); ++table) {
    for (int id = 0; id < options_.keys; ++id) {
      FakeRow row = new_row(table, id);
      if (source_.unique_taken(0, table, id, row.u)) row.u.clear();
      if (random_.chance(600)) source_.seed_row(table, row);
    }
  }
}

void Workload::step() {
  const std::vector<Xid> open = source_.open_transactions();
  if (open.empty() || (open.size() < kOpenMax && random_.chance(250))) {
    source_.begin(random_.chance(options_.asynchronous) ? CommitMode::Async : CommitMode::Sync);
    return;
  }
  if (random_.chance(options_.flush)) {
    source_.flush(random_.chance(700) ? source_.insert_lsn() : source_.flush_lsn() + 1);
    return;
  }
  const Xid xid = random_.pick(open);
  if (random_.chance(300))
    end(xid);
  else
    change(xid);
}

bool Workload::attach(TableId table) {
  std::vector<FakeRow> rows;
  for (int id = 0; id < options_.keys; ++id) {
    if (!random_.chance(500)) continue;
    rows.push_back(new_row(table, id));
    rows.back().u.clear();
  }
  return source_.attach(table, std::move(rows));
}

void Workload::end(Xid xid) {
  if (random_.chance(100)) {
    source_.rollback(xid);
    return;
  }
  source_.log_commit(xid);
  if (random_.chance(500)) source_.flush(source_.insert_lsn());
  if (random_.chance(300)) source_.make_visible(xid);
}

void Workload::change(Xid xid) {
  auto table = static_cast<TableId>(random_.below(options_.tables.size()));
  int id = random_.between(0, options_.keys - 1);
  if (options_.hot > 0 && random_.chance(options_.hot)) {
    table = 0;
    id = 0;
  }
  if (random_.chance(options_.truncate)) {
    source_.truncate(xid, table);
    return;
  }
  const bool unique = source_.map(table).source.secondary_unique;
  if (unique && random_.chance(options_.swap)) {
    source_.swap_unique(xid, table, id, random_.between(0, options_.keys - 1));
    return;
  }
  const std::optional<FakeRow> old = source_.find(xid, table, id);
  if (!old)
    source_.insert(xid, table, new_row(table, id));
  else if (random_.chance(250))
    source_.remove(xid, table, id, !random_.chance(options_.doubtful));
  else
    update(xid, table, *old);
}

void Workload::update(Xid xid, TableId table, const FakeRow& old) {
  FakeRow row = old;
  row.a = value(table);
  Wire wire;
  wire.doubtful = random_.chance(options_.doubtful);
  wire.split_key = random_.chance(500);
  if (random_.chance(options_.partial))
    wire.toast = false;
  else
    row.toast = fmt::format("toast{}", ++values_);
  if (random_.chance(300)) row.u = unique_value();
  if (random_.chance(options_.rekey)) row.id = random_.between(0, options_.keys - 1);
  const bool numeric = source_.map(table).canonical[0] == CanonicalRule::Numeric;
  if (numeric && random_.chance(300)) row.scale = random_.between(0, 2);
  source_.update(xid, table, old.id, row, wire);
}

void Workload::make_one_visible() {
  const std::vector<Xid> logged = source_.logged_transactions();
  if (!logged.empty()) source_.make_visible(random_.pick(logged));
}

void Workload::finish() {
  for (const Xid xid : source_.open_transactions()) source_.log_commit(xid);
  source_.flush(source_.insert_lsn());
  for (const Xid xid : source_.logged_transactions()) CHECK(source_.make_visible(xid));
}

}  // namespace lockstep
