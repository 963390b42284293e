#include "checkpoint/state_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace lockstep {
namespace {

// A lock on the open file description over the whole file.  Unlike flock() it can be asked for
// without being taken (F_OFD_GETLK); unlike a plain POSIX lock, closing another descriptor of the
// same file does not drop it.
struct flock whole_file(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

std::string lock_path(const std::string& directory) { return directory + "/lock"; }

Status make_directory(const std::string& directory) {
  const std::filesystem::path path(directory);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return {};
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  // A parent that could not be made shows in mkdir's own error.
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail(state_error("making state directory " + directory, errno));
}

Result<LockOwner> read_owner(int file, const std::string& path) {
  std::array<char, 512> buffer{};
  const ssize_t size = ::pread(file, buffer.data(), buffer.size(), 0);
  if (size < 0) return fail(state_error("reading " + path, errno));
  const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  const auto line_end = text.find('\n');
  LockOwner owner;
  if (line_end == std::string_view::npos) return owner;
  std::from_chars(text.data(), text.data() + line_end, owner.pid);
  std::string_view rest = text.substr(line_end + 1);
  const auto take_line = [&] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    return std::string(line);
  };
  owner.socket = take_line();
  owner.migration = take_line();
  return owner;
}

Status write_owner(int file, const std::string& path, const std::string& socket,
                   const std::string& migration) {
  const std::string text = fmt::format("{}\n{}\n{}\n", ::getpid(), socket, migration);
  if (::ftruncate(file, 0) != 0) return fail(state_error("emptying " + path, errno));
  const ssize_t written = ::pwrite(file, text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size()))
    return fail(state_error("writing " + path, written < 0 ? errno : ENOSPC));
  return {};
}

// Returns when the process has ended, or after `time`.
void await_end(int pid, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kWriting{20};  // It has the lock, its text is an older one's.
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  pollfd end{process, POLLIN, 0};
  ::poll(&end, 1, static_cast<int>((process < 0 ? std::min(kWriting, time) : time).count()));
  if (process >= 0) ::close(process);
}

// Whether the text is likely an older owner's, which the present one has not written over yet.  Not
// for ever: a process of another container cannot be seen.
bool is_of_old(const LockOwner& owner, std::chrono::steady_clock::time_point begun) {
  constexpr std::chrono::seconds kDoubted{1};
  return ::kill(owner.pid, 0) != 0 && errno == ESRCH &&
         std::chrono::steady_clock::now() - begun < kDoubted;
}

// Returns who keeps the lock from us, or nothing once it is ours.
Result<std::optional<LockOwner>> take(int file, const std::string& path) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds kCommandMax{30};
  constexpr std::chrono::milliseconds kLookAgain{500};  // A command may let go before it ends.
  const auto begun = Clock::now();
  const auto until = begun + kCommandMax;
  for (;;) {
    struct flock wanted = whole_file(F_WRLCK);
    if (::fcntl(file, F_OFD_SETLK, &wanted) == 0) return std::optional<LockOwner>();
    if (errno != EAGAIN && errno != EACCES) return fail(state_error("locking " + path, errno));
    LOCKSTEP_ASSIGN(const LockOwner owner, read_owner(file, path));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    const bool runs = !owner.socket.empty() && !is_of_old(owner, begun);
    if (runs || owner.pid == ::getpid() || left.count() <= 0) return std::optional(owner);
    await_end(owner.pid, std::min(left, kLookAgain));
  }
}

}  // namespace

Error state_error(const std::string& doing, int error_number) {
  const bool permission = error_number == EACCES || error_number == EPERM || error_number == EROFS;
  const char* const hint = permission
                               ? "let the user that runs lockstep own and write the state directory"
                               : "free space or repair the disk, then start again; nothing is lost";
  return {
      Reaction::Halt,
      fmt::format("{} failed: {}; {}", doing, std::generic_category().message(error_number), hint),
      permission ? ExitCode::Permission : ExitCode::Io,
      {}};
}

Result<StateLock> StateLock::acquire(const std::string& directory, const std::string& socket,
                                     const std::string& migration) {
  LOCKSTEP_TRY(make_directory(directory));
  const std::string path = lock_path(directory);
  StateLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.file_ < 0) return fail(state_error("opening " + path, errno));
  LOCKSTEP_ASSIGN(const auto owner, take(lock.file_, path));
  if (owner)
    return fail(Reaction::Halt,
                fmt::format("state directory {} is in use by process {}; one process owns it at a "
                            "time: talk to that one, or stop it first",
                            directory, owner->pid),
                ExitCode::Temporary);
  LOCKSTEP_TRY(write_owner(lock.file_, path, socket, migration));
  return lock;
}

StateLock::StateLock(StateLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

StateLock& StateLock::operator=(StateLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

StateLock::~StateLock() {
  // The file stays: removing it would let a third process lock a new one beside a second owner.
  if (file_ >= 0) ::close(file_);
}

Result<std::optional<LockOwner>> read_lock_owner(const std::string& directory) {
  const std::string path = lock_path(directory);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<LockOwner>();
    return fail(state_error("opening " + path, errno));
  }
  struct flock asked = whole_file(F_WRLCK);
  const int answer = ::fcntl(file, F_OFD_GETLK, &asked);
  const int error_number = errno;
  Result<LockOwner> owner = read_owner(file, path);
  ::close(file);
  if (answer != 0) return fail(state_error("asking for the lock of " + path, error_number));
  if (asked.l_type == F_UNLCK) return std::optional<LockOwner>();
  if (!owner) return fail(std::move(owner).error());
  owner->directory = directory;
  return std::optional<LockOwner>(*std::move(owner));
}

}  // namespace lockstep
