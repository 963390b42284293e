// What a verb that waits for the daemon says, and when.
#include "daemon/waits.h"

#include <gmock/gmock.h>

namespace lockstep {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kSince = 1'764'216'000'000'000;  // 2025-11-27T04:00:00Z

Pauses paused(std::initializer_list<std::string_view> names) {
  Pauses pauses;
  for (const std::string_view name : names)
    pauses.insert_or_assign(std::string(name), Pause{"uid 7", "release 17", kSince});
  return pauses;
}

RunTableStatus table(std::string name, Stage stage) {
  RunTableStatus status;
  status.table = std::move(name);
  status.counts.life.stage = stage;
  return status;
}

TEST(Waits, APauseIsNamedWithWhoeverOrderedItAndWhatEndsIt) {
  EXPECT_THAT(
      comparison_waits(paused({"reconcile"}), {}, {}, "shop.yaml"),
      ElementsAre("reconcile is paused since 2025-11-27T04:00:00Z by uid 7: release 17; next: "
                  "lockstep resume shop.yaml --scope reconcile"));
  EXPECT_THAT(repair_waits(paused({"apply"}), "shop.yaml"),
              ElementsAre("apply is paused since 2025-11-27T04:00:00Z by uid 7: release 17; next: "
                          "lockstep resume shop.yaml --scope apply"));
  EXPECT_THAT(repair_waits(paused({"abort"}), "shop.yaml"),
              ElementsAre("all writes are aborted since 2025-11-27T04:00:00Z by uid 7: release 17; "
                          "next: lockstep resume shop.yaml"));
  EXPECT_EQ(held_text("table public.t", {"uid 7", "", kSince}, "shop.yaml"),
            "table public.t is paused since 2025-11-27T04:00:00Z by uid 7; next: lockstep resume "
            "shop.yaml --table 'public.t'");
  EXPECT_THAT(repair_waits(paused({"backfill", "table public.t"}), "shop.yaml"), IsEmpty());
}

TEST(Waits, WhatWasShownOfPausesIsReplaced) {
  RunStatus status;  // As that of a run which is over.
  status.waiting_for = {"the target"};
  show_pauses(paused({"abort", "apply"}), status);
  show_pauses(paused({"abort"}), status);
  ASSERT_EQ(status.paused.size(), 1U);
  EXPECT_EQ(status.paused.front().scope, "abort");
  EXPECT_THAT(status.waiting_for, ElementsAre(HasSubstr("all writes are aborted"), "the target"));
}

TEST(Waits, AComparisonWaitsForTheTablesThatWereAskedFor) {
  RunStatus status;
  status.tables = {table("public.a", Stage::Healing), table("public.b", Stage::Copying),
                   table("public.c", Stage::Following), table("public.d", Stage::Stopped)};
  const std::vector<std::string> all{"public.a", "public.b", "public.c", "public.d"};
  const auto waits = comparison_waits({}, status, all, "shop.yaml");
  ASSERT_EQ(waits.size(), 2U) << joined_waits(waits);
  EXPECT_THAT(waits[0], HasSubstr("public.a is being healed"));
  EXPECT_THAT(waits[0], HasSubstr("lockstep status shop.yaml"));
  EXPECT_THAT(waits[1], HasSubstr("public.b is not copied yet"));
  EXPECT_THAT(comparison_waits({}, status, {"public.c"}, "shop.yaml"), IsEmpty());
  EXPECT_THAT(comparison_waits(paused({"backfill"}), status, {"public.b"}, "shop.yaml").front(),
              HasSubstr("lockstep resume shop.yaml --scope backfill"));
  status.trouble = {"the source is away"};
  EXPECT_THAT(comparison_waits({}, status, {}, "shop.yaml"),
              ElementsAre("the source is away; next: lockstep status shop.yaml"));
}

TEST(Waits, ManyAreCutWithACount) {
  EXPECT_EQ(joined_waits({"a", "b", "c", "d", "e"}), "a; b; c; and 2 more");
  EXPECT_EQ(joined_waits({}), "");
}

TEST(Waits, WhateverWritesIsRefusedWhileItIsHeld) {
  EXPECT_TRUE(refuse_while_held(paused({"reconcile", "backfill"}), "shop.yaml"));
  for (const char* const name : {"apply", "abort"}) {
    const Status refused = refuse_while_held(paused({name}), "shop.yaml");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().exit, ExitCode::Temporary);
    EXPECT_THAT(refused.error().message, HasSubstr("lockstep resume shop.yaml"));
  }
}

TEST(Waits, AnAbortIsLeftWhateverElseIsResumed) {
  EXPECT_EQ(abort_left(paused({"apply"}), "shop.yaml"), "");
  EXPECT_THAT(abort_left(paused({"abort"}), "shop.yaml"),
              HasSubstr("next: lockstep resume shop.yaml ends that"));
}

// How often `what` is told within so many seconds, asked five times a second.
int told(WaitNotice& notice, WaitNotice::Time begin, const std::string& what, int from, int to) {
  int count = 0;
  for (int tick = 5 * from; tick < 5 * to; ++tick)
    count += notice.due(what, begin + std::chrono::milliseconds(200 * tick)) ? 1 : 0;
  return count;
}

TEST(WaitNotice, IsGivenOnceAndThenOnceAMinute) {
  const WaitNotice::Time begin{seconds(1000)};
  WaitNotice notice;
  EXPECT_EQ(told(notice, begin, "a pause", 0, 1), 0) << "what is soon over is not told";
  EXPECT_EQ(told(notice, begin, "a pause", 1, 50), 1);
  EXPECT_EQ(told(notice, begin, "a pause", 50, 180), 2);
  EXPECT_EQ(told(notice, begin, "", 180, 240), 0);
  EXPECT_EQ(told(notice, begin, "another pause", 240, 242), 1);
  EXPECT_EQ(told(notice, begin, "60 repairs wait", 242, 250), 1);
  EXPECT_EQ(told(notice, begin, "20 repairs wait", 250, 260), 0) << "a count is no news";
}

// A try of a server that does not answer takes a while, and is no sign that it does; one that lasts
// does something else.
TEST(Waits, AWaitOfPrepareIsOverOnceATryLasts) {
  const PrepareWait::Time begin{std::chrono::hours(1)};
  PrepareWait wait;
  EXPECT_FALSE(wait.shown(begin));
  wait.waits("target: cannot connect", begin);
  wait.tries(begin + seconds(10));
  ASSERT_TRUE(wait.shown(begin + seconds(30)));
  wait.waits("target: cannot connect", begin + seconds(30));
  ASSERT_TRUE(wait.shown(begin + seconds(90)));  // It does not try yet.
  EXPECT_EQ(wait.shown(begin + seconds(90))->seconds, 90);
  wait.tries(begin + seconds(90));
  EXPECT_FALSE(wait.shown(begin + seconds(121)));
  wait.waits("the slot", begin + seconds(130));
  EXPECT_EQ(wait.shown(begin + seconds(131))->seconds, 1);
  wait.clear();
  EXPECT_FALSE(wait.shown(begin + seconds(131)));
}

}  // namespace
}  // namespace lockstep
