// EventLog: what operators were told, for those who ask later and those who listen.
//
//   Events ──> EventLog ──> memory (the newest), checkpoint (more, over restarts)
//                  └──────> whoever listens: /api/v1/events
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "daemon/control_server.h"
#include "pipeline/base/sync.h"
#include "pipeline/ports/events.h"

namespace lockstep {

// GET: {"events": [..]}, the newest `?limit=100`, behind `?after=ID`; with Accept:
// text/event-stream those behind Last-Event-ID and then each as it comes.
inline constexpr const char* kEventsPath = "/api/v1/events";

// {"id", "at", "level", "message", "fields": {..}}, on one line.
std::string event_json(const ToldEvent& event);
// {"events": [..]}.
std::string events_json(const std::vector<ToldEvent>& events);

// Safe for concurrent use.
class EventLog {
 public:
  // The store outlives it.
  explicit EventLog(RocksdbStore& store) : store_(store) {}

  void add(const Events::Told& told);
  // Called after each event, on whatever thread told it; before the first one.
  void listen(std::function<void()> on_event) { on_event_ = std::move(on_event); }

  // Those behind `id`, the newest `limit` of them, oldest first.
  Result<std::vector<ToldEvent>> after(std::uint64_t id, std::size_t limit) const;
  ControlResponse answer(const ControlRequest& request) const;

 private:
  RocksdbStore& store_;
  std::function<void()> on_event_;
  mutable Mutex mutex_;
  std::deque<ToldEvent> newest_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
