// A text fits a terminal of any size, and says how much of it is not shown.
#include "daemon/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TerminalTest, ShortTextStaysAsItIs) {
  EXPECT_THAT(fitted("a\n\nb\n", {80, 24}), ElementsAre("a", "", "b"));
  EXPECT_THAT(fitted("", {80, 24}), IsEmpty());
  EXPECT_THAT(fitted("a\nb", {80, 2}), ElementsAre("a", "b"));
}

TEST(TerminalTest, LongTextIsCutWithACount) {
  EXPECT_THAT(fitted("a\nb\nc\nd\n", {80, 3}), ElementsAre("a", "b", ".. and 2 lines more"));
  EXPECT_THAT(fitted("a\nb\n", {5, 1}), ElementsAre(".. a…"));
}

TEST(TerminalTest, WidthIsInCharacters) {
  EXPECT_THAT(fitted("äöüäöü", {5, 24}), ElementsAre("äöüä…"));
  EXPECT_THAT(fitted("äöüäö", {5, 24}), ElementsAre("äöüäö"));
}

}  // namespace
}  // namespace lockstep
