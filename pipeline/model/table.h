// Table specs: what the catalogs of both sides say, and how one source table maps to one target
// table.
//
// connectors/wire/catalog fills TableSpec; pipeline/table_map.cc plans TableMap from two specs
// and a rule of the manifest (pure); everyone downstream reads TableMap.  All of it is constant
// once a run has started: a change of either table stops that table (drift) and a new run plans it
// again.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// Index into the run's tables; stable within one process only.
using TableId = std::uint32_t;

// A type, as far as the decoder and the casts must know it.  `Other` is everything without a codec
// of ours: it travels in its text form (Plane::Text) when the stream is Debezium.
enum class TypeKind : std::uint8_t {
  Bool,
  Int2,
  Int4,
  Int8,
  Oid,
  Float4,
  Float8,
  Numeric,
  Money,
  Text,
  Varchar,
  Bpchar,
  Name,
  InternalChar,
  Citext,
  Enum,
  Bytea,
  Uuid,
  Json,
  Jsonb,
  Date,
  Time,
  TimeTz,
  Timestamp,
  TimestampTz,
  Interval,
  Bit,
  VarBit,
  Inet,
  Cidr,
  MacAddr,
  MacAddr8,
  PgLsn,
  Xid8,
  Point,
  Hstore,
  Ltree,
  Array,
  Range,
  Composite,
  Other,
};

// A label of an enum, or an attribute of a composite type.
struct Member {
  std::uint32_t id = 0;  // Keeps its label's or attribute's name company when that is changed.
  std::string name;
  friend bool operator==(const Member&, const Member&) = default;
};

// A condition on values or rows: of a domain, or of a table.
struct CheckRule {
  std::string of;    // "public.price"; of a table's own "".
  std::string name;  // "": NOT NULL of a domain.
  std::string text;  // "CHECK ((VALUE > 0))", "NOT NULL".
};

// Types are the same by identity and definition, never by their printed names, which depend on
// where an extension is installed.
struct Type {
  TypeKind kind = TypeKind::Other;  // Of a domain: its base type's.
  std::uint32_t oid = 0;       // As a column of this server sends it; of a domain the domain's.
  std::uint32_t base_oid = 0;  // Of a domain: its base type's; else == oid.
  std::string sql;             // format_type() with typmod: "numeric(10,2)", "public.mood[]".
  std::string base_sql;        // The same for the base type of a domain; else == sql.
  std::int32_t typmod = -1;    // Of a domain: its base type's.
  // Equal on two servers that mean the same type: "public.mood", "extension cube: cube",
  // "public.mood[]"; without typmod.  Of a domain its own; `base_identity` is its base type's.
  std::string identity;
  std::string base_identity;
  bool user_defined = false;    // oid >= 16384: differs between servers.
  bool has_binary = true;       // Has both send and receive functions.
  std::vector<Type> inner;      // Array: the element; Range: the bound; Composite: its attributes.
  std::vector<Member> members;  // Enum: its labels, in order; Composite: its attributes.
  std::vector<CheckRule> checks;  // Of a domain, and of those below it.
  bool has_default = false;       // Of a domain: a column of it needs none of its own.
  std::string folding;  // What makes values with different text equal, "" when nothing does:
                        // the definition of a nondeterministic collation, citext's locale.
};

// Whether the type is a domain that refuses NULL.
bool refuses_null(const Type& type);

// Returns p and s of numeric(p,s), or nothing where typmod does not limit it.
std::optional<std::pair<int, int>> numeric_limits(std::int32_t typmod);

enum class Identity : std::uint8_t { None, Always, ByDefault };

struct Column {
  std::string name;
  Type type;
  std::int16_t attnum = 0;
  bool not_null = false;
  bool generated = false;       // GENERATED ALWAYS AS (...) STORED: never written by us.
  std::string expression{};     // ... as pg_get_expr() prints it under the empty search_path, and
  std::string expression_id{};  // what only another expression changes, no new name of anything.
  bool has_default = false;
  bool toastable = false;  // attstorage other than plain: may be an unchanged TOAST value.
  Identity identity = Identity::None;
  bool deterministic_collation = true;
  std::string collation;  // "" for types without one.
  // What its values are ordered by beside their type: "C", "en_US.utf8 (c, version 2.36)"; "" where
  // the type says it all.
  std::string order{};
  // The collation by which an index of the column may not be in order any more, since its library
  // has another version now: "collation x"; "": there is none.
  std::string outdated_order{};
  std::string folding;       // The type's, and that of the column's collation.
  bool folds_ascii = false;  // Citext: the database's default ctype is C or POSIX, so that
                             // equality folds ASCII only (citext ignores the column's own).

  friend bool same_shape(const Column& a, const Column& b) {
    return a.name == b.name && a.type.sql == b.type.sql && a.generated == b.generated;
  }
};

enum class RelationKind : std::uint8_t { Table, PartitionedRoot, Other };
enum class ReplicaIdentity : std::uint8_t { Default, Full, Index, Nothing };

struct TableName {
  std::string schema;
  std::string table;
  // "public.orders", unquoted: for people and for the contract's `table` fields.
  std::string text() const { return schema + "." + table; }
  friend auto operator<=>(const TableName&, const TableName&) = default;
};

// "public"."orders": the one quoting of identifiers of the program.
// REQUIRES: the name holds no NUL byte.
std::string quote_identifier(const std::string& name);
std::string quoted(const TableName& name);

// How PostgreSQL names the old row of an UPDATE or DELETE of one table: the table of a spec itself,
// or a partition of it.
struct RowIdentity {
  TableName table;
  ReplicaIdentity kind = ReplicaIdentity::Default;
  bool usable = true;      // Else UPDATE and DELETE fail as soon as the table is published.
  bool holds_rows = true;  // Of a partitioned root it says which columns the stream calls the key.
  std::vector<std::size_t> columns;  // Indices into the spec's columns; of Full none are named.
  std::uint32_t relation = 0;        // The table's oid.
  // "version index index:version ...": of the table's row of the catalog, the index that is the
  // identity (0: none), and those of each unique index that may have been.
  std::string naming{};
};

// An index that can be the key: unique over NOT NULL columns, without condition or expression.
struct KeyIndex {
  std::string name;
  std::vector<std::size_t> columns;  // Indices into the spec's columns, in the index's order.
  bool primary = false;
  bool deferrable = false;  // Only a primary key is taken all the same: for the message.
};

// A unique index or exclusion constraint that is enforced at once, as a rule about rows.
struct UniqueRule {
  std::string name;  // "public.orders_email_key".
  bool exclusion = false;
  std::string special;  // Expressions, predicate, an exclusion's definition; "" for mere columns.
  std::set<std::string> columns;
};

struct TableSpec {
  TableName name;
  std::uint32_t oid = 0;
  RelationKind kind = RelationKind::Table;
  std::optional<TableName> root;  // Of a partition: the topmost table.
  bool only = false;              // Has inheritance children: publish ONLY.
  std::vector<Column> columns;    // By attnum, dropped ones left out.
  std::vector<std::size_t> key;   // Indices into columns, in the key index's order; empty: none.
  bool key_is_primary = false;
  bool key_deferrable = false;
  std::string key_index;                // Name of the index, for messages.
  std::vector<KeyIndex> keys;           // All that could be it.
  std::vector<KeyIndex> deferrables{};  // Unique ones that could be it, were they not deferrable.
  std::uint32_t key_id = 0;             // Of its constraint, which REINDEX keeps, or of the index.
  std::vector<UniqueRule> uniques;      // Of the table and its partitions, the key's among them.
  // Some immediate unique or exclusion constraint keeps rows of different keys apart.
  bool secondary_unique = false;
  std::vector<CheckRule> checks;  // Of the table and its partitions.
  std::vector<std::string> deferrable_constraints;
  std::vector<std::string>
      firing_triggers;      // ENABLE ALWAYS or REPLICA triggers: fire under replica role.
  bool referenced = false;  // A foreign key of another table refers to it.
  std::string hidden_from;  // The current role, when row-level security is on for it.
  ReplicaIdentity replica_identity = ReplicaIdentity::Default;
  std::vector<RowIdentity> identities;  // Of the table, then of each leaf.
  std::vector<TableName> leaves;        // Of a partitioned root, ordered by name.
  // Of the table and its leaves, those that are UNLOGGED: a crash of the server empties them.
  std::vector<TableName> unlogged;
  std::string ctype;  // Of the database: by which lower() and regular expressions go.
  double estimated_rows = 0;
  double estimated_bytes = 0;

  // The column's index, or nothing.
  std::optional<std::size_t> find(const std::string& column) const;
  // Whether the old image of every change is the whole row.
  bool has_whole_images() const;
};

// The indexes of which each could be the key, where nothing says which of them it is; else none.
std::vector<std::string> rival_keys(const TableSpec& spec);

// Whether the application can update the table once it is published, and every partition that it
// has or will have: a new one has no identity but the primary key that it takes from its root.
bool can_be_published(const TableSpec& spec);

// The table in FROM, UPDATE, DELETE and TRUNCATE.  Children of inheritance are other tables, which
// may come at any time: ONLY, always, but for a partitioned root, whose rows are its leaves'.
std::string own_rows(const TableSpec& spec);

// How a value travels through the pipeline.
enum class Plane : std::uint8_t {
  Binary,  // send/recv bytes of the source's type.
  Text,    // UTF-8 text form; read with ::text, written with a cast.
};

// How the canonical key form of one column is made: the coarser of source and target equality (I2).
enum class CanonicalRule : std::uint8_t {
  Bytes,       // Binary form is unique per value.
  Numeric,     // 1.0 = 1.00: the display scale and trailing zeros are ignored.
  Float,       // -0 = 0, and every NaN is one.
  Interval,    // A month is 30 days, a day 24 hours; of comparisons only.
  TrimBlanks,  // bpchar: trailing blanks are ignored.
  FoldAscii,   // citext under collation C.
  Opaque,      // Equality is not computable here: the table goes to one lane, unfolded.
};

struct ColumnMap {
  std::size_t source = 0;  // Index into source.columns.
  std::size_t target = 0;  // Index into target.columns.
  Plane plane = Plane::Binary;
  bool cast = false;             // Types differ: the server casts on assignment.
  bool reread_arrays = false;    // `array_bounds: reread`.
  bool doubtful_always = false;  // Debezium cannot carry it (W1): every change is a debt.
  // Of a comparison (tables/compared.h): the SQL type that it is read as, "" being its own, and
  // that type's OID where the column is of the key.
  std::string read_as{};
  std::uint32_t read_oid = 0;
  // `compare: value`: the form in which equal values, or elements of arrays, have equal bytes.
  CanonicalRule compared = CanonicalRule::Bytes;
};

// A constant for a target column the source lacks (`set`), as SQL text of the target's type.
struct Constant {
  std::size_t target = 0;
  std::optional<std::string> text;  // Nothing: NULL.
};

enum class LaneMode : std::uint8_t { Auto, One, All };
enum class PartitionPolicy : std::uint8_t { Heal, Stop, Keep };

struct TableMap {
  TableId id = 0;
  TableSpec source;
  TableSpec target;
  std::vector<ColumnMap> columns;  // The cells of every Row of this table, in this order.
  std::vector<Constant> constants;
  // Columns that each side computes for itself: a source column, and the target's.
  std::vector<std::pair<std::size_t, std::size_t>> computed;
  std::vector<std::size_t> key;          // Indices into columns, in key order.
  std::vector<CanonicalRule> canonical;  // One per key column.
  LaneMode lanes = LaneMode::Auto;
  PartitionPolicy partitions = PartitionPolicy::Heal;
  bool one_lane = false;     // I2: opaque key, or ordered and not `lanes: all`.
  bool ordered = false;      // I19: has a secondary unique constraint, or an opaque key.
  bool direct_copy = false;  // Chunk rows may be COPYed straight in: no cast, all binary.
  bool existing = false;     // `existing: upsert`: the target may hold rows of its own.

  // What changes its rows in no event is found by a comparison, and not by a person.  Rows that
  // only the target has say nothing where it may hold rows of its own.
  bool heals() const { return partitions == PartitionPolicy::Heal && !existing; }

  // Rows that only the target has are nobody's: it had them before, or partitions that are gone
  // have left them.
  bool keeps_rows() const { return existing || partitions == PartitionPolicy::Keep; }

  const Column& source_column(std::size_t i) const { return source.columns[columns[i].source]; }
  const Column& target_column(std::size_t i) const { return target.columns[columns[i].target]; }
  const std::string text() const { return source.name.text(); }
};

}  // namespace lockstep
