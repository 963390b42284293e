// Mutex and MutexLock: std::mutex with clang's thread-safety annotations.
//
// Shared state is GUARDED_BY a Mutex of its own class; `./run lint` builds with clang's
// -Wthread-safety, which std::mutex itself does not support.
#pragma once

#include <mutex>

#if defined(__clang__)
#define LOCKSTEP_ANNOTATE(x) __attribute__((x))
#else
#define LOCKSTEP_ANNOTATE(x)
#endif
#define CAPABILITY(x) LOCKSTEP_ANNOTATE(capability(x))
#define SCOPED_CAPABILITY LOCKSTEP_ANNOTATE(scoped_lockable)
#define GUARDED_BY(x) LOCKSTEP_ANNOTATE(guarded_by(x))
#define REQUIRES(...) LOCKSTEP_ANNOTATE(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) LOCKSTEP_ANNOTATE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LOCKSTEP_ANNOTATE(release_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCKSTEP_ANNOTATE(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS LOCKSTEP_ANNOTATE(no_thread_safety_analysis)

namespace lockstep {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  // The wrapped mutex, for condition variables only.
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace lockstep
