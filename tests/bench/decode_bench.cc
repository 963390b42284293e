// Decodes records of the bench table, with and without their schema part, and prints events per
// CPU second as JSON.
//
//   lockstep_decode_bench FILE_WITHOUT FILE_WITH
//
// Each file holds records as bench.py captured them: a line with the key, a line with the value.
#include <algorithm>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/decode_fixture.h"

namespace lockstep {
namespace {

constexpr int kRounds = 7;
constexpr std::size_t kEventsPerRound = 200'000;

using KeyAndValue = std::pair<std::string, std::string>;

// bench.sql.
TableMap bench_table() {
  constexpr std::int32_t kNumeric12s2 = ((12 << 16) | 2) + 4;
  TableMap table = table_of(
      {column_of("id", type_of(TypeKind::Int8)), column_of("ver", type_of(TypeKind::Int4)),
       column_of("customer", type_of(TypeKind::Int8)),
       column_of("price", type_of(TypeKind::Numeric, 1700, kNumeric12s2)),
       column_of("rate", type_of(TypeKind::Float8)), column_of("active", type_of(TypeKind::Bool)),
       column_of("created", type_of(TypeKind::TimestampTz)),
       column_of("code", type_of(TypeKind::Varchar)), column_of("title", type_of(TypeKind::Text)),
       column_of("note", type_of(TypeKind::Text))},
      1);
  table.id = 0;
  table.source.name = {"public", "bench"};
  return table;
}

std::vector<KeyAndValue> read_records(const std::string& path) {
  std::vector<KeyAndValue> records;
  std::ifstream file(path);
  KeyAndValue record;
  while (std::getline(file, record.first) && std::getline(file, record.second))
    records.push_back(record);
  return records;
}

// Events per CPU second of one round.  Every event must be a whole row, or the figure means
// nothing.
double decode_round(DebeziumDecoder& decoder, const std::vector<KeyAndValue>& records) {
  const std::clock_t begun = std::clock();
  for (std::size_t i = 0; i < kEventsPerRound; ++i) {
    const auto& [key, value] = records[i % records.size()];
    Record record;
    record.topic = "bench.public.bench";
    record.key = key;
    record.value = value;
    const Result<Decoded> decoded = decoder.decode(record);
    CHECK(decoded && decoded->kind == Decoded::Kind::Change &&
          decoded->change.kind == ChangeKind::Full && decoded->change.debt == DebtReason::None);
  }
  return kEventsPerRound * double{CLOCKS_PER_SEC} / static_cast<double>(std::clock() - begun);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(const std::string& without, const std::string& with) {
  const TableMap table = bench_table();
  const std::vector<KeyAndValue> bare = read_records(without);
  const std::vector<KeyAndValue> described = read_records(with);
  CHECK(!bare.empty() && !described.empty());
  std::vector<double> bare_rates;
  std::vector<double> described_rates;
  DebeziumDecoder decoder({}, {&table});
  for (int round = 0; round < kRounds; ++round) {  // In turns: the machine drifts.
    bare_rates.push_back(decode_round(decoder, bare));
    described_rates.push_back(decode_round(decoder, described));
  }
  std::cout << "{\"without\": " << median(bare_rates) << ", \"with\": " << median(described_rates)
            << "}\n";
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int count, char** arguments) {
  if (count != 3) return 64;
  return lockstep::run(arguments[1], arguments[2]);
}
