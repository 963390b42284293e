// Fuzzes the decoder of Debezium's events over a table of every type: what it takes for a change
// is whole, and what it remembers of earlier records (the schema, the last table) changes nothing.
#include <algorithm>
#include <deque>

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

std::vector<const TableMap*> pointers_to(const std::deque<TableMap>& tables) {
  std::vector<const TableMap*> maps;
  for (const TableMap& table : tables) maps.push_back(&table);
  return maps;
}

bool alike(const Result<Decoded>& a, const Result<Decoded>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a.has_value()) return a.error().message == b.error().message;
  if (a->kind != b->kind || a->detail != b->detail) return false;
  if (a->kind == Decoded::Kind::Stop)
    return a->stop.table == b->stop.table && a->stop.error.message == b->stop.error.message;
  return a->kind != Decoded::Kind::Change ||
         (a->change.kind == b->change.kind && a->change.row == b->change.row &&
          a->change.key == b->change.key && a->change.debt == b->change.debt);
}

std::string_view take_line(std::string_view& input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string_view line = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return line;
}

}  // namespace

void fuzz::debezium(std::string_view input) {
  static const std::deque<TableMap> tables = golden_tables();
  static const std::vector<const TableMap*> maps = pointers_to(tables);
  DebeziumDecoder decoder({}, maps);
  for (bool first = true; !input.empty(); first = false) {
    Record record;
    record.topic = "s.public.uidx";  // Of few columns: an event that is none is taken for its.
    record.next = {1, 0};
    if (const std::string_view key = take_line(input); !key.empty()) record.key = key;
    if (const std::string_view value = take_line(input); !value.empty()) record.value = value;
    const Result<Decoded> decoded = decoder.decode(record);
    CHECK(decoded.has_value() || decoded.error().reaction == Reaction::Halt);
    if (decoded.has_value() && decoded->kind == Decoded::Kind::Change)
      check_change(tables[decoded->change.table], decoded->change);
    // One that has seen nothing before says the same; at first both are that.
    if (!first) CHECK(alike(decoded, DebeziumDecoder({}, maps).decode(record)));
  }
}

}  // namespace lockstep
