// What holds of every Change, whatever it was made from.
#pragma once

#include <string>

#include "pipeline/base/result.h"
#include "pipeline/model/change.h"
#include "pipeline/model/key.h"

namespace lockstep::fuzz {

// A Full image carries every value, a Partial one its key at least, a Delete just that; and the
// key's hash is the change's.
inline void check_change(const TableMap& table, const Change& change) {
  CHECK(change.table == table.id);
  if (change.kind == ChangeKind::Truncate) {
    CHECK(change.row.empty());
    return;
  }
  if (change.kind == ChangeKind::Delete) {
    CHECK(well_formed_cells(change.row, table.key.size()));
    CHECK(key_hash(table, change.row) == change.key);
    return;
  }
  std::size_t cells = 0;
  bool complete = true;
  for (CellReader row(change.row); !row.done(); ++cells)
    complete &= row.next().presence != Presence::Unavailable;
  CHECK(cells == table.columns.size());
  CHECK(change.kind == ChangeKind::Partial || complete);
  std::string key;
  CHECK(extract_key(table, change.row, key));
  CHECK(key_hash(table, key) == change.key);
}

}  // namespace lockstep::fuzz
