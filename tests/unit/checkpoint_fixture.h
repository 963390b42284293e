// What the checkpoint's tests share: a directory per test, a full state, and another process.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "checkpoint/rocksdb_store.h"

extern char** environ;

namespace lockstep {

inline const MigrationIdentity kShop{"shop", "7001", "7002", "debezium", "shopprefix"};

// A state directory of its own for each test.
class Checkpoint : public testing::Test {
 public:
  ~Checkpoint() override { std::filesystem::remove_all(base_); }

 protected:
  Checkpoint() {
    std::string pattern = testing::TempDir() + "lockstep_checkpoint_XXXXXX";
    base_ = ::mkdtemp(pattern.data());
    directory_ = base_ + "/state/shop";
  }

  StoreOptions options(MigrationIdentity identity = kShop) const {
    StoreOptions options;
    options.directory = directory_;
    options.identity = std::move(identity);
    options.socket = directory_ + "/control.sock";
    return options;
  }
  std::unique_ptr<RocksdbStore> open(const StoreOptions& with) const {
    Result<std::unique_ptr<RocksdbStore>> store = RocksdbStore::open(with);
    EXPECT_TRUE(store) << store.error().message;
    return store ? *std::move(store) : nullptr;
  }
  std::unique_ptr<RocksdbStore> open() const { return open(options()); }
  // Opens where that must fail.
  Error refused(const StoreOptions& with) const {
    const Result<std::unique_ptr<RocksdbStore>> store = RocksdbStore::open(with);
    EXPECT_FALSE(store);
    return store ? Error{} : store.error();
  }

  std::string base_;
  std::string directory_;
};

// Everything a reader answers, as text: equal texts are equal states.  "" and the error otherwise.
struct Seen {
  std::string rare;     // What must never go back.
  std::string intents;  // What may be older after a crash, since the target's progress tells.
  std::string events;   // What may be older or missing.
  std::optional<Error> error;
};

inline Seen see(const CheckpointReader& reader) {
  Seen seen;
  const auto take = [&](auto result) {
    if (result) return *std::move(result);
    seen.error = std::move(result).error();
    return decltype(*std::move(result)){};
  };
  const auto identity = take(reader.identity());
  seen.rare = fmt::format("{}/{}/{}/{}/{};", identity.migration, identity.source_system,
                          identity.target_system, identity.stream_kind, identity.stream_name);
  if (const auto incarnation = take(reader.load_incarnation()))
    seen.rare += fmt::format("{}:{}:{};", incarnation->epoch, incarnation->floor,
                             fmt::join(incarnation->unseen, ","));
  for (const AuditEntry& entry : take(reader.load_audit(1000)))
    seen.rare += fmt::format("{}:{}:{}:{};", entry.at_us, entry.actor, entry.verb, entry.details);
  for (const auto& [name, setting] : take(reader.load_settings()))
    seen.rare += fmt::format("{}={}:{}:{};", name, setting.value, setting.actor, setting.at_us);
  seen.rare += take(reader.load_note("pause")).value_or("none");
  for (const LaneIntent& intent : take(reader.load_intents()))
    seen.intents += fmt::format("{}:{}:{}:{};", intent.lane, intent.epoch, intent.batch,
                                fmt::join(intent.unseen, ","));
  for (const EvidenceInfo& event : take(reader.list_evidence()))
    if (const auto bytes = take(reader.load_evidence(event.id)))
      seen.events +=
          fmt::format("{}:{}:{}:{};", event.id, event.sequence, event.event_bytes, bytes->bytes);
  return seen;
}

// What is seen without the lock.
inline Seen see(const std::string& directory) {
  const Result<std::optional<CheckpointReader>> reader = CheckpointReader::open(directory, "shop");
  if (!reader) return {"", "", "", reader.error()};
  if (!*reader) return {};
  return see(**reader);
}

inline LaneIntent intent(std::uint32_t lane, std::uint64_t batch) {
  return {lane, 5, batch, {1000 + batch, 2000 + batch}};
}

// One of everything, and the intents of `batches` batches in each of two lanes.
inline void fill(RocksdbStore& store, std::uint64_t batches) {
  EXPECT_TRUE(store.begin_incarnation({5, 900, {901, 905}}));
  EXPECT_TRUE(store.append_audit({12, "uid 0 (root)", "pause", "backfill"}));
  EXPECT_TRUE(store.append_audit({13, "uid 0 (root)", "resume", "backfill"}));
  EXPECT_TRUE(store.save_setting("rate_limit", {"5000", "uid 0 (root)", 14}));
  EXPECT_TRUE(store.save_note("pause", "all"));
  EXPECT_TRUE(store.save_evidence("shop.public.orders/0/17", "{\"broken\":"));
  for (std::uint64_t batch = 1; batch <= batches; ++batch) {
    for (const std::uint32_t lane : {0U, 1U}) EXPECT_TRUE(store.save_intent(intent(lane, batch)));
  }
}

inline std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    files[entry.path()] = text.str();
  }
  return files;
}

// Another process: this test binary, running one of the Helper tests (checkpoint_test.cc).
class Child {
 public:
  // Starts `helper` on `directory` and waits until it says that it is ready (or ends).
  Child(const std::string& helper, const std::string& directory) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
    ::setenv("LOCKSTEP_CHECKPOINT_TEST", directory.c_str(), 1);
    std::string filter = "--gtest_filter=Helper.DISABLED_" + helper;
    std::string disabled = "--gtest_also_run_disabled_tests";
    std::string program = "/proc/self/exe";
    std::string brief = "--gtest_brief=1";
    std::array<char*, 5> arguments{program.data(), filter.data(), disabled.data(), brief.data(),
                                   nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], kReadyFile);
    EXPECT_EQ(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "the helper ended before it was ready";
    ::close(ready[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  int pid() const { return pid_; }
  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  // Waits until it ends by itself.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  static void say_ready() { EXPECT_EQ(::write(kReadyFile, "r", 1), 1); }
  static std::string directory() { return std::getenv("LOCKSTEP_CHECKPOINT_TEST"); }

 private:
  static constexpr int kReadyFile = 198;

  pid_t pid_ = 0;
};

}  // namespace lockstep
