#include "daemon/fingerprint.h"

#include <fmt/format.h>

#include "pipeline/model/row.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

std::string fingerprint(const TableMap& map) {
  // Columns that keep their name are left out: adding one to both sides is no change of the rule.
  std::string rule = map.target.name.text();
  for (const ColumnMap& column : map.columns) {
    const std::string& from = map.source.columns[column.source].name;
    const std::string& to = map.target.columns[column.target].name;
    if (from != to) rule += fmt::format("|{}>{}", from, to);
  }
  for (const Constant& constant : map.constants)
    rule += fmt::format("|={}:{}", map.target.columns[constant.target].name,
                        constant.text.value_or("\x01"));
  return fmt::format("{:016x}/{:016x}", hash128(rule, 0).low, mapping_fingerprint(map));
}

bool differs_in_lanes(const std::string& stored, const TableMap& map) {
  TableMap other = map;
  for (const bool one_lane : {false, true})
    for (const bool ordered : {false, true}) {
      other.one_lane = one_lane;
      other.ordered = ordered;
      if (fingerprint(other) == stored) return stored != fingerprint(map);
    }
  return false;
}

bool same_rule(const std::string& a, const std::string& b) {
  return a.substr(0, a.find('/')) == b.substr(0, b.find('/'));
}

}  // namespace lockstep
