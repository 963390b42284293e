// Arena: bytes that live as long as one batch: keys, merged rows.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace lockstep {

// Not thread-safe.  Views stay valid until clear() or destruction.
class Arena {
 public:
  std::string_view store(std::string_view bytes) {
    if (bytes.size() > left_) {
      const std::size_t size = std::max(kBlockBytes, bytes.size());
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
      next_ = blocks_.back().get();
      left_ = size;
    }
    char* const begin = next_;
    std::memcpy(begin, bytes.data(), bytes.size());
    next_ += bytes.size();
    left_ -= bytes.size();
    return {begin, bytes.size()};
  }
  void clear() {
    blocks_.clear();
    left_ = 0;
  }

 private:
  static constexpr std::size_t kBlockBytes = std::size_t{64} * 1024;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace lockstep
