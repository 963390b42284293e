// Folding keeps the meaning of a batch with fewer statements (I19).
#include "pipeline/apply/fold.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "pipeline/model/key.h"
#include "tests/fakes/fake_table.h"

namespace lockstep {
namespace {

class FoldTest : public ::testing::Test {
 protected:
  void full(int id, const std::string& a, const std::string& toast) {
    add(WriteKind::Upsert, DebtRule::Clear, {id, 0, a, toast, ""}, {});
  }
  void partial(int id, const std::string& a) {
    add(WriteKind::Update, DebtRule::Keep, {id, 0, a, "", ""}, {true, false, false});
  }
  void owe(int id) { add(WriteKind::OpenDebt, DebtRule::Keep, {id, 0, "", "", ""}, {}); }
  void remove(int id) { add(WriteKind::Delete, DebtRule::Clear, {id, 0, "", "", ""}, {}); }
  void chunk_row(int id, const std::string& a, const Snapshot& snapshot) {
    add(WriteKind::Upsert, DebtRule::ClearVisible, {id, 0, a, "toast", ""}, {}, &snapshot);
  }

  // "upsert 1=a/toast 2=...; delete 3": the runs as text.
  std::string runs() {
    std::string text;
    for (const lockstep::Run& run : fold_.runs()) {
      if (!text.empty()) text += "; ";
      text += run.kind == WriteKind::Upsert     ? "upsert"
              : run.kind == WriteKind::Update   ? "update"
              : run.kind == WriteKind::OpenDebt ? "owe"
                                                : "delete";
      for (const Write& write : run.writes) {
        text += " " + std::to_string(key_id(*run.table, write.key));
        if (run.kind == WriteKind::Delete || run.kind == WriteKind::OpenDebt) continue;
        const FakeRow row = read_row(*run.table, write.row).row;
        text += "=" + row.a + "/" + row.toast;
      }
    }
    return text;
  }

  TableMap table_ = fake_table({});
  Fold fold_;

 private:
  void add(WriteKind kind, DebtRule rule, const FakeRow& row, Carried carried,
           const Snapshot* snapshot = nullptr) {
    const std::string& key = bytes_.emplace_back(key_cells(table_, row.id, row.scale));
    const std::string& cells = bytes_.emplace_back(row_cells(table_, row, carried));
    Effect effect;
    effect.table = &table_;
    effect.kind = kind;
    effect.rule = rule;
    effect.snapshot = snapshot;
    effect.write = {cells, key, key_hash(table_, key), 7, 0, DebtReason::None, {}};
    fold_.add(effect);
  }
  std::deque<std::string> bytes_;
};

// Both halves of a key change in one batch: nothing is read again.
TEST_F(FoldTest, AWholeImageEndsADebtThatIsNotOpenYet) {
  owe(1);
  full(1, "a", "t");
  EXPECT_EQ(runs(), "upsert 1=a/t");
}

TEST_F(FoldTest, APartOfARowEndsNoDebt) {
  owe(1);
  partial(1, "a");
  EXPECT_EQ(runs(), "owe 1; update 1=a/");
}

TEST_F(FoldTest, TheLastFullImageWins) {
  full(1, "x", "t1");
  full(1, "y", "t2");
  EXPECT_EQ(runs(), "upsert 1=y/t2");
}

TEST_F(FoldTest, APartialChangeKeepsTheToastValueBeforeIt) {
  full(1, "x", "t1");
  partial(1, "y");
  EXPECT_EQ(runs(), "upsert 1=y/t1");
}

TEST_F(FoldTest, DeleteThenInsertIsFull) {
  remove(1);
  full(1, "y", "t2");
  EXPECT_EQ(runs(), "upsert 1=y/t2");
}

TEST_F(FoldTest, DeleteThenPartialStaysTwo) {  // The second hits no row: a debt.
  remove(1);
  partial(1, "y");
  EXPECT_EQ(runs(), "delete 1; update 1=y/");
}

TEST_F(FoldTest, OneRunPerKindOfStatement) {
  full(1, "x", "t");
  remove(2);
  full(3, "z", "t");
  EXPECT_EQ(runs(), "upsert 1=x/t 3=z/t; delete 2");
}

TEST_F(FoldTest, RowsOfTwoSnapshotsAreNotFolded) {
  const Snapshot first{5, 5, {}};
  const Snapshot second{9, 9, {}};
  chunk_row(1, "x", first);
  chunk_row(1, "y", second);
  EXPECT_EQ(runs(), "upsert 1=x/toast; upsert 1=y/toast");
}

TEST_F(FoldTest, AChunkRowOverAFullImageClearsAllDebts) {
  const Snapshot snapshot{9, 9, {}};
  full(1, "x", "t");
  chunk_row(1, "y", snapshot);
  const auto folded = fold_.runs();
  ASSERT_EQ(folded.size(), 1u);
  EXPECT_EQ(folded[0].rule, DebtRule::Clear);
}

TEST_F(FoldTest, AnOrderedTableKeepsItsOrder) {
  table_.ordered = true;
  full(1, "x", "t");
  remove(2);
  full(1, "y", "t");
  EXPECT_EQ(runs(), "upsert 1=x/t; delete 2; upsert 1=y/t");
}

TEST_F(FoldTest, AnOrderedTableFoldsNeighboursOfOneKey) {
  table_.ordered = true;
  full(1, "x", "t");
  partial(1, "y");
  full(2, "z", "t");
  EXPECT_EQ(runs(), "upsert 1=y/t 2=z/t");
}

TEST_F(FoldTest, UpdatesOfAnOrderedTableGoOneByOne) {
  table_.ordered = true;
  partial(1, "x");
  partial(2, "y");
  EXPECT_EQ(runs(), "update 1=x/; update 2=y/");
}

// Two different hashes may be one row for the server, which refuses to touch it twice.
TEST_F(FoldTest, OpaqueKeysShareNoStatement) {
  table_.ordered = true;
  table_.canonical = {CanonicalRule::Opaque};
  full(1, "x", "t");
  full(2, "y", "t");
  EXPECT_EQ(runs(), "upsert 1=x/t; upsert 2=y/t");
}

}  // namespace
}  // namespace lockstep
