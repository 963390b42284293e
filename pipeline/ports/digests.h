// DigestReader: a ChunkReader that can also say what rows a range has without handing them over.
//
// Two servers that digest equal rows alike need not send them to be compared: only where digests
// differ are rows read (V1).  A range can be digested in parts, its buckets, by a hash of the rows'
// keys; the rows of single buckets can then be read.
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
  std::uint64_t seed = 0;     // Of the keys' hashes, which are the seeds of their rows' (V1).
  std::uint32_t buckets = 1;  // A power of two.
};

struct BucketDigest {
  std::uint64_t rows = 0;
  std::string sum{};  // Of the rows' hashes, as text; "" of no rows.
  friend bool operator==(const BucketDigest&, const BucketDigest&) = default;
};

// The digests are of the rows as read() would give them: equal rows have equal digests, wherever
// the server says the same in digest_probe().
class DigestReader : public ChunkReader {
 public:
  // What the server makes of some fixed values; "" where it cannot digest rows.
  // REQUIRES: not between begin() and end().
  virtual Result<std::string> digest_probe() = 0;
  // Starts digesting a range under the open snapshot.
  virtual Status start_digest(const TableMap& table, const KeyRange& range,
                              const DigestForm& form) = 0;
  // One for each bucket; nothing: it is not done after `wait`.  REQUIRES: start_digest().
  virtual Result<std::optional<std::vector<BucketDigest>>> read_digest(
      std::chrono::milliseconds wait) = 0;
  // As start_range(), of the rows in these buckets.
  virtual Status start_buckets(const TableMap& table, const KeyRange& range, const DigestForm& form,
                               std::span<const std::uint32_t> buckets) = 0;
};

}  // namespace lockstep
