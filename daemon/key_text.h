// KeyTexts: the keys of rows set aside, and rows that differ, as people write them.
//
// What is stored are rows of binary cells; a server turns each into its text form, since it knows
// the types: the source those of keys, the target those of compared rows.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
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
  // Of tables that are planned, over the connections that planned them.
  KeyTexts(PostgresConnection source, PostgresConnection target, TablePlan plan)
      : source_(std::move(source)), target_(std::move(target)), plan_(std::move(plan)) {}

  // Returns "id=17, region=eu"; the bytes in hex when the table is not known any more, or the
  // source does not answer.
  std::string text(const TableName& table, const std::string& key);
  // Names of columns and their texts; nothing where text() is the bytes in hex.
  using Parts = std::vector<std::pair<std::string, std::optional<std::string>>>;  // Nothing: NULL.
  Parts parts(const TableName& table, const std::string& key);
  // The same of a row's compared cells (Finding), with the source's names of columns.
  Parts row(const TableName& table, const std::string& cells);
  // Why the tables could not be planned.
  const std::optional<Error>& fault() const { return fault_; }
  // Nothing where the table is not known any more.
  const TableMap* find(const TableName& table) const;

 private:
  PostgresConnection source_;
  PostgresConnection target_;
  TablePlan plan_;
  std::optional<Error> fault_;
};

// "\x0001ff".
std::string hex_text(const std::string& bytes);
// "#00e1..": the same of the same bytes as long as the process lives, and nobody can tell which.
std::string masked_text(const std::string& bytes);

// The parts of `bytes` as an object; the bytes in hex where nobody tells their parts, null of none.
boost::json::value parts_json(const KeyTexts::Parts& parts, const std::string& bytes);

}  // namespace lockstep
