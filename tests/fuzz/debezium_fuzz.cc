// Fuzzes the decoder of Debezium's events over a table of every type: what it takes for a change
// is whole, and the prefix that it remembers of a record changes nothing.
#include <deque>
#include <map>

#include "tests/fuzz/check_change.h"
#include "tests/fuzz/target.h"
#include "tests/unit/decode_truth.h"

namespace lockstep {
namespace {

// The tables of the golden captures, whole.
std::deque<TableMap> golden_tables() {
  std::deque<TableMap> tables;
  for (const auto& [name, truth] : read_truth("truth.tsv"))
    tables.push_back(
        map_of(truth, static_cast<TableId>(tables.size()), [](const Type&) { return false; }));
  return tables;
}

bool alike(const Result<Decoded>& a, const Result<Decoded>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a.has_value()) return a.error().message == b.error().message;
  if (a->kind != b->kind || a->detail != b->detail) return false;
  return a->kind != Decoded::Kind::Change ||
         (a->change.kind == b->change.kind && a->change.row == b->change.row &&
          a->change.key == b->change.key && a->change.debt == b->change.debt);
}

}  // namespace

void fuzz::debezium(std::string_view input) {
  static const std::deque<TableMap> tables = golden_tables();
  std::vector<const TableMap*> maps;
  for (const TableMap& table : tables) maps.push_back(&table);
  DebeziumDecoder decoder({}, maps);

  const std::size_t split = input.find('\n');
  Record record;
  record.topic = "s.public.all_types";
  record.next = {1, 0};
  if (split != 0) record.key = input.substr(0, split);
  if (split != std::string_view::npos) record.value = input.substr(split + 1);
  const Result<Decoded> first = decoder.decode(record);
  CHECK(first.has_value() || first.error().reaction == Reaction::Halt);
  if (first.has_value() && first->kind == Decoded::Kind::Change)
    check_change(tables[first->change.table], first->change);
  CHECK(alike(first, decoder.decode(record)));
}

}  // namespace lockstep
