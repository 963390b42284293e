// TableHolds: where single tables stand on a stream that all tables share (I8).
//
// The direct stream is one for all tables.  When one of them stops, its lanes go on with the
// others, and a row of progress of its own says from where its events are still to come.  After a
// restart the stream begins at the least of all positions; once the table runs again, its row moves
// along, and goes when it is where the others are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/merge/progress.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// The name of a table's own progress on `stream`: "wal/public.orders".
std::string own_stream(const std::string& stream, const TableMap& table);

// One lane's; its thread only.
//
// Invariant: a row that moves never passes an event of its table that is not applied, or dropped
// while the row was held before it.  It goes only in a transaction that has the stream's own row at
// the same position: without it the table is where its stream is.
class TableHolds {
 public:
  TableHolds(const std::string& stream, const std::vector<const TableMap*>& tables,
             std::uint32_t lane, const Progress& progress);

  // The table's events up to here were applied before this process started; `otherwise` is how far
  // the stream was.
  Position resumed(TableId table, Position otherwise) const;
  // The table has stopped: what comes of it from now on is left in the source.  The first call
  // counts.  `otherwise` as above.
  void hold(TableId table, Position otherwise);
  // Everything before `position` has come.
  void pass(Position position) { seen_ = std::max(seen_, position); }
  // The changes since the last commit come once more; a table that was held among them is held
  // before them all.
  void roll_back();

  // The rows that are not on the target as they should be once the stream is committed at
  // `like.position`, which has also the rest of a row; those that go are not among them.
  std::vector<ProgressRow> changed(const ProgressRow& like) const;
  // The names of rows that go then.
  std::vector<std::string> caught_up(Position stream) const;
  // All of that was committed; tells `progress`.
  void committed(Progress& progress, Position stream);

 private:
  struct Own {
    std::string name;
    std::optional<Position> start;      // On the target when this process started.
    std::optional<Position> on_target;  // Nothing: there is no row of it.
    std::optional<Position> held_at;    // Nothing: it moves along, if it has a row.
    Position base;                      // Of a held one: never held before this.
  };
  static bool stands_apart(const Own& own) { return own.on_target || own.held_at; }
  Position position_of(const Own& own) const;
  bool has_caught_up(const Own& own, Position stream) const;

  const std::uint32_t lane_;
  std::vector<Own> tables_;  // By TableId.
  Position seen_;
  Position seen_committed_;
};

}  // namespace lockstep
