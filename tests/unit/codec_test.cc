// The checkpoint's bytes: every record kind, golden and round trip, and what damage does to them.
#include "checkpoint/codec.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<std::uint8_t>(byte));
  return text;
}

bool same(const LaneIntent& a, const LaneIntent& b) {
  return a.lane == b.lane && a.epoch == b.epoch && a.batch == b.batch && a.unseen == b.unseen;
}

// A record's key and value as FORMAT.md gives them: "key value" in hexadecimal digits.
std::string golden(const std::string& key, const std::string& value) {
  EXPECT_TRUE(check_record(key, value));
  return hex(key) + " " + hex(value);
}

// ---- Golden bytes of version 1.  They are on people's disks: a change here is a new version.

TEST(CodecGolden, Identity) {
  const std::string key = record_key(RecordKind::Identity);
  EXPECT_EQ(golden(key, encode(key, MigrationIdentity{"shop", "7", "8", "direct", "s1"})),
            "69 010473686f700137013806646972656374027331d3dead48e21f7251");
}
TEST(CodecGolden, Incarnation) {
  const std::string key = record_key(RecordKind::Incarnation);
  EXPECT_EQ(golden(key, encode(key, Incarnation{3, 1000, {1001, 1003}})),
            "67 0103e80702d20f047bd36ac2b6f24b4c");
}
TEST(CodecGolden, Intent) {
  const std::string key = intent_key(2);
  EXPECT_EQ(golden(key, encode(key, LaneIntent{2, 3, 300, {1001, 1000}})),
            "6c00000002 0103ac0202d20f01bd1696ea96f937ff");
}
TEST(CodecGolden, Audit) {
  const std::string key = audit_key(1);
  EXPECT_EQ(golden(key, encode(key, AuditEntry{-1, "uid 0", "pause", ""})),
            "610000000000000001 010105756964203005706175736500e01a71d7cdacb373");
}
TEST(CodecGolden, Told) {
  const std::string key = told_key(3);
  const ToldEvent event{3, -1, "warn", "a table stopped", {{"table", "public.t"}}};
  EXPECT_EQ(
      golden(key, encode(key, event)),
      "740000000000000003 0101047761726e0f61207461626c652073746f7070656401057461626c6508707562"
      "6c69632e74bfff339a6b90120b");
  ToldEvent again;
  ASSERT_TRUE(decode(key, encode(key, event), again));
  EXPECT_EQ(event, again);
}
TEST(CodecGolden, Evidence) {
  const std::string key = record_key(RecordKind::Evidence, "t/0/17");
  EXPECT_EQ(golden(key, encode(key, Evidence{4, 5, "{}"})),
            "65742f302f3137 010405027b7d141b74c892b82fc1");
}
TEST(CodecGolden, Finding) {
  const std::string key = finding_key("a.t", {2, 1});
  Finding finding;
  finding.id = 5;
  finding.kind = FindingKind::Differing;
  finding.columns = {"v"};
  finding.key = "k";
  finding.cause = "case";
  finding.source_row = "s";
  finding.position = 300;
  finding.first_seen_us = 1;
  finding.last_seen_us = 2;
  EXPECT_EQ(golden(key, encode(key, finding)),
            "66612e740000000000000000010000000000000002 "
            "010502000204ac02016b0463617365017300010176562f7690c4d8fdff");
}
TEST(CodecGolden, FindingWithItsWriter) {
  const std::string key = finding_key("a.t", {2, 1});
  Finding finding;
  finding.id = 5;
  finding.state_since_us = 3;
  finding.writer = {300, "w"};
  const std::string value = encode(key, finding);
  Finding again;
  ASSERT_TRUE(decode(key, value, again));
  EXPECT_EQ(again.state_since_us, 3);
  EXPECT_EQ(again.writer.xid, 300U);
  EXPECT_EQ(again.writer.foreign, "w");
  EXPECT_EQ(golden(key, value),
            "66612e740000000000000000010000000000000002 "
            "01050200000000000000000006ac0201775d74d3f8a089b1ef");
}
TEST(CodecGolden, Range) {
  const std::string key = range_key("a.t", "k");
  EXPECT_EQ(golden(key, encode(key, VerifiedRange{{"k", "m"}, 3, 300, 7})),
            "72612e7400016b 0106ac020701016d34bba57161d9889d");
}
TEST(CodecGolden, Setting) {
  const std::string key = record_key(RecordKind::Setting, "lanes");
  EXPECT_EQ(golden(key, encode(key, StoredSetting{"4", "uid 0", 2})),
            "736c616e6573 01013405756964203004259c7c0fc5a66d3a");
}
TEST(CodecGolden, Note) {
  const std::string note = record_key(RecordKind::Note, "pause");
  EXPECT_EQ(golden(note, encode(note, "all")), "6e7061757365 0103616c6c9ad2c99296029ac2");
}
TEST(CodecGolden, WhatRangesWereComparedWith) {
  const std::string copy = record_key(RecordKind::Copy, "a.t");
  EXPECT_EQ(golden(copy, encode(copy, "0f")), "63612e74 010230660c6227f4b00be534");
  const std::string end = record_key(RecordKind::TargetEnd);
  EXPECT_EQ(golden(end, encode(end, "300")), "77 010333303029dfeecb69e7614a");
}

// ---- Round trips.

// Numbers of every length, and texts with every byte.
class Bits {
 public:
  explicit Bits(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t number() { return engine_() >> (engine_() % 64); }
  std::string text() {
    std::string bytes(number() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(engine_());
    return bytes;
  }
  std::vector<Xid> xids() {
    std::vector<Xid> xids(number() % 9);
    for (Xid& xid : xids) xid = number();
    return xids;
  }

 private:
  std::mt19937_64 engine_;
};

TEST(Codec, DecodesWhatItEncodes) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    Bits random(seed);
    const auto lane = static_cast<std::uint32_t>(random.number());
    const LaneIntent intent{lane, random.number(), random.number(), random.xids()};
    LaneIntent intent_again;
    ASSERT_TRUE(decode(intent_key(lane), encode(intent_key(lane), intent), intent_again));
    EXPECT_TRUE(same(intent, intent_again));

    const std::string one = record_key(RecordKind::Incarnation);
    const Incarnation incarnation{random.number(), random.number(), random.xids()};
    Incarnation incarnation_again;
    ASSERT_TRUE(decode(one, encode(one, incarnation), incarnation_again));
    EXPECT_EQ(incarnation, incarnation_again);
  }
}

TEST(Codec, DecodesWhatItEncodesOfTexts) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    Bits random(seed);
    const auto time = static_cast<std::int64_t>(random.number());
    const AuditEntry entry{time, random.text(), random.text(), random.text()};
    const std::string audit = audit_key(random.number());
    AuditEntry entry_again;
    ASSERT_TRUE(decode(audit, encode(audit, entry), entry_again));
    EXPECT_EQ(entry, entry_again);

    const Evidence evidence{random.number(), random.number(), random.text()};
    const std::string id = record_key(RecordKind::Evidence, random.text());
    Evidence evidence_again;
    ASSERT_TRUE(decode(id, encode(id, evidence), evidence_again));
    EXPECT_EQ(evidence, evidence_again);

    const StoredSetting setting{random.text(), random.text(), time};
    const std::string name = record_key(RecordKind::Setting, random.text());
    StoredSetting setting_again;
    ASSERT_TRUE(decode(name, encode(name, setting), setting_again));
    EXPECT_EQ(setting, setting_again);

    const MigrationIdentity identity{random.text(), random.text(), random.text(), random.text(),
                                     random.text()};
    const std::string own = record_key(RecordKind::Identity);
    MigrationIdentity identity_again;
    ASSERT_TRUE(decode(own, encode(own, identity), identity_again));
    EXPECT_EQ(identity, identity_again);
  }
}

TEST(Codec, KeepsTheLargestNumbers) {
  const LaneIntent intent{0xFFFFFFFF, kLargest, kLargest, {kLargest, 0, kLargest}};
  LaneIntent again;
  ASSERT_TRUE(decode(intent_key(intent.lane), encode(intent_key(intent.lane), intent), again));
  EXPECT_TRUE(same(intent, again));
}

// ---- Damage.

std::string intent_error(const std::string& key, const std::string& value) {
  LaneIntent intent;
  const Status status = decode(key, value, intent);
  if (status) return "";
  EXPECT_EQ(status.error().reaction, Reaction::Halt);
  EXPECT_EQ(status.error().exit, ExitCode::BadData);
  return status.error().message;
}

TEST(CodecDamage, EveryBitFlipIsNoticed) {
  const std::string key = intent_key(3);
  const std::string value = encode(key, LaneIntent{3, 7, 19, {100, 101, 205}});
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THAT(intent_error(key, flipped), HasSubstr("intent of lane 3 is damaged")) << bit;
  }
}

TEST(CodecDamage, EveryCutIsNoticed) {
  const std::string key = intent_key(3);
  const std::string value = encode(key, LaneIntent{3, 7, 19, {100, 101, 205}});
  for (std::size_t size = 0; size < value.size(); ++size)
    EXPECT_NE(intent_error(key, value.substr(0, size)), "") << size;
  EXPECT_NE(intent_error(key, value + '\0'), "");
}

TEST(CodecDamage, AValueUnderAnotherKeyIsNoticed) {
  const std::string value = encode(intent_key(3), LaneIntent{3, 7, 19, {100}});
  EXPECT_THAT(intent_error(intent_key(4), value), HasSubstr("checksum"));
}

TEST(CodecDamage, AKeyOfAnotherKindIsRefused) {
  const std::string key = audit_key(1);
  EXPECT_THAT(intent_error(key, encode(key, AuditEntry{})), HasSubstr("audit entry 1"));
  EXPECT_NE(intent_error("", ""), "");
  EXPECT_NE(intent_error("l", ""), "");
  EXPECT_FALSE(check_record("zzz", "x"));
  EXPECT_FALSE(check_record("", ""));
}

// Bytes with a right checksum around `body`: what no accident produces, but another version may.
std::string with_checksum(std::string_view key, std::string body) {
  append_be64(body, hash128(body, hash128(key, 0).low).low);
  return body;
}

TEST(CodecDamage, ANewerVersionIsNamed) {
  const std::string key = intent_key(3);
  EXPECT_THAT(intent_error(key, with_checksum(key, "\x02\x01\x01")), HasSubstr("its version 2"));
}

TEST(CodecDamage, MalformedFieldsAreNamed) {
  const std::string key = intent_key(3);
  const auto error = [&](std::string body) { return intent_error(key, with_checksum(key, body)); };
  EXPECT_THAT(error("\x01"), HasSubstr("a number in it is malformed"));
  EXPECT_THAT(error("\x01" + std::string(10, '\xFF')), HasSubstr("a number in it is malformed"));
  EXPECT_THAT(error("\x01\x01\x01\x7F"), HasSubstr("a list in it is longer"));
  EXPECT_THAT(error(std::string("\x01\x01\x01\x00\x00", 5)), HasSubstr("bytes follow"));
  const std::string note = record_key(RecordKind::Note, "x");
  std::string text;
  const Status status = decode(note,
                               with_checksum(note,
                                             "\x01\x05"
                                             "ab"),
                               text);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("a text in it is longer"));
}

TEST(Codec, ChecksEveryKind) {
  const std::string own = record_key(RecordKind::Identity);
  EXPECT_TRUE(check_record(own, encode(own, MigrationIdentity{"shop", "", "", "", ""})));
  const std::string one = record_key(RecordKind::Incarnation);
  EXPECT_TRUE(check_record(one, encode(one, Incarnation{})));
  EXPECT_TRUE(check_record(intent_key(0), encode(intent_key(0), LaneIntent{})));
  EXPECT_TRUE(check_record(audit_key(0), encode(audit_key(0), AuditEntry{})));
  const std::string event = record_key(RecordKind::Evidence, "x");
  EXPECT_TRUE(check_record(event, encode(event, Evidence{})));
  const std::string setting = record_key(RecordKind::Setting, "x");
  EXPECT_TRUE(check_record(setting, encode(setting, StoredSetting{})));
  const std::string note = record_key(RecordKind::Note, "x");
  EXPECT_TRUE(check_record(note, encode(note, "text")));
}

}  // namespace
}  // namespace lockstep
