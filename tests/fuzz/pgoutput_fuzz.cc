// Fuzzes the decoder of the replication stream: what it takes for a change is whole, and its
// position never goes back.
#include "pipeline/decode/pgoutput/direct.h"
#include "pipeline/tables/table_map.h"
#include "tests/fuzz/check_change.h"
#include "tests/fuzz/target.h"
#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

constexpr std::uint32_t kTableOid = 5001;

// The table of direct_test.cc: id int4, the key; big text; n int4.
TableMap notes() {
  TableSpec spec = table("notes", {column("id", kInt4), column("big", kText)});
  spec.columns.push_back(column("n", kInt4));
  spec.oid = kTableOid;
  auto plan = plan_table(spec, spec, {}, {StreamKind::Direct});
  CHECK(plan.map.has_value());
  return *std::move(plan.map);
}

}  // namespace

void fuzz::pgoutput(std::string_view input) {
  static const TableMap table = notes();
  DirectDecoder decoder({0, {}, 700, 0}, {&table});
  Position before;
  while (input.size() >= 2) {
    const std::size_t high = static_cast<std::uint8_t>(input[0]);
    const std::size_t size = high << 8 | static_cast<std::uint8_t>(input[1]);
    ChangeBatch batch;
    const Status status = decoder.decode(input.substr(2, size), batch);
    for (const Change& change : batch.changes) check_change(table, change);
    CHECK(decoder.position() >= before);
    before = decoder.position();
    if (!status) {
      CHECK(status.error().reaction == Reaction::Halt);
      return;
    }
    input.remove_prefix(std::min(2 + size, input.size()));
  }
}

}  // namespace lockstep
