// What is measured of both servers leaves out what we ourselves are behind.
#include "daemon/load_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// A connector confirms what it has read once a minute: its lag would keep the copy slow for ever.
TEST(LoadWatch, WhoeverReadsOurSlotIsNoReplica) {
  EXPECT_THAT(replica_lag_sql("it's ours"),
              HasSubstr("pid IS DISTINCT FROM (SELECT active_pid FROM pg_replication_slots WHERE "
                        "slot_name = 'it''s ours')"));
  EXPECT_THAT(replica_lag_sql("ours"), HasSubstr("application_name NOT LIKE 'lockstep %'"));
}

}  // namespace
}  // namespace lockstep
