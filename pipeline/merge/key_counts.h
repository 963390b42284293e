// KeyCounts: how often each key is held by an open COPY.
//
// An open-addressing table: every row of every chunk enters it and leaves it, and one allocation
// per row would cost more than everything else that is done with the row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {

// Not thread-safe.
//
// Invariant: from each key's home to its slot no slot is free.
class KeyCounts {
 public:
  void add(const Hash128& key) {
    if ((used_ + 1) * 4 > slots_.size() * 3) grow();
    Slot& slot = slots_[find(key)];
    used_ += slot.count == 0 ? 1 : 0;
    slot.key = key;
    ++slot.count;
  }

  // REQUIRES: contains(key).
  void remove(const Hash128& key) {
    CHECK(contains(key));
    std::size_t free = find(key);
    if (--slots_[free].count > 0) return;
    --used_;
    // What lies behind moves up wherever the free slot is on the way from its home.
    for (std::size_t at = after(free); slots_[at].count > 0; at = after(at)) {
      if (distance(home(slots_[at].key), at) < distance(free, at)) continue;
      slots_[free] = std::exchange(slots_[at], {});
      free = at;
    }
  }

  bool contains(const Hash128& key) const { return used_ > 0 && slots_[find(key)].count > 0; }

 private:
  struct Slot {
    Hash128 key;
    std::uint32_t count = 0;  // 0: free.
  };

  // The hash's low half chose the lane already.
  std::size_t home(const Hash128& key) const { return key.high & (slots_.size() - 1); }
  std::size_t after(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }
  std::size_t distance(std::size_t from, std::size_t to) const {
    return (to - from) & (slots_.size() - 1);
  }

  // The key's slot, or the free one where it belongs.
  std::size_t find(const Hash128& key) const {
    std::size_t at = home(key);
    while (slots_[at].count > 0 && slots_[at].key != key) at = after(at);
    return at;
  }

  void grow() {
    constexpr std::size_t kFirst = 1024;
    std::vector<Slot> old(slots_.empty() ? kFirst : slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.count > 0) slots_[find(slot.key)] = slot;
  }

  std::vector<Slot> slots_;  // None, or a power of two.
  std::size_t used_ = 0;
};

}  // namespace lockstep
