// Rules: those of pipeline/merge/RULES.md that the simulator proves necessary, by switching one
// off.
//
// In the program that is shipped rule_on() is constant true and costs nothing.  Only the
// simulator's copy of this library, and the sanitizers' builds, are compiled with LOCKSTEP_MUTANTS,
// where a test may switch a rule off and must then see the target differ from the source.
#pragma once

#include <cstdint>

namespace lockstep {

enum class Rule : std::uint8_t {
  LaneByCanonicalKey,   // I2
  RecordBeforeSend,     // I3
  ForgetOnlyVisible,    // I4
  AcceptSnapshot,       // I5
  RegisterBeforeBegin,  // I5, S registered late
  TruncateIsABatch,     // I5: a TRUNCATE is a transaction of every lane, after its intent
  WaitForFlush,         // I6
  DropUnseenRow,        // I7
  NeverSkipForChunk,    // I8
  EmptyBeforeCopy,      // I9, its exception
  MarkAfterCommit,      // I10
  DebtOnViolation,      // I11
  Fence,                // I12
  ProgressWithBatch,    // I13
  TruncateBarrier,      // I15
  DebtForMissingRow,    // I17
  EvictHolder,          // I17
  DeleteAgain,          // I17, of a delete that the target refused
  OpenCopySet,          // I18
  FoldPartialIntoFull,  // I19
  HoldStream,           // OpenSnapshot::begins_stream; of the fakes
  RouteWhatWasRead,     // I8: a batch is routed, whatever error came after it
  ContradictedProof,    // I14: what is known by now ends an older proof
  CutDrainIsTold,       // an end that took too long is not "as asked"
  StopIsNotSynced,      // stopped before it was synced: incomplete
  FairTurns,            // debts and chunks of one reader take turns
  CompareAfterProof,    // V3: the target is read once all that S sees is applied
  LeaveDoubtful,        // V4: a key whose last word is under way says nothing
  NoticeReread,         // V4: a row read again for a debt may be newer than S
  HoldBusyKey,          // V7
  ArriveAfterCommit,    // V7: a lane is at a held key once all before it is committed
  HealComparesAll,      // I15: a heal ends once every row was compared
  NoticeLateChange,     // V13: one that S sees, and that came after the target was read
};

#ifdef LOCKSTEP_MUTANTS
bool rule_on(Rule rule);
void switch_rule_off(Rule rule);
void switch_all_rules_on();
#else
constexpr bool rule_on(Rule) { return true; }
#endif

}  // namespace lockstep
