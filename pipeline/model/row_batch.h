// RowBatch: rows of one table side by side in one buffer; what a chunk reader fills piece by piece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

class RowBatch {
 public:
  void clear() {
    cells_.clear();
    ends_.clear();
  }
  // Appends one row given as cells (row.h).
  void add(std::string_view cells) {
    cells_.append(cells);
    ends_.push_back(cells_.size());
  }
  // For readers that build a row in place: append cells to buffer(), then call finish_row().
  std::string& buffer() { return cells_; }
  void finish_row() { ends_.push_back(cells_.size()); }

  std::size_t rows() const { return ends_.size(); }
  std::size_t bytes() const { return cells_.size() + ends_.size() * sizeof(std::size_t); }
  // REQUIRES: i < rows().
  std::string_view row(std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(cells_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string cells_;
  std::vector<std::size_t> ends_;
};

}  // namespace lockstep
