// WrittenKeys: which keys a lane has written, as a hint: a direct COPY of their rows would fail on
// the rows that are there.
//
// Bloom filters, each twice as large as the one before it, so that few keys are taken for others
// however many there are.  Nothing but speed hangs on what it answers.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {

// Not thread-safe.
//
// Invariant: while somebody asks, and below kFiltersMax full filters, no key that was added since
// the last beginning is missing.
class WrittenKeys {
 public:
  void add(const Hash128& key) {
    if (filters_.empty() || filters_.back().is_full()) begin_filter();
    filters_.back().add(key);
  }

  // For a COPY.
  bool may_have(const Hash128& key) {
    asked_ = true;
    for (const Filter& filter : filters_)
      if (filter.has(key)) return true;
    return false;
  }

 private:
  static constexpr std::size_t kFirstWords = 1 << 15;  // 2 Mbit, 256 KiB a lane.
  static constexpr std::size_t kBitsOfKey = 8;         // A full one has 5 in 100 of all others.
  static constexpr std::size_t kFiltersMax = 5;        // 8 MiB, of 8 million keys.

  class Filter {
   public:
    explicit Filter(std::size_t words) : words_(words, 0) {}
    bool is_full() const { return keys_ * kBitsOfKey >= words_.size() * 64; }
    bool has(const Hash128& key) const {
      for (const std::uint64_t bit : bits_of(key))
        if ((words_[bit / 64] & (std::uint64_t{1} << (bit % 64))) == 0) return false;
      return true;
    }
    void add(const Hash128& key) {
      if (has(key)) return;
      for (const std::uint64_t bit : bits_of(key))
        words_[bit / 64] |= std::uint64_t{1} << (bit % 64);
      ++keys_;
    }

   private:
    // The lowest bits of the hash are the same in all keys of a lane.
    std::array<std::uint64_t, 2> bits_of(const Hash128& key) const {
      const std::uint64_t mask = words_.size() * 64 - 1;
      return {(key.low >> 32U) & mask, key.high & mask};
    }
    std::vector<std::uint64_t> words_;
    std::size_t keys_ = 0;
  };

  // Nobody has asked since the last one was begun: nothing is copied, and all is forgotten.
  void begin_filter() {
    if (!asked_ || filters_.size() == kFiltersMax) filters_.clear();
    asked_ = false;
    filters_.emplace_back(kFirstWords << filters_.size());
  }

  std::vector<Filter> filters_;
  bool asked_ = false;  // Since the last filter was begun.
};

}  // namespace lockstep
