// Two manifests with one state_dir: nothing of the one migration is told, ordered or taken away in
// the name of the other.
#include "daemon/state_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "daemon/control_client.h"
#include "daemon/validate/validate.h"
#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class StateDirectory : public Checkpoint {
 protected:
  Manifest manifest(const std::string& migration) const {
    Manifest manifest;
    manifest.path = migration + ".yaml";
    manifest.migration.value = migration;
    manifest.state_dir.value = directory_;
    return manifest;
  }
  static std::string found(const Manifest& manifest) {
    Findings findings(manifest.path, {});
    check_this_host(manifest, findings);
    std::string text;
    for (const Problem& problem : std::move(findings).take()) text += problem.print() + "\n";
    return text;
  }

  const Manifest shop_ = manifest("shop");
  const Manifest other_ = manifest("shop2");
};

// With a slash at its end it was made as a folder above another one: for everybody to read.
TEST_F(StateDirectory, IsMadeForItsUserOnlyHoweverItIsWritten) {
  const mode_t before = ::umask(0022);
  int count = 0;
  for (const char* const end : {"", "/", "//", "/."}) {
    const std::string name = "made" + std::to_string(count++);
    std::ofstream(base_ + "/m.yaml")
        << "version: 1\nmigration: shop\nstate_dir: " << name << end
        << "\nsource: {connect: {host: /tmp, dbname: a, user: a}}\n"
           "target: {connect: {host: /tmp, dbname: b, user: b}}\ntables: [{source: public.*}]\n";
    const Parsed parsed = load_manifest(base_ + "/m.yaml");
    ASSERT_TRUE(parsed.manifest) << name << end;
    EXPECT_EQ(parsed.manifest->state_dir.value.string(), base_ + "/" + name);
    const std::string directory = parsed.manifest->state_dir.value.string();
    ASSERT_TRUE(StateLock::acquire(directory, "", "shop"));
    EXPECT_EQ(std::filesystem::status(directory).permissions(), std::filesystem::perms(0700))
        << end;
  }
  ::umask(before);
}

TEST_F(StateDirectory, ADaemonIsAskedOnlyForItsOwnMigration) {
  const auto store = open();
  const auto owner = find_owner(shop_);
  ASSERT_TRUE(owner && *owner);
  EXPECT_EQ((*owner)->migration, "shop");
  for (const auto& refused : {find_owner(other_), await_owner(other_)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().exit, ExitCode::Config);
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr("'shop'"), HasSubstr("'shop2'")));
  }
  EXPECT_THAT(found(shop_), IsEmpty());
  EXPECT_THAT(found(other_), HasSubstr("'shop', which runs"));
}

TEST_F(StateDirectory, AnOwnerOfAVersionBeforeIsAskedAsBefore) {
  const auto store = open();
  std::ofstream(directory_ + "/lock") << ::getpid() << "\n/run/old.sock\n";
  const auto owner = find_owner(other_);
  ASSERT_TRUE(owner && *owner);
  EXPECT_EQ((*owner)->socket, "/run/old.sock");
  EXPECT_EQ((*owner)->migration, "");
}

TEST_F(StateDirectory, WhatItHoldsIsReadOnlyForItsOwnMigration) {
  EXPECT_TRUE(check_whose(other_)) << "nothing is there yet";
  open();
  EXPECT_TRUE(open_checkpoint(shop_));
  EXPECT_TRUE(check_whose(shop_));
  const auto read = open_checkpoint(other_);
  ASSERT_FALSE(read);
  const Status whose = check_whose(other_);
  ASSERT_FALSE(whose);
  for (const Error& error : {read.error(), whose.error()}) {
    EXPECT_EQ(error.exit, ExitCode::BadData);
    EXPECT_THAT(error.message, HasSubstr("migration 'shop', not 'shop2'"));
  }
  EXPECT_THAT(found(shop_), IsEmpty());
  EXPECT_THAT(found(other_), HasSubstr("error: state directory"));
}

TEST_F(StateDirectory, OfOneThatIsDamagedNobodyCanTell) {
  open();
  std::filesystem::remove(directory_ + "/db/CURRENT");
  const Status whose = check_whose(other_);
  ASSERT_FALSE(whose);
  EXPECT_EQ(whose.error().code, kUnreadable);
}

// TEST-NET-1 is nobody's.
TEST_F(StateDirectory, AnAddressThatThisHostLacksIsNamed) {
  Manifest manifest = shop_;
  manifest.listen.address = "192.0.2.1";
  EXPECT_THAT(found(manifest), IsEmpty()) << "it listens nowhere";
  manifest.listen.port = 9464;
  EXPECT_THAT(found(manifest),
              HasSubstr("warning: listen.address: this host does not have 192.0.2.1"));
  manifest.listen.address = "127.0.0.1";
  EXPECT_THAT(found(manifest), IsEmpty());
}

}  // namespace
}  // namespace lockstep
