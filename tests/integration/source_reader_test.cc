// What a reading of the source holds on to.
#include "connectors/postgres/source/reader.h"
#include "tests/integration/target_fixture.h"

namespace lockstep {
namespace {

std::string int_key(std::uint32_t value) {
  std::string bytes;
  append_be32(bytes, value);
  std::string cells;
  append_value(cells, bytes);
  return cells;
}

class SourceReaderTest : public TargetTest {
 protected:
  std::string locked_leaves() {
    return source_text(
        "SELECT string_agg(DISTINCT c.relname, ' ') FROM pg_locks l"
        " JOIN pg_class c ON c.oid = l.relation WHERE c.relname LIKE 'leaf%' AND c.relkind = 'r'");
  }
};

// Who alters or vacuums another one, or attaches one, does not wait for the chunk, and the server's
// room for locks is not filled by tables of thousands.
TEST_F(SourceReaderTest, AChunkLocksOnlyThePartitionsThatItReads) {
  on_both(
      "CREATE TABLE shop.tree (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "DO $$ BEGIN FOR i IN 0..19 LOOP EXECUTE format('CREATE TABLE shop.leaf%s PARTITION OF"
      " shop.tree FOR VALUES FROM (%s) TO (%s)', i, i * 10, i * 10 + 10); END LOOP; END $$");
  on_source("INSERT INTO shop.tree SELECT generate_series(0, 199)");
  const TableMap& tree = plan("tree", {}, StreamKind::Direct);
  PostgresReader reader({test_server(kSourceDatabase), std::nullopt, nullptr});
  ASSERT_TRUE(reader.begin().has_value());
  ASSERT_TRUE(reader.start_range(tree, {int_key(10), int_key(20), 0}).has_value());
  EXPECT_EQ(locked_leaves(), "leaf1");
  RowBatch rows;
  const auto more = reader.read(rows, 1 << 20);
  ASSERT_TRUE(more.has_value());
  EXPECT_FALSE(*more);
  EXPECT_EQ(rows.rows(), 10U);
  EXPECT_TRUE(reader.check_shape(tree).has_value());
  EXPECT_EQ(locked_leaves(), "leaf1");
  on_source("ALTER TABLE shop.leaf2 ADD CHECK (id < 1000)");
  EXPECT_TRUE(reader.check_shape(tree).has_value());
  // What becomes of the others is noticed all the same (I10).  Attached, since CREATE TABLE ..
  // PARTITION OF and DETACH PARTITION wait for whoever reads the root.
  on_source("CREATE TABLE shop.leaf20 (LIKE shop.tree)");
  on_source("ALTER TABLE shop.tree ATTACH PARTITION shop.leaf20 FOR VALUES FROM (200) TO (210)");
  const Status changed = reader.check_shape(tree);
  ASSERT_FALSE(changed.has_value());
  EXPECT_EQ(changed.error().code, "filenode");
  EXPECT_EQ(changed.error().reaction, Reaction::Retry);
  reader.end();
}

}  // namespace
}  // namespace lockstep
