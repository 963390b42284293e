#include "pipeline/apply/table_life.h"

#include <array>
#include <utility>

namespace lockstep {
namespace {

using enum Stage;

// By happening and stage: the header's table.  What it leaves out keeps the stage.
constexpr Stage kNext[8][7] = {
    {Copying, Copying, Following, Healing, Noticed, CopyingAgain, Stopped},       // Planned
    {Following, Following, Following, Healing, Noticed, CopyingAgain, Stopped},   // Copied
    {Waiting, Copying, Copying, Copying, Noticed, CopyingAgain, Stopped},         // Voided
    {Waiting, Copying, Healing, Healing, Noticed, CopyingAgain, Stopped},         // Missed
    {Noticed, Noticed, Noticed, Noticed, Noticed, Noticed, Stopped},              // Noticed
    {Waiting, Copying, Following, Healing, CopyingAgain, CopyingAgain, Stopped},  // Passed
    {Waiting, Copying, Following, Following, Noticed, Following, Stopped},        // Settled
    {Stopped, Stopped, Stopped, Stopped, Stopped, Stopped, Stopped},              // Stopped
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
  if (what == Happening::Missed) ++missed;
  // A TRUNCATE may have come since the last look.
  if (what == Happening::Settled && stage == Stage::Following && !copied) stage = Stage::Copying;
  if (stage == Stage::Following && !is_whole()) stage = Stage::Healing;
  return stage != before.stage || copied != before.copied || version() != before.version();
}

}  // namespace lockstep
