// TableLife: where one table is in a run, and what each thing that happens to it makes of that.
//
//           Waiting    Copying    Following  Healing    Noticed       CopyingAgain  Stopped
//  Planned  Copying    -          -          -          -             -             -
//  Copied   Following  Following  -          -          - (copied)    - (copied)    -
//  Voided   Waiting    Copying    Copying    Copying    -             -             -
//  Missed   -          -          Healing    -          -             -             -
//  Noticed  Noticed    Noticed    Noticed    Noticed    -             Noticed       -
//  Passed   -          -          -          -          CopyingAgain  -             -
//  Settled  -          -          -          Following  -             Following *   -
//  Stopped  Stopped    Stopped    Stopped    Stopped    Stopped       Stopped       -
//
//  * or Copying, when it was emptied meanwhile.
//
// Planned: the first chunk is cut.  Copied: every chunk of the generation is on the target.
// Voided: every chunk must be read again (a TRUNCATE).  Missed: some of its rows have changed, and
// no event tells of it; which ones, a comparison of all of them finds, the heal.  Noticed: the
// source's table is not the one that the chunks were read from (I15).  Passed: every event from
// before that is applied, so that all chunks are read again.  Settled: the catalog still is as the
// new chunks, or the heal, found it.
//
// While a heal is due, Healing stands wherever the table says Following.  Stopped lasts until the
// next start, which finds the rest in the bookkeeping.
#pragma once

#include <cstdint>
#include <string>

#include "pipeline/model/change.h"

namespace lockstep {

enum class Stage : std::uint8_t {
  Waiting,
  Copying,
  Following,
  Healing,
  Noticed,
  CopyingAgain,
  Stopped
};
enum class Happening : std::uint8_t {
  Planned,
  Copied,
  Voided,
  Missed,
  Noticed,
  Passed,
  Settled,
  Stopped
};

// A value: TableBoard holds one for every table and gives copies of it away.
struct TableLife {
  Stage stage = Stage::Waiting;
  std::string reason;            // Of Noticed, CopyingAgain and Stopped, for people.
  bool paused = false;           // Of Stopped: an operator holds it, and nothing is wrong with it.
  bool copied = false;           // Every chunk of this generation is on the target.
  bool empties = false;          // Before its next chunk the target's table is to be emptied (I9).
  std::uint32_t partition = 0;   // Of CopyingAgain: the only one that is read; 0: the whole table.
  Position horizon;              // Events of the table from before it are void (I8b, I15).
  std::uint64_t generation = 0;  // Of its chunks; those of an older one are void.
  std::uint64_t missed = 0;      // How often something happened to it that no event tells.
  Hash128 missed_as;             // Of the last of those; zeros: no later start can tell it again.
  Hash128 stored_as;             // The files and the definition that the bookkeeping has.
  std::uint64_t healed = 0;      // How many of those a heal has put right.

  // What it is about: which row of the header's table counts.  Returns whether anything changed.
  bool on(Happening what);
  bool is_stopped() const { return stage == Stage::Stopped; }
  bool is_whole() const { return healed == missed; }
  // The target's rows are of what the table is.
  bool is_settled() const { return stage < Stage::Healing && is_whole(); }
  // All chunks are on the target, and what a comparison finds is not of an older table.
  bool is_comparable() const { return stage == Stage::Following || stage == Stage::Healing; }
  // Rises with everything that makes what was compared before worthless.
  std::uint64_t version() const { return generation + missed; }
  // The target's rows stem from files that are gone, so no value of them can be relied on: a row
  // of a chunk that is left out must be read again (I15, I17).
  bool is_doubtful() const { return stage == Stage::Noticed || stage == Stage::CopyingAgain; }
};

}  // namespace lockstep
