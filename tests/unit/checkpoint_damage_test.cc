// Damage to a state directory is noticed or harmless, never a quietly different state.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "checkpoint/codec.h"
#include "checkpoint/seal.h"
#include "checkpoint/unseen.h"
#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CheckpointDamage : public Checkpoint {
 protected:
  // What opening answers now; "" when it works.
  std::string opening_error() const {
    const Result<std::unique_ptr<RocksdbStore>> store = RocksdbStore::open(options());
    if (store) return "";
    EXPECT_EQ(store.error().exit, ExitCode::BadData) << store.error().message;
    return store.error().message;
  }
  // The files of the database, the lines RocksDB writes for people left out.
  std::vector<std::string> database_files() const {
    std::vector<std::string> files;
    for (const auto& [path, text] : files_of(directory_ + "/db"))
      if (!text.empty() && path.find("/LOG") == std::string::npos) files.push_back(path);
    return files;
  }
  std::string file_like(const std::string& part) const {
    for (const std::string& path : database_files())
      if (path.find(part) != std::string::npos) return path;
    ADD_FAILURE() << "no file like " << part;
    return "";
  }
};

TEST_F(CheckpointDamage, AMissingFileIsNoticed) {
  for (const char* part : {"CURRENT", "MANIFEST", ".sst"}) {
    SCOPED_TRACE(part);
    std::filesystem::remove_all(directory_);
    fill(*open(), 3);
    std::filesystem::remove(file_like(part));
    EXPECT_THAT(opening_error(), AllOf(HasSubstr(directory_), HasSubstr("move it away"),
                                       HasSubstr("an abort and pauses (give these orders again")));
    EXPECT_THAT(see(directory_).error->message, HasSubstr("move it away"));
  }
}

TEST_F(CheckpointDamage, ATruncatedFileIsNoticed) {
  for (const char* part : {"CURRENT", "MANIFEST", ".sst"}) {
    SCOPED_TRACE(part);
    std::filesystem::remove_all(directory_);
    fill(*open(), 3);
    const std::string path = file_like(part);
    std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    EXPECT_THAT(opening_error(), HasSubstr("move it away"));
  }
}

TEST_F(CheckpointDamage, AKillWhileItIsMadeLeavesNothingBehind) {
  std::filesystem::create_directories(directory_ + "/db.new");
  std::ofstream(directory_ + "/db.new/MANIFEST-000001") << "half";
  EXPECT_EQ(opening_error(), "");
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/db.new"));
}

TEST_F(CheckpointDamage, ADirectoryThatIsAFileIsNamed) {
  std::filesystem::create_directories(base_ + "/state");
  std::ofstream(directory_) << "not a directory";
  const Error error = refused(options());
  EXPECT_EQ(error.exit, ExitCode::Io);
  EXPECT_THAT(error.message, HasSubstr(directory_));
}

// Flips one random bit of one random file and back; counts what it led to.
class Flipper {
 public:
  explicit Flipper(std::uint64_t seed) : random_(seed) {}

  // Returns what was flipped, for the trace.
  std::string flip(const std::vector<std::string>& files) {
    path_ = files[random_() % files.size()];
    offset_ = random_() % std::filesystem::file_size(path_);
    mask_ = static_cast<char>(1U << (random_() % 8));
    toggle();
    return fmt::format("{} at {} ^ {:#x}", path_, offset_, static_cast<unsigned>(mask_) & 0xFFU);
  }
  void toggle() const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset_));
    const char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset_));
    file.put(static_cast<char>(byte ^ mask_));
  }

 private:
  std::mt19937_64 random_;
  std::string path_;
  std::uintmax_t offset_ = 0;
  char mask_ = 0;
};

class CheckpointFlips : public CheckpointDamage {
 protected:
  // U as a restart would use it, the target having committed every batch of fill().
  std::optional<Unseen> unseen(std::uint64_t batches) const {
    const auto reader = CheckpointReader::open(directory_, "shop");
    const std::vector<LaneBatch> committed{{0, 5, batches}, {1, 5, batches}};
    return current_unseen(*(*reader)->load_incarnation(), *(*reader)->load_intents(), 5, committed);
  }
  // Flips `rounds` bits one by one: each is noticed, or what is read is what was written; intents
  // may be missing (a flip in the log can look like a torn write), and are then not used.
  void flip(int rounds, std::uint64_t batches) {
    const Seen before = see(directory_);
    const std::optional<Unseen> unseen_before = unseen(batches);
    ASSERT_TRUE(unseen_before);
    const std::vector<std::string> files = database_files();
    Flipper flipper(batches);
    int noticed = 0;
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE(flipper.flip(files));
      const Seen after = see(directory_);
      if (after.error) {
        ++noticed;
        EXPECT_EQ(after.error->exit, ExitCode::BadData) << after.error->message;
      } else {
        EXPECT_EQ(after.rare, before.rare);
        if (after.intents != before.intents) {
          EXPECT_EQ(unseen(batches), std::nullopt);
        }
      }
      flipper.toggle();
    }
    RecordProperty("noticed", noticed);
    EXPECT_GT(noticed, rounds / 4);
  }
};

TEST_F(CheckpointFlips, AThousandAreNoticedOrHarmless) {
  fill(*open(), 30);
  flip(1000, 30);
}

// When it was killed the newest records lie in the log alone.
TEST_F(CheckpointFlips, AfterAKillTheyAreNoticedOrHarmless) {
  Child child("FillsAndHolds", directory_);
  child.kill();
  flip(300, 20);
}

// The owner's own opening, which also repairs and rewrites, on a copy for each flip.
TEST_F(CheckpointFlips, TheOwnerNoticesThemToo) {
  fill(*open(), 30);
  const std::string rare = see(directory_).rare;
  const std::string original = base_ + "/original";
  std::filesystem::rename(directory_, original);
  Flipper flipper(3);
  for (int round = 0; round < 50; ++round) {
    std::filesystem::remove_all(directory_);
    std::filesystem::copy(original, directory_, std::filesystem::copy_options::recursive);
    SCOPED_TRACE(flipper.flip(database_files()));
    const Result<std::unique_ptr<RocksdbStore>> store = RocksdbStore::open(options());
    if (store) {
      EXPECT_EQ(see((*store)->read()).rare, rare);
    } else {
      EXPECT_EQ(store.error().exit, ExitCode::BadData) << store.error().message;
    }
  }
}

// Issue D, part 5: a range that is forgotten is compared anew.
TEST_F(CheckpointDamage, ADamagedRangeOrFindingIsThrownAway) {
  Finding finding;
  finding.table = "a.t";
  finding.key_hash = {1, 2};
  finding.id = 17;
  {
    const auto store = open();
    ASSERT_TRUE(store->verified().save_finding(finding));
    ASSERT_TRUE(store->verified().save_ranges("a.t", std::vector{VerifiedRange{}}, {}));
    ASSERT_TRUE(store->verified().begin_shape("a.u", "shape"));
    ASSERT_TRUE(store->append_audit({1, "uid 0", "repair", ""}));
  }
  finding.key_hash = {3, 4};
  const std::vector<std::string> keys{
      finding_key("a.t", finding.key_hash), range_key("a.t", "m"),
      record_key(RecordKind::Shape, "a.t"), record_key(RecordKind::Heal, "a.t"),
      record_key(RecordKind::Copy, "a.t"),  record_key(RecordKind::TargetEnd)};
  {
    Result<Database> database = Database::open(directory_);
    ASSERT_TRUE(database);
    for (const std::string& key : keys) {
      const RecordWrite damaged{key, "damaged"};
      ASSERT_TRUE(database->write({&damaged, 1}, Durability::Synced));
    }
  }
  EXPECT_FALSE(see(directory_).error) << "who only reads leaves them out";
  {
    const auto store = open();
    EXPECT_EQ(store->dropped().size(), keys.size());
    EXPECT_THAT(store->dropped().front(), HasSubstr("is damaged"));
    EXPECT_EQ(store->verified().load_ranges("a.t")->size(), 1U);
    EXPECT_TRUE(*store->verified().find(17));
    EXPECT_THAT(*store->read().load_audit(10), testing::SizeIs(1));
  }
  EXPECT_TRUE(open()->dropped().empty()) << "they are gone";
}

TEST_F(CheckpointDamage, AMissingOrDamagedSealIsNoticed) {
  fill(*open(), 3);
  std::filesystem::resize_file(directory_ + "/seal", 40);
  EXPECT_THAT(opening_error(), HasSubstr("'seal' is damaged"));
  std::filesystem::remove(directory_ + "/seal");
  EXPECT_THAT(opening_error(), HasSubstr("'seal' is missing"));
}

// The seal of an older state: what a database that lost its newest records looks like.
TEST_F(CheckpointDamage, LostRareRecordsAreNoticed) {
  open();
  std::filesystem::copy(directory_ + "/seal", base_ + "/seal");
  fill(*open(), 3);
  std::filesystem::copy(base_ + "/seal", directory_ + "/seal",
                        std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(opening_error(), HasSubstr("records were lost"));
}

// A kill between seal and record, on either side of the write.
TEST_F(CheckpointDamage, AKillInsideARareWriteIsNotDamage) {
  Fingerprint before;
  {
    const auto store = open();
    const std::string key = record_key(RecordKind::Identity);
    before.toggle(key, encode(key, kShop));
  }
  const Hash128 never_written{1, 2};
  ASSERT_TRUE(write_seal(directory_, {before.hash(), never_written}));
  EXPECT_EQ(opening_error(), "");
  ASSERT_TRUE(write_seal(directory_, {never_written, before.hash()}));
  EXPECT_EQ(opening_error(), "");
  EXPECT_EQ(read_seal(directory_)->before, before.hash());
}

}  // namespace
}  // namespace lockstep
