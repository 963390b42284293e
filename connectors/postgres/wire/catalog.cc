#include "connectors/postgres/wire/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "connectors/postgres/wire/catalog_sql.h"
#include "connectors/postgres/wire/spec.h"

namespace lockstep {
namespace {

// Rows of unknown number in unknown bytes: what a narrow table has per row, tuple header included.
constexpr double kBytesPerRowGuess = 100;

char letter(const PgResult& result, int row, int column) {
  const std::string_view value = field(result, row, column);
  return value.empty() ? '\0' : value.front();
}

enum class Extent : std::uint8_t { All, Definition };

// Fills specs table by table; used for one read_specs() call.
class SpecReader {
 public:
  SpecReader(PostgresConnection& connection, Extent extent)
      : connection_(connection), extent_(extent) {}

  Result<std::vector<TableSpec>> read(const std::vector<TableName>& names) {
    LOCKSTEP_TRY(read_relations(names));
    if (specs_.empty()) return std::move(specs_);
    if (extent_ == Extent::All) LOCKSTEP_TRY(read_leaves());
    LOCKSTEP_TRY(read_locale());
    LOCKSTEP_TRY(read_types());
    LOCKSTEP_TRY(read_columns());
    LOCKSTEP_TRY(read_indexes());
    LOCKSTEP_TRY(read_identities());
    LOCKSTEP_TRY(read_actors());
    return std::move(specs_);
  }

 private:
  Status read_relations(const std::vector<TableName>& names);
  Status read_leaves();
  Status read_locale();
  Status read_types();
  Status read_members();
  Status read_columns();
  Status read_indexes();
  Status read_identities();
  Status read_actors();

  Result<PgResult> query(const std::string& sql) {
    return connection_.run(sql, {{.value = oids_}});
  }
  // REQUIRES: the column holds one of the OIDs asked for.
  TableSpec& spec_of(const PgResult& result, int row) {
    const auto found = by_oid_.find(number_field<std::uint32_t>(result, row, 0));
    CHECK(found != by_oid_.end());
    return specs_[found->second];
  }

  PostgresConnection& connection_;
  const Extent extent_;
  std::vector<TableSpec> specs_;
  std::unordered_map<std::uint32_t, std::size_t> by_oid_;
  std::string oids_;
  std::string collate_;  // Of the database.
  bool outdated_locale_ = false;
  std::string ctype_;
  std::string order_;
  TypeCatalog types_;
};

RelationKind relation_kind(char kind) {
  if (kind == 'r') return RelationKind::Table;
  return kind == 'p' ? RelationKind::PartitionedRoot : RelationKind::Other;
}

ReplicaIdentity replica_identity(char identity) {
  switch (identity) {
    case 'f':
      return ReplicaIdentity::Full;
    case 'i':
      return ReplicaIdentity::Index;
    case 'n':
      return ReplicaIdentity::Nothing;
    default:
      return ReplicaIdentity::Default;
  }
}

Identity identity(char kind) {
  if (kind == 'a') return Identity::Always;
  return kind == 'd' ? Identity::ByDefault : Identity::None;
}

Status SpecReader::read_relations(const std::vector<TableName>& names) {
  const NameArrays arrays(names);
  LOCKSTEP_ASSIGN(const PgResult rows, connection_.run(kRelations, {{.value = arrays.schemas},
                                                                    {.value = arrays.tables}}));
  std::vector<std::uint32_t> oids;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec spec;
    spec.oid = number_field<std::uint32_t>(rows, i, 0);
    spec.name = {text_field(rows, i, 1), text_field(rows, i, 2)};
    spec.kind = relation_kind(letter(rows, i, 3));
    spec.replica_identity = replica_identity(letter(rows, i, 4));
    spec.only = bool_field(rows, i, 5);
    spec.hidden_from = text_field(rows, i, 6);
    spec.referenced = bool_field(rows, i, 7);
    if (!is_null(rows, i, 8)) spec.root = {text_field(rows, i, 8), text_field(rows, i, 9)};
    if (!by_oid_.emplace(spec.oid, specs_.size()).second) continue;  // Asked for twice.
    oids.push_back(spec.oid);
    specs_.push_back(std::move(spec));
  }
  oids_ = oid_array(oids);
  return {};
}

Status SpecReader::read_leaves() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kLeaves));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec& spec = spec_of(rows, i);
    if (bool_field(rows, i, 3))
      spec.leaves.push_back({text_field(rows, i, 1), text_field(rows, i, 2)});
    const auto estimate = number_field<double>(rows, i, 4);
    const auto counted = number_field<double>(rows, i, 5);  // When pages were counted; -1: never.
    auto bytes = number_field<double>(rows, i, 6);
    // The table has grown since its pages were counted.
    if (counted > 0 && estimate > counted) bytes *= estimate / counted;
    spec.estimated_bytes += bytes;
    spec.estimated_rows += estimate > 0 ? estimate : bytes / kBytesPerRowGuess;
  }
  return {};
}

// One name for "en_US.UTF-8" and "en_US.utf8", "C" and "POSIX".
std::string plain_locale(std::string name) {
  if (name == "POSIX") return "C";
  for (std::size_t i = name.find('.'); i < name.size(); ++i)
    name[i] = static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  const auto codeset =
      name.begin() + static_cast<std::ptrdiff_t>(std::min(name.find('.'), name.size()));
  name.erase(std::remove(codeset, name.end(), '-'), name.end());
  return name;
}

Status SpecReader::read_locale() {
  LOCKSTEP_ASSIGN(const PgResult locale, connection_.run(kLocale));
  if (PQntuples(locale.get()) != 1)
    return fail(Reaction::Halt, "pg_database has no row for the database connected to");
  const std::string provider = text_field(locale, 0, 2);
  collate_ = provider.empty() ? text_field(locale, 0, 0) : provider;
  ctype_ = provider.empty() ? text_field(locale, 0, 1) : provider;
  constexpr int kKnowsItsVersion = 150000;
  if (PQserverVersion(connection_.raw()) >= kKnowsItsVersion) {
    LOCKSTEP_ASSIGN(const PgResult outdated, connection_.run(kOutdatedLocale));
    outdated_locale_ = PQntuples(outdated.get()) == 1 && bool_field(outdated, 0, 0);
  }
  order_ = plain_locale(text_field(locale, 0, 3));
  types_.set_ctype(plain_locale(ctype_));
  for (TableSpec& spec : specs_) spec.ctype = plain_locale(ctype_);
  return {};
}

Status SpecReader::read_types() {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  query(kUsedTypes + fmt::format(fmt::runtime(kTypes), kFolding)));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    CatalogType type;
    type.oid = number_field<std::uint32_t>(rows, i, 0);
    type.sql = text_field(rows, i, 1);
    type.schema = text_field(rows, i, 2);
    type.name = text_field(rows, i, 3);
    type.type = letter(rows, i, 4);
    type.sendable = bool_field(rows, i, 5);
    type.base = number_field<std::uint32_t>(rows, i, 6);
    type.base_typmod = number_field<std::int32_t>(rows, i, 7);
    type.base_sql = text_field(rows, i, 8);
    type.element = number_field<std::uint32_t>(rows, i, 9);
    type.bound = number_field<std::uint32_t>(rows, i, 10);
    type.extension = text_field(rows, i, 11);
    type.folding = text_field(rows, i, 12);
    type.has_default = bool_field(rows, i, 13);
    types_.add(std::move(type));
  }
  return read_members();
}

Status SpecReader::read_members() {
  LOCKSTEP_ASSIGN(const PgResult attributes,
                  query(kUsedTypes + fmt::format(fmt::runtime(kAttributes), kFolding)));
  for (int i = 0; i < PQntuples(attributes.get()); ++i)
    types_.add_attribute(
        number_field<std::uint32_t>(attributes, i, 0),
        {{number_field<std::uint32_t>(attributes, i, 1), text_field(attributes, i, 2)},
         number_field<std::uint32_t>(attributes, i, 3),
         number_field<std::int32_t>(attributes, i, 4),
         text_field(attributes, i, 5),
         text_field(attributes, i, 6)});
  LOCKSTEP_ASSIGN(const PgResult labels, query(std::string(kUsedTypes) + kLabels));
  for (int i = 0; i < PQntuples(labels.get()); ++i)
    types_.add_label(number_field<std::uint32_t>(labels, i, 0),
                     {number_field<std::uint32_t>(labels, i, 1), text_field(labels, i, 2)});
  LOCKSTEP_ASSIGN(const PgResult checks, query(std::string(kUsedTypes) + kDomainChecks));
  for (int i = 0; i < PQntuples(checks.get()); ++i)
    types_.add_check(
        number_field<std::uint32_t>(checks, i, 0),
        {text_field(checks, i, 1), text_field(checks, i, 2), text_field(checks, i, 3)});
  return {};
}

Status SpecReader::read_columns() {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  query(fmt::format(fmt::runtime(kColumns), kFolding, kOrder)));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    Column column;
    column.name = text_field(rows, i, 1);
    column.attnum = number_field<std::int16_t>(rows, i, 2);
    column.type = types_.resolve(number_field<std::uint32_t>(rows, i, 3),
                                 number_field<std::int32_t>(rows, i, 4), text_field(rows, i, 5));
    column.not_null = bool_field(rows, i, 6);
    column.generated = bool_field(rows, i, 7);
    column.has_default = bool_field(rows, i, 8);
    column.toastable = bool_field(rows, i, 9);
    column.identity = identity(letter(rows, i, 10));
    column.collation = text_field(rows, i, 11);
    column.outdated_order = text_field(rows, i, 18);
    if (bool_field(rows, i, 12) && column.collation.empty()) {
      column.collation = collate_;
      if (outdated_locale_) column.outdated_order = "the database's collation";
    }
    column.deterministic_collation = bool_field(rows, i, 13);
    column.folding = text_field(rows, i, 14);
    column.expression = text_field(rows, i, 15);
    column.expression_id = text_field(rows, i, 16);
    if (bool_field(rows, i, 12))
      column.order = is_null(rows, i, 17) ? order_ : plain_locale(text_field(rows, i, 17));
    if (column.type.kind == TypeKind::Jsonb) column.order = order_;
    if (column.type.kind == TypeKind::Citext) {
      column.order += ", in lower case by " + plain_locale(ctype_) + ", " + order_;
      column.collation = ctype_;
      column.folds_ascii = ctype_ == "C" || ctype_ == "POSIX";
      column.folding.clear();  // It folds by the database's locale, whatever the column says.
    }
    add_folding(column.folding, column.type.folding);
    spec_of(rows, i).columns.push_back(std::move(column));
  }
  return {};
}

// "2 1": as array_to_string() prints them.
std::vector<std::int16_t> attnums(std::string_view list) {
  std::vector<std::int16_t> numbers;
  const char* at = list.begin();
  while (at != list.end()) {
    std::int16_t number = 0;
    const auto [end, error] = std::from_chars(at, list.end(), number);
    CHECK(error == std::errc());
    numbers.push_back(number);
    at = end == list.end() ? end : end + 1;
  }
  return numbers;
}

std::set<std::string> lines(const std::string& text) {
  std::set<std::string> all;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) all.insert(line);
  return all;
}

Status SpecReader::read_indexes() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kIndexes));
  std::unordered_map<std::uint32_t, std::vector<CatalogIndex>> indexes;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    CatalogIndex index;
    index.name = text_field(rows, i, 1);
    index.attnums = attnums(field(rows, i, 2));
    index.primary = bool_field(rows, i, 3);
    index.unique = bool_field(rows, i, 4);
    index.immediate = bool_field(rows, i, 5);
    index.valid = bool_field(rows, i, 6);
    index.replica_identity = bool_field(rows, i, 7);
    index.whole = bool_field(rows, i, 8);
    index.own = bool_field(rows, i, 9);
    index.id = number_field<std::uint32_t>(rows, i, 10);
    index.rule = {text_field(rows, i, 11), !index.unique, text_field(rows, i, 12),
                  lines(text_field(rows, i, 13))};
    indexes[number_field<std::uint32_t>(rows, i, 0)].push_back(std::move(index));
  }
  for (TableSpec& spec : specs_) choose_key(spec, indexes[spec.oid]);
  return {};
}

Status SpecReader::read_identities() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kIdentities));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec& spec = spec_of(rows, i);
    RowIdentity identity;
    identity.table = {text_field(rows, i, 1), text_field(rows, i, 2)};
    identity.kind = replica_identity(letter(rows, i, 3));
    identity.holds_rows = bool_field(rows, i, 4);
    identity.usable = bool_field(rows, i, 5);
    for (const std::int16_t attnum : attnums(field(rows, i, 6))) {
      const auto column = std::ranges::find(spec.columns, attnum, &Column::attnum);
      if (column != spec.columns.end())
        identity.columns.push_back(static_cast<std::size_t>(column - spec.columns.begin()));
    }
    identity.relation = number_field<std::uint32_t>(rows, i, 7);
    identity.naming = text_field(rows, i, 8);
    if (bool_field(rows, i, 9)) spec.unlogged.push_back(identity.table);
    spec.identities.push_back(std::move(identity));
  }
  return {};
}

Status SpecReader::read_actors() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kActors));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec& spec = spec_of(rows, i);
    if (field(rows, i, 1) == "check")
      spec.checks.push_back({"", text_field(rows, i, 2), text_field(rows, i, 3)});
    else if (field(rows, i, 1) == "trigger")
      spec.firing_triggers.push_back(text_field(rows, i, 2));
    else
      spec.deferrable_constraints.push_back(text_field(rows, i, 2));
  }
  return {};
}

Result<std::vector<TableSpec>> read_specs(PostgresConnection& connection,
                                          const std::vector<TableName>& names, Extent extent) {
  LOCKSTEP_TRY(connection.open());
  // One snapshot for all queries, so that they agree.  jit would compile them for nothing.
  LOCKSTEP_TRY(connection.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s';"
      "SET LOCAL jit = off"));
  auto specs = SpecReader(connection, extent).read(names);
  if (!specs.has_value()) {
    // The error that matters is the first; a session that cannot roll back is not to be used again.
    if (connection.is_open() && !connection.run("ROLLBACK").has_value()) connection.close();
    return fail(for_server(std::move(specs).error()).during("while reading the catalogs"));
  }
  LOCKSTEP_TRY(connection.run("COMMIT"));
  return specs;
}

}  // namespace

std::string definition_versions_sql() { return std::string(kUsedTypes) + kVersions; }

std::string text_array(const std::vector<std::string>& values) {
  std::string array = "{";
  for (const std::string& value : values) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array += '}';
}

std::string oid_array(const std::vector<std::uint32_t>& oids) {
  return fmt::format("{{{}}}", fmt::join(oids, ","));
}

NameArrays::NameArrays(const std::vector<TableName>& names) {
  std::vector<std::string> schema_names;
  std::vector<std::string> table_names;
  for (const TableName& name : names) {
    schema_names.push_back(name.schema);
    table_names.push_back(name.table);
  }
  schemas = text_array(schema_names);
  tables = text_array(table_names);
}

Result<std::vector<TableName>> list_tables(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kUserTables));
  std::vector<TableName> names;
  names.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    names.push_back({text_field(rows, i, 0), text_field(rows, i, 1)});
  return names;
}

Result<std::vector<TableSpec>> read_tables(PostgresConnection& connection,
                                           const std::vector<TableName>& names) {
  return read_specs(connection, names, Extent::All);
}

Result<std::vector<TableSpec>> read_definitions(PostgresConnection& connection,
                                                const std::vector<TableName>& names) {
  return read_specs(connection, names, Extent::Definition);
}

}  // namespace lockstep
