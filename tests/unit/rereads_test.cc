#include "pipeline/merge/rereads.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep {
namespace {

constexpr std::array kRead{Hash128{1, 1}, Hash128{2, 2}, Hash128{3, 3}};

TEST(Rereads, HasWhatWasNotedOfItsTableSinceItWatches) {
  Rereads rereads;
  rereads.note(7, kRead);
  rereads.watch(7);
  rereads.note(6, kRead);
  EXPECT_FALSE(rereads.may_have(kRead[0])) << "of before, or of another table";
  rereads.note(7, std::array{kRead[0]});
  EXPECT_TRUE(rereads.may_have(kRead[0]));
  EXPECT_FALSE(rereads.may_have(kRead[1]));
  rereads.watch(7);
  EXPECT_FALSE(rereads.may_have(kRead[0]));
  rereads.end();
  rereads.note(7, kRead);
  EXPECT_FALSE(rereads.may_have(kRead[0])) << "nobody looks";
}

TEST(Rereads, OfTooManyAnyKeyMayBeOne) {
  Rereads rereads(2);
  rereads.watch(0);
  rereads.note(0, kRead);
  EXPECT_TRUE(rereads.may_have(kRead[0]));
  EXPECT_TRUE(rereads.may_have(Hash128{9, 9}));
  rereads.watch(0);
  EXPECT_FALSE(rereads.may_have(kRead[0]));
}

}  // namespace
}  // namespace lockstep
