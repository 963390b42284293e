#include "daemon/validate/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

constexpr std::size_t kNamesMax = 5;
constexpr std::uint32_t kOidType = 26;

// What lies outside tables: kind and name.  Objects of extensions and of the system are left out.
constexpr const char* kObjects = R"(
SELECT CASE c.relkind WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'foreign' END,
       format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('m', 'S', 'f') AND n.nspname NOT LIKE 'pg\_%'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL SELECT 'large object', oid::text FROM pg_largeobject_metadata
UNION ALL SELECT 'extension', extname FROM pg_extension
UNION ALL SELECT 'role', rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\_%'
UNION ALL SELECT 'table of an extension', format('%I.%I', n.nspname, c.relname)
FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS kept (oid)
JOIN pg_class c ON c.oid = kept.oid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL SELECT 'setting', split_part(line, '=', 1) ||
  CASE s.setrole WHEN 0 THEN '' ELSE ' of role ' || quote_ident(pg_get_userbyid(s.setrole)) END
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS line
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1, 2)";

using Objects = std::map<std::string, std::vector<std::string>>;

Result<Objects> read_objects(PostgresConnection& connection) {
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kObjects));
  Objects objects;
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    objects[text_field(rows, i, 0)].push_back(text_field(rows, i, 1));
  return objects;
}

void add(std::vector<Uncarried>& list, std::string what, std::vector<std::string> names,
         std::string todo) {
  if (names.empty()) return;
  const std::uint64_t count = names.size();
  names.resize(std::min(names.size(), kNamesMax));
  list.push_back({std::move(what), std::move(names), count, std::move(todo)});
}

std::vector<std::string> lacking(std::vector<std::string> ours, const Objects& theirs,
                                 const std::string& kind) {
  const auto found = theirs.find(kind);
  if (found == theirs.end()) return ours;
  std::erase_if(ours, [&](const std::string& name) {
    return std::ranges::find(found->second, name) != found->second.end();
  });
  return ours;
}

// Columns that may hold the number of a large object.
std::vector<std::string> oid_columns(const TablePlan& plan) {
  std::vector<std::string> columns;
  for (const PlannedTable& table : plan.tables)
    for (const Column& column : table.source.columns)
      if (column.type.base_oid == kOidType)
        columns.push_back(table.source.name.text() + "." + column.name);
  return columns;
}

std::string some(const std::vector<std::string>& names, std::uint64_t count) {
  const std::string list = fmt::format("{}", fmt::join(names, ", "));
  return count > names.size() ? fmt::format("{} and {} more", list, count - names.size()) : list;
}

std::vector<Uncarried> find_uncarried(Objects ours, const Objects* theirs, const TablePlan& plan) {
  std::vector<Uncarried> list;
  if (theirs != nullptr) {
    add(list, "roles that the target lacks", lacking(ours["role"], *theirs, "role"),
        "pg_dumpall --roles-only, or pg_dump --no-owner --no-privileges for the schema");
    add(list, "extensions that the target lacks", lacking(ours["extension"], *theirs, "extension"),
        "CREATE EXTENSION on the target");
    add(list, "settings of the database that the target lacks",
        lacking(ours["setting"], *theirs, "setting"),
        "\\drds of psql shows them; ALTER DATABASE .. SET on the target");
  }
  add(list, "rows that somebody has put into tables of extensions", ours["table of an extension"],
      "pg_dump -a -t TABLE of the source into psql: it knows which rows the extension lacks");
  add(list, "values of sequences", ours["sequence"],
      "setval() on the target before anybody writes there (README, quick start, step 7)");
  add(list, "contents of materialized views", ours["view"],
      "REFRESH MATERIALIZED VIEW on the target");
  if (!ours["large object"].empty())
    add(list, "columns of type oid, whose numbers point at large objects of the source",
        oid_columns(plan), "they are copied as numbers; the large objects have to go with them");
  add(list, "large objects", ours["large object"],
      "pg_dump -Fc -a -b -T '*' of the source into pg_restore, with the writers stopped");
  add(list, "foreign tables", ours["foreign"], "create their servers and user mappings there");
  list.push_back({"statistics of the planner", {}, 0, "ANALYZE on the target before the switch"});
  return list;
}

}  // namespace

std::string size_text(double bytes) {
  const double mebibytes = bytes / 1024 / 1024;
  return mebibytes >= 1024 ? fmt::format("{:.1f} GiB", mebibytes / 1024)
                           : fmt::format("{:.1f} MiB", mebibytes);
}

Result<Summary> read_summary(PostgresConnection& source, PostgresConnection* target,
                             const TablePlan& plan) {
  Summary summary;
  std::set<TableName> moved;
  for (const PlannedTable& table : plan.tables) {
    if (table.source.name.table.empty()) continue;
    moved.insert(table.source.name);
    summary.rows += table.source.estimated_rows;
    summary.bytes += table.source.estimated_bytes;
  }
  summary.tables = moved.size();
  LOCKSTEP_ASSIGN(summary.left_out, list_tables(source));
  std::erase_if(summary.left_out, [&](const TableName& name) { return moved.contains(name); });
  LOCKSTEP_ASSIGN(const Objects ours, read_objects(source));
  std::optional<Objects> theirs;
  if (target != nullptr) {
    LOCKSTEP_ASSIGN(theirs, read_objects(*target));
  }
  summary.uncarried = find_uncarried(ours, theirs ? &*theirs : nullptr, plan);
  return summary;
}

std::string Summary::print() const {
  std::string out = fmt::format("moves {} tables, about {:.0f} rows, {} on the source\n", tables,
                                rows, size_text(bytes));
  if (!left_out.empty())
    out += fmt::format(
        "left out: {} (no rule selects them, or `skip: true`): pg_dump -a -t TABLE of "
        "the source into psql, with the writers stopped\n",
        shown_list(left_out));
  for (const Uncarried& kind : uncarried)
    out +=
        fmt::format("not carried: {}{}: {}\n", kind.what,
                    kind.names.empty() ? "" : " (" + some(kind.names, kind.count) + ")", kind.todo);
  return out + of_slot + (of_slot.empty() ? "" : "\n");
}

boost::json::object Summary::json() const {
  boost::json::array skipped;
  for (const TableName& name : left_out) skipped.emplace_back(name.text());
  boost::json::array kinds;
  for (const Uncarried& kind : uncarried)
    kinds.push_back(
        boost::json::object{{"what", kind.what},
                            {"names", boost::json::array(kind.names.begin(), kind.names.end())},
                            {"count", kind.count},
                            {"do", kind.todo}});
  return {{"tables", tables},
          {"rows_estimated", static_cast<std::uint64_t>(rows)},
          {"bytes", static_cast<std::uint64_t>(bytes)},
          {"left_out", std::move(skipped)},
          {"not_carried", std::move(kinds)},
          {"of_slot", of_slot}};
}

}  // namespace lockstep
