// DigestReader: a ChunkReader that can also say what rows a range has without handing them over.
//
// Two servers that digest equal rows alike need not send them to be compared: only where digests
// differ are rows read (V1).  A range is digested in parts, between keys of it: rows are then read
// of the parts that differ.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/ports/reader.h"

namespace lockstep {

struct DigestForm {
  std::uint64_t seed = 0;  // Of the keys' hashes, which are the seeds of their rows' (V1).
  // Keys of the range, as read_bounds() gives them: a part begins at its beginning and at each of
  // these, and ends where the next one begins.
  std::vector<std::string> bounds{};
  // By column: values of it may be NULL.  It is no promise, and only says how they are hashed.
  std::vector<bool> may_be_null{};

  std::size_t parts() const { return bounds.size() + 1; }
};

struct PartDigest {
  std::uint64_t rows = 0;
  std::string sum{};  // Of the rows' hashes, as text; "" of no rows.
  friend bool operator==(const PartDigest&, const PartDigest&) = default;
};

// The digests are of the rows as read() would give them: equal rows have equal digests, wherever
// the server says the same in digest_probe().
class DigestReader : public ChunkReader {
 public:
  // What the server makes of some fixed values; "" where it cannot digest rows.
  // REQUIRES: not between begin() and end().
  virtual Result<std::string> digest_probe() = 0;
  // Asks, as bound_after() may be called, for the keys `every` keys after each other.
  virtual Status start_bounds(const TableMap& table, const KeyRange& range, std::uint64_t every,
                              std::size_t most) = 0;
  // In key order and at most so many; nothing: they have not come after `wait`.
  // REQUIRES: start_bounds().
  virtual Result<std::optional<std::vector<std::string>>> read_bounds(
      std::chrono::milliseconds wait) = 0;
  // Starts digesting a range under the open snapshot.
  // REQUIRES: form.bounds.size() * table.key.size() <= kKeyCellsMax.
  virtual Status start_digest(const TableMap& table, const KeyRange& range,
                              const DigestForm& form) = 0;
  // One for each part; nothing: it is not done after `wait`.  REQUIRES: start_digest().
  virtual Result<std::optional<std::vector<PartDigest>>> read_digest(
      std::chrono::milliseconds wait) = 0;
  // As start_range(), of the rows in these parts, which are in ascending order.
  virtual Status start_parts(const TableMap& table, const KeyRange& range, const DigestForm& form,
                             std::span<const std::size_t> parts) = 0;
};

}  // namespace lockstep
