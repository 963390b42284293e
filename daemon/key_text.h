// KeyTexts: the keys of rows set aside, as people write them.
//
// A stored key is a row of binary cells; the source server turns each into its text form, since it
// knows the types.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/manifest.h"
#include "connectors/postgres/wire/connection.h"
#include "daemon/tables.h"
#include "pipeline/model/table.h"

namespace lockstep {

// One thread.
class KeyTexts {
 public:
  // Plans the tables; waits for both servers.  Where that fails every text is hex.
  explicit KeyTexts(const Manifest& manifest);

  // Returns "id=17, region=eu"; the bytes in hex when the table is not known any more, or the
  // source does not answer.
  std::string text(const TableName& table, const std::string& key);
  // Names of columns and their texts; nothing where text() is the bytes in hex.
  using Parts = std::vector<std::pair<std::string, std::string>>;
  Parts parts(const TableName& table, const std::string& key);

 private:
  Parts render(const TableMap& table, const std::string& key);

  PostgresConnection source_;
  TablePlan plan_;
};

// "\x0001ff".
std::string hex_text(const std::string& bytes);

}  // namespace lockstep
