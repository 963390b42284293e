#include "checkpoint/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "checkpoint/state_lock.h"

namespace lockstep {
namespace {

constexpr std::size_t kMiB = 1U << 20;
constexpr std::size_t kFreeBytesMin = 16 * kMiB;  // The log's 8 MiB, twice.
// A reader beside a busy owner may look for a file that was just replaced.
constexpr int kReadOnlyAttempts = 5;

// RocksDB's own log lines of a reader go nowhere: it must not write to a directory it only reads.
class NoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

std::string database_path(const std::string& directory) { return directory + "/db"; }
std::string making_path(const std::string& directory) { return directory + "/db.new"; }

rocksdb::Options make_options() {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(4 * kMiB);
  table.cache_index_and_filter_blocks = true;
  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size = 4 * kMiB;
  options.max_write_buffer_number = 2;
  options.max_total_wal_size = 8 * kMiB;
  options.max_open_files = 64;
  options.max_background_jobs = 2;
  options.max_manifest_file_size = kMiB;
  options.compression = rocksdb::kNoCompression;
  options.keep_log_file_num = 2;
  options.max_log_file_size = kMiB;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.paranoid_checks = true;
  options.track_and_verify_wals_in_manifest = true;
  // A torn last record (power loss) is left out; damage anywhere else is an error, where the
  // default would quietly go back to the records before it.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // A full disk answers an error at once; waiting for space is the caller's decision.
  options.max_bgerror_resume_count = 0;
  return options;
}

// Replaying the log takes room, and Debian's RocksDB, built with its assertions, aborts when it
// gets none: better to say so before.
Status check_space(const std::string& directory) {
  struct statvfs space = {};
  if (::statvfs(directory.c_str(), &space) != 0)
    return fail(state_error("asking for free space at " + directory, errno));
  const std::uint64_t free_bytes = std::uint64_t{space.f_bavail} * space.f_frsize;
  // A read-only disk has its own error, which says more.
  if (free_bytes >= kFreeBytesMin || (space.f_flag & ST_RDONLY) != 0) return {};
  return fail(
      Reaction::Halt,
      fmt::format("state directory {} has {} KiB of free space; free {} MiB and start again, "
                  "nothing is lost",
                  directory, free_bytes / 1024, kFreeBytesMin / kMiB),
      ExitCode::Io);
}

bool says(const rocksdb::Status& status, std::string_view text) {
  return status.ToString().find(text) != std::string::npos;
}

Error database_error(const std::string& directory, std::string_view doing,
                     const rocksdb::Status& status) {
  const auto answer = [&](ExitCode exit, std::string_view hint) {
    return Error{Reaction::Halt,
                 fmt::format("{} state directory {} failed: {}; {}", doing, directory,
                             status.ToString(), hint),
                 exit,
                 {}};
  };
  if (says(status, "Permission denied") || says(status, "Read-only file system"))
    return answer(ExitCode::Permission,
                  "let the user that runs lockstep own and write the state directory");
  if (says(status, "lock hold") || says(status, "While lock file"))
    return answer(ExitCode::Temporary, "another process has it open: stop that one first");
  if (status.IsCorruption() || status.IsInvalidArgument() || status.IsNotSupported() ||
      status.IsNotFound() || status.IsPathNotFound())
    return answer(ExitCode::BadData, "it is damaged; " + std::string(kMoveAway));
  return answer(ExitCode::Io, "free space or repair the disk, then start again; nothing is lost");
}

}  // namespace

Status sync_directory(const std::string& directory) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return fail(state_error("opening " + directory, errno));
  const int answer = ::fsync(file);
  const int error_number = errno;
  ::close(file);
  if (answer != 0) return fail(state_error("syncing " + directory, error_number));
  return {};
}

Database::Database(std::string directory, std::unique_ptr<rocksdb::DB> db)
    : directory_(std::move(directory)),
      db_(std::move(db)),
      failed_(std::make_unique<std::atomic<bool>>(false)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

bool Database::exists(const std::string& directory) {
  std::error_code ignored;  // What cannot be looked at fails with its reason when it is opened.
  return std::filesystem::exists(database_path(directory), ignored);
}

Status Database::create(const std::string& directory, const RecordWrite& first) {
  LOCKSTEP_TRY(check_space(directory));
  const std::string making = making_path(directory);
  std::error_code error;
  std::filesystem::remove_all(making, error);
  if (error) return fail(state_error("removing " + making, error.value()));
  rocksdb::Options options = make_options();
  options.create_if_missing = true;
  options.error_if_exists = true;
  {
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, making, &raw);
    if (!status.ok()) return fail(database_error(directory, "making", status));
    Database database(directory, std::unique_ptr<rocksdb::DB>(raw));
    LOCKSTEP_TRY(database.write({&first, 1}, Durability::Synced));
  }
  return sync_directory(directory);
}

Status Database::publish(const std::string& directory) {
  std::error_code error;
  std::filesystem::rename(making_path(directory), database_path(directory), error);
  if (error) return fail(state_error("renaming " + making_path(directory), error.value()));
  return sync_directory(directory);
}

Result<Database> Database::open(const std::string& directory) {
  LOCKSTEP_TRY(check_space(directory));
  // Of a version before: for its user alone, as its files are by now.
  std::error_code ignored;  // Some file systems know no modes.
  std::filesystem::permissions(database_path(directory), std::filesystem::perms(0700), ignored);
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(make_options(), database_path(directory), &raw);
  if (!status.ok()) return fail(database_error(directory, "opening", status));
  return Database(directory, std::unique_ptr<rocksdb::DB>(raw));
}

Result<Database> Database::open_read_only(const std::string& directory) {
  rocksdb::Options options = make_options();
  options.info_log = std::make_shared<NoLog>();
  rocksdb::Status status;
  for (int attempt = 0; attempt < kReadOnlyAttempts; ++attempt) {
    rocksdb::DB* raw = nullptr;
    status = rocksdb::DB::OpenForReadOnly(options, database_path(directory), &raw);
    if (status.ok()) return Database(directory, std::unique_ptr<rocksdb::DB>(raw));
  }
  return fail(database_error(directory, "reading", status));
}

Result<std::optional<std::string>> Database::get(std::string_view key) const {
  std::string value;
  const rocksdb::Status status = db_->Get({}, rocksdb::Slice(key.data(), key.size()), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return fail(database_error(directory_, "reading", status));
  return std::optional<std::string>(std::move(value));
}

Status Database::scan(std::string_view prefix, const Visit& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> record(db_->NewIterator(options));
  const rocksdb::Slice first(prefix.data(), prefix.size());
  for (record->Seek(first); record->Valid() && record->key().starts_with(first); record->Next())
    LOCKSTEP_TRY(visit(record->key().ToStringView(), record->value().ToStringView()));
  if (!record->status().ok()) return fail(database_error(directory_, "reading", record->status()));
  return {};
}

Status Database::write(std::span<const RecordWrite> records, Durability durability) {
  if (failed_->load(std::memory_order_relaxed))
    return fail(
        Reaction::Halt,
        fmt::format("state directory {} takes no more writes after one failed; free space or "
                    "repair the disk, then start again; nothing is lost",
                    directory_),
        ExitCode::Io);
  rocksdb::WriteBatch batch;
  for (const RecordWrite& record : records) {
    const rocksdb::Status status =
        record.value ? batch.Put(record.key, *record.value) : batch.Delete(record.key);
    if (!status.ok()) return fail(database_error(directory_, "writing", status));
  }
  rocksdb::WriteOptions options;
  options.sync = durability == Durability::Synced;
  const rocksdb::Status status = db_->Write(options, &batch);
  if (status.ok()) return {};
  failed_->store(true, std::memory_order_relaxed);
  return fail(database_error(directory_, "writing", status));
}

Status Database::verify_checksums() const {
  const rocksdb::Status status = db_->VerifyChecksum();
  if (!status.ok()) return fail(database_error(directory_, "reading", status));
  return {};
}

}  // namespace lockstep
