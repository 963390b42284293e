// StateLock: one process at a time owns a state directory, and others can ask who it is.
//
//   <state_dir>/lock   held by the owner; its text is the owner's pid, its control socket's path
//   and
//                      its migration
//
// The lock ends with the process, however it ends; nothing has to be cleaned up after a kill.
#pragma once

#include <optional>
#include <string>

#include "pipeline/base/result.h"

namespace lockstep {

// Whom to talk to.  pid 0 and an empty path: it is only just starting.
struct LockOwner {
  int pid = 0;
  std::string socket;
  std::string migration;  // "": it is only just starting, or of a version before.
  std::string directory;  // That it owns.
};

// Owns the lock while it lives.  Not thread-safe.
class StateLock {
 public:
  // Makes the directory (0700) where it is missing, takes the lock, and writes down who owns it.
  // An owner without a socket is a command that gives an order to the next run, and ends soon: its
  // end is awaited, 30 s at most, so that no daemon fails to start because of one.  (A daemon that
  // has just taken the lock looks the same for as long as it takes to write its text.)
  // Halt, exit Temporary: another process owns it, which is named.  Halt, exit Permission or Io:
  // the directory cannot be made or written.
  static Result<StateLock> acquire(const std::string& directory, const std::string& socket,
                                   const std::string& migration);

  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&& other) noexcept;
  StateLock(const StateLock&) = delete;
  StateLock& operator=(const StateLock&) = delete;
  ~StateLock();

 private:
  explicit StateLock(int file) : file_(file) {}

  int file_ = -1;
};

// Returns the process that owns `directory`, or nothing when none does (or there is no directory).
// Takes no lock itself, so that asking never turns an owner away.  It may be another migration's:
// daemon/state_directory.h tells.
Result<std::optional<LockOwner>> read_lock_owner(const std::string& directory);

// The error of a failed system call on the state directory: exit Permission for EACCES, EPERM and
// EROFS, else Io; says what to do.
Error state_error(const std::string& doing, int error_number);

}  // namespace lockstep
