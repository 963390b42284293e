#include "pipeline/watch/shape_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

const TableFiles kTwo{{16'384, 4'294'967'295, 0, "public.log"}, {16'390, 0, 7, "public.log_1"}};

const Definition kMade{{"column 1", "23 -1 plain"}, {"column 1 name", "a=b\n\\c"}};

TEST(ShapeWatchFiles, AreReadAsTheyWereWritten) {
  const KnownFiles known = parse_files(files_text(kTwo, 77, kMade)).value();
  EXPECT_FALSE(known.copy_again);
  EXPECT_EQ(known.horizon, 77);
  EXPECT_EQ(known.definition, kMade);
  ASSERT_EQ(known.files.size(), kTwo.size());
  for (std::size_t i = 0; i < kTwo.size(); ++i) {
    EXPECT_EQ(known.files[i].relation, kTwo[i].relation);
    EXPECT_EQ(known.files[i].node, kTwo[i].node);
    EXPECT_EQ(known.files[i].bond, kTwo[i].bond);
  }
}

TEST(ShapeWatchFiles, TheMarkIsSetOnceAndKeepsTheFiles) {
  const std::string marked = copy_again_text(files_text(kTwo, 77, kMade));
  EXPECT_EQ(copy_again_text(marked), marked);
  const KnownFiles known = parse_files(marked).value();
  EXPECT_TRUE(known.copy_again);
  EXPECT_EQ(files_text(known.files, known.horizon.value_or(0), known.definition),
            files_text(kTwo, 77, kMade));
}

TEST(ShapeWatchFiles, BothMarksAreReadInWhicheverOrderTheyWereSet) {
  const std::string files = files_text(kTwo, 77, kMade);
  const std::string both = heal_text(copy_again_text(files), 7);
  EXPECT_EQ(both, copy_again_text(heal_text(files, 7)));
  EXPECT_EQ(heal_text(both, 7), both);
  const KnownFiles known = parse_files(both).value();
  EXPECT_TRUE(known.copy_again);
  EXPECT_EQ(known.heals, 7U);
  EXPECT_EQ(known.files.size(), kTwo.size());
  EXPECT_FALSE(parse_files(heal_text(files, 7)).value().copy_again);
}

// Issue D, part 6: who asks once more has lost something since.
TEST(ShapeWatchFiles, TheMarkOfAHealTellsWhichOneItIs) {
  const std::string files = files_text(kTwo, 77, kMade);
  EXPECT_EQ(heal_text(heal_text(files, 7), 8), heal_text(files, 8));
  EXPECT_EQ(parse_files(heal_text(files, 8)).value().heals, 8U);
  EXPECT_FALSE(parse_files(files).value().heals);
  EXPECT_EQ(parse_files("heal " + files).value().heals, 0U) << "as earlier versions wrote it";
  for (const char* text : {"heal:", "heal:x @5 1/2/3", "heal7 @5 1/2/3", "heal:7x @5 1/2/3"})
    EXPECT_FALSE(parse_files(text)) << text;
}

// As earlier versions wrote them.
TEST(ShapeWatchFiles, MayComeWithoutAHorizon) {
  const KnownFiles known = parse_files("16384/0/0 16390/5/7").value();
  EXPECT_FALSE(known.horizon);
  EXPECT_EQ(known.files.size(), 2);
}

TEST(ShapeWatchFiles, AMarkBeforeNoFilesIsAMark) {
  const KnownFiles known = parse_files(copy_again_text("")).value();
  EXPECT_TRUE(known.copy_again);
  EXPECT_TRUE(known.files.empty());
}

// Issue E, row 19: the row may have been edited by hand.
TEST(ShapeWatchFiles, WhatIsNoneOfOursIsRefused) {
  for (const char* text : {"x", "@", "@x 1/2/3", "@5x1/2/3", "@5 1", "@5 1/2", "@5 1/2/", "1/2/3 ",
                           "1/2/3  4/5/6", "1/2/3/x", "1/2/3,4/5/6", "again x"})
    EXPECT_FALSE(parse_files(text)) << text;
}

}  // namespace
}  // namespace lockstep
