// Ranges of one table in two orders: a table counts as compared only once both chains were, also in
// another process.
#include "pipeline/reconcile/range_book.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_verified.h"

namespace lockstep {
namespace {

using From = Compared::From;

constexpr std::uint64_t kBookRows = 10;
constexpr std::string_view kBookTable = "public.t";

VerifiedRange compared_at(std::int64_t at_us, Lsn position) { return {{}, at_us, position, 3}; }

// Takes what is due, and compares it; returns whose order it is of.
From compare_next(RangeBook& book, std::int64_t at_us, Lsn position,
                  const std::optional<std::string>& cut = {}) {
  const auto due = book.due(1, kBookRows);
  EXPECT_TRUE(due);
  const auto id = book.take(due->order, due->range, cut);
  EXPECT_TRUE(id);
  VerifiedRange range = compared_at(at_us, position);
  range.range = due->range;
  if (cut) range.range.upper = cut;
  EXPECT_TRUE(book.compared(*id, range, 0));
  return due->order;
}

TEST(RangeBook, IsComparedOnceBothOrdersAre) {
  FakeVerified store;
  RangeBook book(store, std::string(kBookTable), true);
  ASSERT_TRUE(book.load(0));
  EXPECT_EQ(compare_next(book, 50, 9), From::Source);
  EXPECT_FALSE(book.verified_through());
  EXPECT_EQ(book.oldest_us(), 0);
  EXPECT_EQ(compare_next(book, 40, 7, "m"), From::Target);
  EXPECT_FALSE(book.verified_through());
  EXPECT_EQ(compare_next(book, 60, 8), From::Target);
  EXPECT_EQ(book.verified_through(), 7U);
  EXPECT_EQ(book.oldest_us(), 40);
  EXPECT_FALSE(book.due(1, kBookRows));
  book.ask();
  EXPECT_TRUE(book.due(1, kBookRows));
}

// The target had far more rows than the source: from then on a range of the source's says nothing
// of rows that the target has alone, and a process that comes later must know.
TEST(RangeBook, TwoOrdersAreTwoAlsoForWhoComesLater) {
  FakeVerified store;
  RangeBook book(store, std::string(kBookTable), false);
  ASSERT_TRUE(book.load(0));
  compare_next(book, 50, 9, "m");
  ASSERT_TRUE(book.split());
  EXPECT_EQ(compare_next(book, 60, 9), From::Source);

  RangeBook later(store, std::string(kBookTable), false);
  ASSERT_TRUE(later.load(100));
  EXPECT_TRUE(later.two_orders());
  EXPECT_FALSE(later.verified_through());
  EXPECT_EQ(compare_next(later, 70, 8), From::Target);
  EXPECT_EQ(later.verified_through(), 8U);

  ASSERT_TRUE(later.forget());
  EXPECT_FALSE(later.two_orders());
  EXPECT_TRUE(store.load_ranges(kBookTable)->empty());
  EXPECT_TRUE(store.load_ranges(target_ranges(std::string(kBookTable)))->empty());
}

TEST(RangeBook, SuspectsOfBothOrdersAreToldApart) {
  FakeVerified store;
  RangeBook book(store, std::string(kBookTable), true);
  ASSERT_TRUE(book.load(0));
  const auto of_source = book.take(From::Source, {}, {});
  const auto of_target = book.take(From::Target, {}, {});
  ASSERT_TRUE(of_source && of_target);
  EXPECT_NE(*of_source, *of_target);
  EXPECT_TRUE(book.compared(*of_source, compared_at(50, 7), 1));
  EXPECT_TRUE(book.compared(*of_target, compared_at(51, 8), 1));
  EXPECT_TRUE(book.suspect_over(*of_target, RangeBook::Outcome::Equal));
  EXPECT_TRUE(book.coverage(From::Target).verified_through());
  EXPECT_FALSE(book.coverage(From::Source).verified_through());
  EXPECT_TRUE(book.busy());
  EXPECT_TRUE(book.suspect_over(*of_source, RangeBook::Outcome::Found));
  EXPECT_FALSE(book.busy());
}

TEST(RangeBook, AfterACutThatCannotBeNothingCountsAsCompared) {
  FakeVerified store;
  RangeBook book(store, std::string(kBookTable), true);
  ASSERT_TRUE(book.load(0));
  compare_next(book, 50, 9, "f");
  const auto due = book.due(1, kBookRows);
  ASSERT_TRUE(due);
  const auto taken = book.take(From::Source, {"f", {}}, "f");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reaction, Reaction::StopTable);
  EXPECT_FALSE(book.any_known());
  EXPECT_EQ(book.coverage(From::Source).ranges(), 1U);
  EXPECT_FALSE(book.busy());
}

}  // namespace
}  // namespace lockstep
