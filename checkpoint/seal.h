// Seal: a file beside the database that tells whether any rare record was lost.
//
// RocksDB's newest records lie at the end of a log, where damage cannot be told from a torn write:
// they would go missing without a word (measured, see FORMAT.md).  Intents may, since the target's
// progress shows that they are old (unseen.h); what the operator said and whose directory this is
// may not.  So the fingerprint of all rare records lies in <state_dir>/seal as well: of those
// before a write and of those after it, since a kill may fall between.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/database.h"
#include "pipeline/base/result.h"
#include "pipeline/model/row.h"

namespace lockstep {

// Whether records under `key` are rare: all but intents, evidence, findings and ranges.
bool is_rare(std::string_view key);

// The fingerprint of a set of records, whatever their order: that of the empty set, changed by
// toggle() for every record that comes or goes.
class Fingerprint {
 public:
  void toggle(std::string_view key, std::string_view value);
  const Hash128& hash() const { return hash_; }

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

 private:
  Hash128 hash_;
};

// Returns the fingerprint of all rare records.
Result<Fingerprint> fingerprint_of(const Database& database);

// What the file holds.
struct Seal {
  Hash128 before;
  Hash128 after;

  bool matches(const Fingerprint& records) const {
    return records.hash() == before || records.hash() == after;
  }
};

// Replaces the seal as one step.  Durable on return.
Status write_seal(const std::string& directory, const Seal& seal);
// Returns the seal.  Halt, exit BadData: it is missing or is not one.
Result<Seal> read_seal(const std::string& directory);

}  // namespace lockstep
