#include "pipeline/apply/table_life.h"

#include <array>
#include <utility>

namespace lockstep {
namespace {

using enum Stage;

// By happening and stage: the header's table.  What it leaves out keeps the stage.
constexpr Stage kNext[7][6] = {
    {Copying, Copying, Following, Noticed, CopyingAgain, Stopped},       // Planned
    {Following, Following, Following, Noticed, CopyingAgain, Stopped},   // Copied
    {Waiting, Copying, Copying, Noticed, CopyingAgain, Stopped},         // Voided
    {Noticed, Noticed, Noticed, Noticed, Noticed, Stopped},              // Noticed
    {Waiting, Copying, Following, CopyingAgain, CopyingAgain, Stopped},  // Passed
    {Waiting, Copying, Following, Noticed, Following, Stopped},          // Settled
    {Stopped, Stopped, Stopped, Stopped, Stopped, Stopped},              // Stopped
};

}  // namespace

bool TableLife::on(Happening what) {
  const TableLife before = *this;
  stage = kNext[std::to_underlying(what)][std::to_underlying(stage)];
  if (before.is_stopped()) return false;
  const bool passed = what == Happening::Passed && before.stage == Stage::Noticed;
  if (what == Happening::Voided || passed) {
    ++generation;
    copied = false;
  }
  if (what == Happening::Copied) copied = true;
  // A TRUNCATE may have come since the last look.
  if (what == Happening::Settled && stage == Stage::Following && !copied) stage = Stage::Copying;
  return stage != before.stage || copied != before.copied || generation != before.generation;
}

}  // namespace lockstep
