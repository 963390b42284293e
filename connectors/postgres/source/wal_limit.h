// WalLimit: how much of its log the source may keep for our slot, and what then happens.
#pragma once

#include <cstdint>

namespace lockstep {

enum class WalAction : std::uint8_t {
  Warn,      // Status says so, nothing else.
  Stop,      // Halt; the slot stays, and with it the log.
  DropSlot,  // The source's disk comes first: the slot goes, and the migration begins anew.
};

struct WalLimit {
  std::uint64_t mb = 0;  // 0: no limit.
  WalAction then = WalAction::Warn;
};

}  // namespace lockstep
