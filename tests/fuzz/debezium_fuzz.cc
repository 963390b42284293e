// Fuzzes the decoder of Debezium's events over a table of every type: what it takes for a change
// is whole, and what it remembers of earlier records (the schema, the last table) changes nothing.
#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

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
  if (a->kind != b->kind) return false;
  if (a->kind == Decoded::Kind::Stop)
    return a->stop.table == b->stop.table && a->stop.error.message == b->stop.error.message;
  return a->kind != Decoded::Kind::Change ||
         (a->change.kind == b->change.kind && a->change.row == b->change.row &&
          a->change.key == b->change.key && a->change.debt == b->change.debt &&
          a->change.detail == b->change.detail);
}

// Decoders take long to make: what they remember, they remember by stream, so that a stream that
// was never used finds one that has seen nothing.
class Decoders {
 public:
  // A decoder, and the name of a stream that is new to it.
  std::pair<DebeziumDecoder&, StreamId> fresh() {
    if (!decoder_ || next_ == kStreamsMax) {
      decoder_.emplace(DecodeSettings{}, maps_);
      next_ = 0;
    }
    return {*decoder_, next_++};
  }
  const TableMap& table(TableId id) const { return tables_[id]; }

 private:
  static constexpr StreamId kStreamsMax = 1000;
  const std::deque<TableMap> tables_ = golden_tables();
  const std::vector<const TableMap*> maps_ = pointers_to(tables_);
  std::optional<DebeziumDecoder> decoder_;
  StreamId next_ = 0;
};

std::string_view take_line(std::string_view& input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string_view line = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return line;
}

}  // namespace

void fuzz::debezium(std::string_view input) {
  static Decoders with_history;
  static Decoders without;
  auto [decoder, stream] = with_history.fresh();
  for (bool first = true; !input.empty(); first = false) {
    Record record;
    record.topic = "s.public.uidx";  // Of few columns: an event that is none is taken for its.
    record.next = {1, 0};
    record.stream = stream;
    if (const std::string_view key = take_line(input); !key.empty()) record.key = key;
    if (const std::string_view value = take_line(input); !value.empty()) record.value = value;
    const Result<Decoded> decoded = decoder.decode(record);
    CHECK(decoded.has_value() || decoded.error().reaction == Reaction::Halt);
    if (decoded.has_value() && decoded->kind == Decoded::Kind::Change)
      check_change(with_history.table(decoded->change.table), decoded->change);
    // One that has seen nothing before says the same; at first both are that.
    if (first) continue;
    auto [other, unused] = without.fresh();
    record.stream = unused;
    CHECK(alike(decoded, other.decode(record)));
  }
}

}  // namespace lockstep
