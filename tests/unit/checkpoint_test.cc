// The state directory: one owner, its own migration only, everything kept, every damage noticed.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// ---- One owner.

TEST_F(Checkpoint, MakesTheDirectoryForItsUserOnly) {
  const auto store = open();
  struct stat status = {};
  ASSERT_EQ(::stat(directory_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

// Findings hold rows.  A directory that was there may be open to all, as one of mkdir's is.
TEST_F(Checkpoint, WhatItHoldsIsForItsUserOnly) {
  std::filesystem::create_directories(directory_);
  std::filesystem::permissions(directory_, std::filesystem::perms(0755));
  const mode_t before = ::umask(0022);
  const auto readable = [&] {
    std::string names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_))
      if ((entry.status().permissions() & std::filesystem::perms(0077)) !=
          std::filesystem::perms::none)
        names += entry.path().string() + " ";
    return names;
  };
  {
    const auto store = open();
    ASSERT_TRUE(store->save_note("a", "b"));
    EXPECT_EQ(readable(), "");
  }
  std::filesystem::permissions(directory_ + "/db", std::filesystem::perms(0755));
  open();
  EXPECT_EQ(readable(), "");
  ::umask(before);
}

TEST_F(Checkpoint, NamesTheOwnerToASecondProcess) {
  const auto store = open();
  const Error error = refused(options());
  EXPECT_EQ(error.exit, ExitCode::Temporary);
  EXPECT_THAT(error.message, AllOf(HasSubstr(fmt::format("in use by process {}", ::getpid())),
                                   HasSubstr(directory_)));
}

TEST_F(Checkpoint, TellsWhoOwnsItWhileSomeoneDoes) {
  EXPECT_EQ(read_lock_owner(directory_)->has_value(), false);
  {
    const auto store = open();
    const auto owner = read_lock_owner(directory_);
    ASSERT_TRUE(owner && *owner);
    EXPECT_EQ((*owner)->pid, ::getpid());
    EXPECT_EQ((*owner)->socket, directory_ + "/control.sock");
    EXPECT_EQ((*owner)->migration, "shop");
  }
  EXPECT_EQ(read_lock_owner(directory_)->has_value(), false);
  EXPECT_TRUE(open());
}

// Between its lock and its text an owner leaves that of an older one, which is dead: here it is one
// that lets go soon, as a command does.
TEST_F(Checkpoint, ATextOfOneThatIsDeadIsNotBelieved) {
  std::filesystem::create_directories(directory_);
  auto owner = StateLock::acquire(directory_, "", "shop");
  ASSERT_TRUE(owner);
  const ::pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  std::ofstream(directory_ + "/lock") << dead << "\n/run/old.sock\n";
  auto taken = std::async(std::launch::async, [this] {
    return StateLock::acquire(directory_, "/run/new.sock", "shop").has_value();
  });
  EXPECT_EQ(taken.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  {
    const StateLock ended = *std::move(owner);
  }
  EXPECT_TRUE(taken.get());
}

// ---- Other processes (Child).

StoreOptions helper_options() {
  StoreOptions options;
  options.directory = Child::directory();
  options.identity = kShop;
  options.socket = "/run/shop.sock";
  return options;
}

TEST(Helper, DISABLED_FillsAndHolds) {
  auto store = RocksdbStore::open(helper_options());
  ASSERT_TRUE(store);
  fill(**store, 20);
  Child::say_ready();
  for (;;) ::pause();  // Until the test kills it.
}

TEST(Helper, DISABLED_HoldsAsACommandDoes) {
  const auto lock = StateLock::acquire(Child::directory(), "", "shop");
  ASSERT_TRUE(lock);
  Child::say_ready();
  for (;;) ::pause();
}

// Saves intents until the disk is full, and ends well if that was answered as it should be.
TEST(Helper, DISABLED_FillsTheDisk) {
  auto store = RocksdbStore::open(helper_options());
  ASSERT_TRUE(store);
  fill(**store, 3);
  ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit = {64U << 10, 64U << 10};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  Child::say_ready();
  Status status;
  std::uint64_t saved = 3;
  for (; status && saved < 10'000; ++saved) status = (*store)->save_intent(intent(0, saved + 1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().exit, ExitCode::Io);
  EXPECT_EQ(status.error().reaction, Reaction::Halt);
  std::ofstream(Child::directory() + "/saved") << saved - 1;
}

TEST(Helper, DISABLED_MayNotWrite) {
  if (::getuid() == 0) {
    ASSERT_EQ(::setresuid(65534, 65534, 65534), 0);
  }
  Child::say_ready();
  const auto store = RocksdbStore::open(helper_options());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().exit, ExitCode::Permission);
  EXPECT_THAT(store.error().message, HasSubstr("Permission denied"));
}

TEST_F(Checkpoint, AKilledOwnerLeavesNoLockAndEverythingItSaved) {
  Child child("FillsAndHolds", directory_);
  EXPECT_EQ(refused(options()).exit, ExitCode::Temporary);
  const auto owner = read_lock_owner(directory_);
  ASSERT_TRUE(owner && *owner);
  EXPECT_EQ((*owner)->pid, child.pid());
  EXPECT_EQ((*owner)->socket, "/run/shop.sock");
  child.kill();
  EXPECT_FALSE(*read_lock_owner(directory_));
  const Seen seen = see(open()->read());
  EXPECT_THAT(seen.intents, HasSubstr("1:5:20:1020,2020"));
  EXPECT_THAT(seen.events, HasSubstr("{\"broken\":"));
}

// An order to a daemon that is down keeps none from starting.
TEST_F(Checkpoint, TheEndOfACommandIsAwaited) {
  Child child("HoldsAsACommandDoes", directory_);
  auto opened = std::async(std::launch::async, [&] { return open() != nullptr; });
  EXPECT_EQ(opened.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  child.kill();
  EXPECT_TRUE(opened.get());
}

TEST_F(Checkpoint, IsReadableBesideItsOwnerAndChangesNothing) {
  Child child("FillsAndHolds", directory_);
  const auto before = files_of(directory_);
  const Seen seen = see(directory_);
  EXPECT_FALSE(seen.error);
  EXPECT_THAT(seen.intents, HasSubstr("0:5:20:1020,2020"));
  EXPECT_EQ(files_of(directory_), before);
  child.kill();
  EXPECT_EQ(see(directory_).intents, seen.intents);
  EXPECT_EQ(files_of(directory_), before);
}

TEST_F(Checkpoint, AFullDiskStopsWithNothingLost) {
  Child child("FillsTheDisk", directory_);
  ASSERT_EQ(child.wait(), 0);
  std::uint64_t saved = 0;
  std::ifstream(directory_ + "/saved") >> saved;
  EXPECT_GT(saved, 3U);
  const auto intents = open()->read().load_intents();
  ASSERT_TRUE(intents);
  EXPECT_GE(intents->at(0).batch, saved);
  EXPECT_LE(intents->at(0).batch, saved + 1);
}

TEST_F(Checkpoint, MissingPermissionIsNamed) {
  ASSERT_TRUE(std::filesystem::create_directories(directory_));
  std::filesystem::permissions(directory_, std::filesystem::perms(0555));
  EXPECT_EQ(Child("MayNotWrite", directory_).wait(), 0);
}

// ---- Its own migration only.

TEST_F(Checkpoint, AnotherMigrationIsRefusedWithBothNames) {
  open();
  MigrationIdentity other = kShop;
  other.migration = "crm";
  other.target_system = "9999";
  const Error error = refused(options(other));
  EXPECT_EQ(error.exit, ExitCode::BadData);
  EXPECT_THAT(error.message, AllOf(HasSubstr("migration 'shop', not 'crm'"),
                                   HasSubstr("target system identifier '7002', not '9999'"),
                                   HasSubstr("state_dir of its own")));
  EXPECT_EQ(see(open()->read()).rare, "shop/7001/7002/debezium/shopprefix;none");
}

TEST_F(Checkpoint, LearnsTheServersLaterAndHoldsOnToThem) {
  {
    const auto store = open(options({"shop", "", "", "direct", "lockstep_shop"}));
    EXPECT_TRUE(store->confirm({"shop", "7001", "", "", ""}));
    EXPECT_TRUE(store->confirm({"shop", "7001", "7002", "", ""}));
    EXPECT_FALSE(store->confirm({"shop", "7777", "", "", ""}));
  }
  EXPECT_THAT(refused(options({"shop", "7001", "7002", "direct", "other"})).message,
              HasSubstr("slot 'lockstep_shop', not 'other'"));
  EXPECT_EQ(see(directory_).rare, "shop/7001/7002/direct/lockstep_shop;none");
}

// ---- Keeping.

TEST_F(Checkpoint, KeepsEverythingOverARestart) {
  Seen before;
  {
    const auto store = open();
    fill(*store, 3);
    before = see(store->read());
  }
  const Seen again = see(open()->read());
  EXPECT_FALSE(again.error);
  EXPECT_EQ(again.rare, before.rare);
  EXPECT_EQ(again.intents, "0:5:3:1003,2003;1:5:3:1003,2003;");
  EXPECT_EQ(again.events, before.events);
  EXPECT_EQ(see(directory_).rare, before.rare);
}

TEST_F(Checkpoint, ForgetsWhatIsRemoved) {
  const auto store = open();
  fill(*store, 1);
  EXPECT_TRUE(store->remove_setting("rate_limit"));
  EXPECT_TRUE(store->remove_note("pause"));
  EXPECT_TRUE(store->remove_evidence("shop.public.orders/0/17"));
  EXPECT_TRUE(store->remove_evidence("never there"));
  EXPECT_THAT(*store->read().load_settings(), IsEmpty());
  EXPECT_FALSE(*store->read().load_note("pause"));
  EXPECT_THAT(*store->read().list_evidence(), IsEmpty());
}

TEST_F(Checkpoint, AnEmptyDirectoryHoldsNothingYet) {
  EXPECT_FALSE(*CheckpointReader::open(directory_, "shop"));
  const auto store = open();
  EXPECT_THAT(*store->read().load_intents(), IsEmpty());
  EXPECT_FALSE(*store->read().load_incarnation());
}

// What lanes, scanners and the control thread do at the same time (./run test --long: under TSan).
TEST_F(Checkpoint, IsSafeForConcurrentUse) {
  const auto store = open();
  const auto work = [&](std::uint32_t lane) {
    for (std::uint64_t batch = 1; batch <= 50; ++batch) {
      EXPECT_TRUE(store->save_intent(intent(lane, batch)));
      EXPECT_TRUE(store->save_evidence(fmt::format("{}/{}", lane, batch), "event"));
      if (batch % 10 == 0) {
        EXPECT_TRUE(store->append_audit({0, "uid 0", "pause", ""}));
        EXPECT_TRUE(store->save_note(fmt::format("note {}", lane), "text"));
        EXPECT_TRUE(store->read().list_evidence());
      }
    }
  };
  std::vector<std::future<void>> lanes;
  for (const std::uint32_t lane : {0U, 1U, 2U, 3U})
    lanes.push_back(std::async(std::launch::async, work, lane));
  for (std::future<void>& lane : lanes) lane.get();
  EXPECT_THAT(*store->read().load_audit(100), SizeIs(20));
  EXPECT_THAT(*store->read().list_evidence(), SizeIs(200));
  EXPECT_EQ(store->read().load_intents()->at(3).batch, 50U);
  EXPECT_FALSE(see(store->read()).error);
}

// ---- Bounds.

std::vector<std::string> evidence_ids(const CheckpointReader& reader) {
  std::vector<std::string> ids;
  const auto list = reader.list_evidence();
  EXPECT_TRUE(list);
  for (const EvidenceInfo& event : *list) ids.push_back(event.id);
  return ids;
}

TEST_F(Checkpoint, TheOldestEvidenceGoesFirst) {
  StoreOptions small = options();
  small.evidence_events_max = 3;
  {
    const auto store = open(small);
    for (const char* id : {"z", "y", "x", "w"}) EXPECT_TRUE(store->save_evidence(id, "event"));
    EXPECT_THAT(evidence_ids(store->read()), ElementsAre("y", "x", "w"));
    EXPECT_TRUE(store->save_evidence("y", "again"));
    EXPECT_THAT(evidence_ids(store->read()), ElementsAre("x", "w", "y"));
  }
  const auto store = open(small);
  EXPECT_TRUE(store->save_evidence("v", "event"));
  EXPECT_THAT(evidence_ids(store->read()), ElementsAre("w", "y", "v"));
}

TEST_F(Checkpoint, EvidenceIsBoundedInBytes) {
  StoreOptions small = options();
  small.evidence_bytes_max = 100;
  small.evidence_event_bytes_max = 60;
  const auto store = open(small);
  EXPECT_TRUE(store->save_evidence("a", std::string(40, 'a')));
  EXPECT_TRUE(store->save_evidence("b", std::string(50, 'b')));
  EXPECT_TRUE(store->save_evidence("c", std::string(1000, 'c')));
  EXPECT_THAT(evidence_ids(store->read()), ElementsAre("c"));
  const auto cut = store->read().load_evidence("c");
  EXPECT_EQ((*cut)->bytes, std::string(60, 'c'));
  EXPECT_EQ((*cut)->event_bytes, 1000U);
}

TEST_F(Checkpoint, TheAuditLogKeepsTheNewestInOrder) {
  StoreOptions small = options();
  small.audit_entries_max = 3;
  for (std::int64_t round = 0; round < 2; ++round) {
    const auto store = open(small);
    for (std::int64_t i = 1; i <= 3; ++i)
      EXPECT_TRUE(store->append_audit({round * 10 + i, "uid 0", "pause", ""}));
  }
  const auto store = open(small);
  EXPECT_TRUE(store->append_audit({20, "uid 0", "resume", ""}));
  std::vector<std::int64_t> times;
  const auto audit = store->read().load_audit(10);
  for (const AuditEntry& entry : *audit) times.push_back(entry.at_us);
  EXPECT_THAT(times, ElementsAre(12, 13, 20));
  EXPECT_THAT(*store->read().load_audit(1), SizeIs(1));
}

}  // namespace
}  // namespace lockstep
