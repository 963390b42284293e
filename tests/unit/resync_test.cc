// What a resync refuses, and how it ends then.
#include "daemon/resync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_table.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(Resync, WhatItCannotDoIsTheCallersOrTheManifests) {
  std::vector<TableMap> maps{fake_table({})};
  const std::vector<const TableMap*> tables{&maps[0]};
  const std::string name = maps[0].text();
  EXPECT_TRUE(check_resync({false, {name}}, tables, "shop.yaml"));

  const Status unknown = check_resync({false, {"public.nope"}}, tables, "shop.yaml");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().exit, ExitCode::Usage);
  EXPECT_THAT(unknown.error().message, HasSubstr("see lockstep status shop.yaml"));

  maps[0].partitions = PartitionPolicy::Keep;
  for (const Resync& wanted : {Resync{false, {name}}, Resync{true, {}}}) {
    const Status keeps = check_resync(wanted, tables, "shop.yaml");
    ASSERT_FALSE(keeps);
    EXPECT_EQ(keeps.error().exit, ExitCode::Config);
    EXPECT_THAT(keeps.error().message, HasSubstr("take that out of the manifest"));
  }
}

}  // namespace
}  // namespace lockstep
