// What commands ask of the daemon about findings: what is written is read, and nothing else.
#include "daemon/repair_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(RepairJson, ARequestIsReadAsItWasWritten) {
  for (const RepairScope scope : {RepairScope::All, RepairScope::Upsert, RepairScope::Insert}) {
    const auto read = parse_repair(repair_json({{17, 18}, scope}));
    ASSERT_TRUE(read);
    EXPECT_THAT(read->ids, testing::ElementsAre(17U, 18U));
    EXPECT_EQ(read->scope, scope);
  }
  const auto seen = parse_repair(repair_json({{17}, RepairScope::All, {{17, {1, 0xfe}}}}));
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->seen.at(17), (Hash128{1, 0xfe}));
  EXPECT_TRUE(parse_repair(R"({"ids": [1], "scope": "all"})")) << "an older command says nothing";
  for (const char* const text :
       {R"({"ids": [1], "scope": "all", "seen": 1})",
        R"({"ids": [1], "scope": "all", "seen": {"1": 1}})",
        R"({"ids": [1], "scope": "all", "seen": {"1": "12"}})",
        R"({"ids": [1], "scope": "all", "seen": {"x": "00000000000000010000000000000002"}})"})
    EXPECT_FALSE(parse_repair(text)) << text;
  for (const char* const text :
       {"", "[]", "{}", R"({"ids": [1]})", R"({"ids": 1, "scope": "all"})",
        R"({"ids": ["1"], "scope": "all"})", R"({"ids": [-1], "scope": "all"})",
        R"({"ids": [1], "scope": "delete"})"})
    EXPECT_FALSE(parse_repair(text)) << text;
}

TEST(RepairJson, AMarkIsReadAsItWasWritten) {
  for (const FindingState to : {FindingState::Undone, FindingState::Repaired}) {
    const auto read = parse_mark(mark_json({17, to}));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->finding, 17U);
    EXPECT_EQ(read->to, to);
  }
  for (const char* const text : {"", "{}", R"({"id": 1})", R"({"id": 1, "state": "open"})",
                                 R"({"id": null, "state": "undone"})"})
    EXPECT_FALSE(parse_mark(text)) << text;
}

TEST(RepairJson, AWriteOfAnUndoIsReadAsItWasWritten) {
  for (const bool writes : {true, false}) {
    const auto read = parse_undo_write(undo_write_json({17, writes}));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->finding, 17U);
    EXPECT_EQ(read->writes, writes);
  }
  EXPECT_FALSE(parse_undo_write(mark_json({17, FindingState::Undone})));
}

TEST(RepairJson, WhatWaitsIsReadAsItWasWritten) {
  for (const char* const waits : {"3 repairs wait", ""}) {
    const auto read = parse_repairs(repairs_json({waits, 7}));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->waits, waits);
    EXPECT_EQ(read->run, 7U);
  }
  for (const char* const text : {"nothing", "{}", R"({"waits": null})"})
    EXPECT_FALSE(parse_repairs(text)) << text;
}

// Issue D, part 5: who did it stands in the audit log.
TEST(RepairJson, TheAuditLogSaysWhoDidWhat) {
  const AuditEntry undone = audit_of(FindingMark{17, FindingState::Undone}, "uid 1000");
  EXPECT_EQ(undone.actor, "uid 1000");
  EXPECT_EQ(undone.verb, "repair undo");
  EXPECT_EQ(undone.details, "finding 17: taken back");
  const AuditEntry asked = audit_of(RepairRequest{{17, 18}, RepairScope::Insert}, "uid 1000");
  EXPECT_EQ(asked.details, "2 findings, scope insert");
  EXPECT_GT(asked.at_us, 0);
}

}  // namespace
}  // namespace lockstep
