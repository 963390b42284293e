#include "pipeline/shape_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

const TableFiles kTwo{{16'384, 4'294'967'295, 0, "public.log"}, {16'390, 0, 7, "public.log_1"}};

TEST(ShapeWatchFiles, AreReadAsTheyWereWritten) {
  const KnownFiles known = parse_files(files_text(kTwo));
  EXPECT_FALSE(known.copy_again);
  ASSERT_EQ(known.files.size(), kTwo.size());
  for (std::size_t i = 0; i < kTwo.size(); ++i) {
    EXPECT_EQ(known.files[i].relation, kTwo[i].relation);
    EXPECT_EQ(known.files[i].node, kTwo[i].node);
    EXPECT_EQ(known.files[i].bond, kTwo[i].bond);
  }
}

TEST(ShapeWatchFiles, TheMarkIsSetOnceAndKeepsTheFiles) {
  const std::string marked = copy_again_text(files_text(kTwo));
  EXPECT_EQ(copy_again_text(marked), marked);
  const KnownFiles known = parse_files(marked);
  EXPECT_TRUE(known.copy_again);
  EXPECT_EQ(files_text(known.files), files_text(kTwo));
}

TEST(ShapeWatchFiles, AMarkBeforeNoFilesIsAMark) {
  const KnownFiles known = parse_files(copy_again_text(""));
  EXPECT_TRUE(known.copy_again);
  EXPECT_TRUE(known.files.empty());
}

}  // namespace
}  // namespace lockstep
