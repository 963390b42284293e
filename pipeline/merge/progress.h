// Progress: how far every lane has committed every stream; one safe resume point per stream (I13).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// A position by the name of its stream.
using Ends = std::vector<std::pair<std::string, Position>>;

// Safe for concurrent use.
//
// Invariant: least(stream) <= the position of every change of the stream that is not committed.
class Progress {
 public:
  // `rows`: what the target's progress held at start.
  Progress(std::uint32_t lanes, const std::vector<ProgressRow>& rows);

  // What `lane` had committed of the stream called `name` at start; nothing when it is new.
  std::optional<ProgressRow> start(const std::string& name, std::uint32_t lane) const;

  // `lane` committed everything of `stream` before `position`.
  void committed(std::uint32_t lane, const std::string& name, Position position);

  // `lane` has no position of the table's own stream `name` (table_holds.h) any more: of that
  // table, too, it is where the stream is.
  void rejoined(std::uint32_t lane, const std::string& name);

  // The least position over all lanes; zero for a stream that no lane has committed yet.
  Position least(const std::string& name) const;
  // Where the stream would begin again: the least over its own position and those of its tables
  // that stand elsewhere (table_holds.h).
  Position resume_point(const std::string& name) const;
  // Names of the tables' own streams beside `name` (table_holds.h).
  std::vector<std::string> own_streams(const std::string& name) const;
  // Whether every lane has committed past each of `ends`; else `behind` names the first that has
  // not.
  bool reached(const Ends& ends, std::string* behind) const;
  // Whether this lane has.
  bool reached(std::uint32_t lane, const Ends& ends) const;
  // What each lane has committed of each stream: stream, lane and position.
  std::vector<ProgressRow> rows() const;
  // (name, least) of every stream, by name, for status and acknowledgement.
  std::vector<std::pair<std::string, Position>> positions() const;

 private:
  // By lane; nothing: the lane has not committed it yet.
  using Lanes = std::vector<std::optional<Position>>;

  Lanes& lanes_of(const std::string& name) REQUIRES(mutex_);
  Position least_locked(const std::string& name) const REQUIRES(mutex_);

  const std::uint32_t lanes_;
  std::map<std::pair<std::string, std::uint32_t>, ProgressRow> start_;  // Constant.
  mutable Mutex mutex_;
  std::map<std::string, Lanes> streams_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
