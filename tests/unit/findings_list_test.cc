// Findings in groups: of all of them, in bounded memory.
#include "daemon/findings_list.h"

#include <gmock/gmock.h>

#include "daemon/resync.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

Finding differing(std::uint64_t id, const std::string& column) {
  Finding finding;
  finding.id = id;
  finding.table = "public.t";
  finding.columns = {column};
  finding.key = "k" + std::to_string(id);
  return finding;
}

TEST(FindingGroups, CountWhatIsAlike) {
  FindingGroups groups;
  for (std::uint64_t id = 20'000; id > 0; --id) groups.add(differing(id, id > 3 ? "b" : "a"));
  const auto taken = groups.take();
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].rows, 19'997U) << "the largest first, and all of them";
  EXPECT_EQ(taken[0].first_id, 4U);
  EXPECT_EQ(taken[0].first_key, "k4");
  EXPECT_EQ(taken[0].columns, "b");
  EXPECT_EQ(taken[1].rows, 3U);
}

TEST(FindingGroups, TellsRowsOfOtherKindsAndStatesApart) {
  FindingGroups groups;
  Finding finding = differing(1, "a");
  groups.add(finding);
  finding.state = FindingState::Undone;
  groups.add(finding);
  finding.kind = FindingKind::ExtraInTarget;
  groups.add(finding);
  EXPECT_EQ(groups.take().size(), 3U);
}

TEST(FindingGroups, WritersAreOneGroupWhateverTheirTransactions) {
  FindingGroups groups;
  for (std::uint64_t id = 1; id <= 50; ++id) {
    Finding finding = differing(id, "a");
    finding.cause = "letter case";
    finding.writer = {
        id, "written on the target by another session, transaction " + std::to_string(id)};
    groups.add(finding);
  }
  const auto taken = groups.take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].cause, "letter case; written on the target by another session");
}

TEST(FindingGroups, AreBoundedAndStillCountAll) {
  FindingGroups groups(10);
  for (std::uint64_t id = 1; id <= 1000; ++id) groups.add(differing(id, std::to_string(id)));
  const auto taken = groups.take();
  ASSERT_EQ(taken.size(), 11U);
  EXPECT_EQ(taken[0].rows, 990U);
  EXPECT_EQ(taken[0].columns, kVarious);
  std::uint64_t rows = 0;
  for (const FindingGroup& group : taken) rows += group.rows;
  EXPECT_EQ(rows, 1000U);
}

TEST(ResyncAdvice, IsGivenWhereMostRowsOfATableAreMissing) {
  EXPECT_THAT(resync_advice("public.t", 3000, 3000, "shop.yaml"),
              HasSubstr("next: lockstep resync shop.yaml --table 'public.t'"));
  EXPECT_NE(resync_advice("public.t", 1500, 3000, "shop.yaml"), "");
  EXPECT_EQ(resync_advice("public.t", 1499, 3000, "shop.yaml"), "");
  EXPECT_EQ(resync_advice("public.t", 3, 3, "shop.yaml"), "") << "a repair does";
  EXPECT_EQ(resync_advice("public.t", 3000, 0, "shop.yaml"), "") << "of how many is not known";
}

}  // namespace
}  // namespace lockstep
