#include "connectors/postgres/source/digest_sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "pipeline/base/result.h"

namespace lockstep {
namespace {

// Of a row as a whole, each column by its type's function: it forms the row first and looks the
// functions up, which takes about as long again as hashing.  A NULL is a value like another to it.
constexpr std::string_view kRecordHash = "pg_catalog.hash_record_extended";

constexpr std::string_view kArraySend = "pg_catalog.array_send";

// Deeper in each other the server's parser would need much stack for calls.
constexpr std::size_t kChainMax = 64;
// Bits of an integer that say of a value each whether it is NULL.
constexpr std::size_t kNullsOfNumber = 30;

// How a column goes into a row that is hashed as a whole.
enum class InRecord : std::uint8_t {
  It,
  Halves,  // Of 64 bits the server hashes one half XOR the other: 1 and 4294967296 are one to it.
  InC,     // By its bytes, whatever its collation says.
  Sent,    // What its type's send function makes of it.
};

struct HashedType {
  std::uint32_t oid;
  InRecord in_record;
  // Of a value {0} with a seed {1}; "": none that will do.  It is NULL where the value is.
  std::string_view hash;
  std::string_view literal;  // For the probe, and where a value is NULL.
};

// hashfloat8 takes -0 for 0 and every NaN for one, and makes its seed of 0, so that two columns
// could change places unseen.  Infinite dates cannot be subtracted; the numbers that stand for them
// are of no other date.
constexpr std::array kHashedTypes{
    HashedType{16, InRecord::It, "pg_catalog.hashint4extended({0}::pg_catalog.int4, {1})", "true"},
    HashedType{17, InRecord::It, "", "'\\x00ff'::pg_catalog.bytea"},
    HashedType{20, InRecord::Halves,
               "pg_catalog.hashint8extended({0} OPERATOR(pg_catalog.>>) 32,"
               " pg_catalog.hashint8extended({0}, {1}))",
               "'-9000000000'::pg_catalog.int8"},
    HashedType{21, InRecord::It, "pg_catalog.hashint2extended({0}, {1})", "'-2'::pg_catalog.int2"},
    HashedType{23, InRecord::It, "pg_catalog.hashint4extended({0}, {1})",
               "'-70000'::pg_catalog.int4"},
    // The literal also tells encodings apart.
    HashedType{25, InRecord::InC, "pg_catalog.hashtextextended({0} COLLATE pg_catalog.\"C\", {1})",
               "'\u00e9'::pg_catalog.text"},
    HashedType{26, InRecord::It, "pg_catalog.hashoidextended({0}, {1})",
               "'4000000000'::pg_catalog.oid"},
    HashedType{701, InRecord::Sent,
               "pg_catalog.hashint4extended(CASE WHEN {0} OPERATOR(pg_catalog.=) '0'"
               " OR {0} OPERATOR(pg_catalog.=) 'NaN' THEN pg_catalog.hashtext(pg_catalog.encode("
               "pg_catalog.float8send({0}), 'hex') COLLATE pg_catalog.\"C\") ELSE 1 END,"
               " pg_catalog.hashfloat8extended({0}, {1}))",
               "'-1.5e-300'::pg_catalog.float8"},
    HashedType{1043, InRecord::InC,
               "pg_catalog.hashtextextended({0} COLLATE pg_catalog.\"C\", {1})",
               "' a '::pg_catalog.varchar"},
    HashedType{1082, InRecord::It,
               "pg_catalog.hashint4extended(CASE WHEN pg_catalog.isfinite({0})"
               " THEN {0} OPERATOR(pg_catalog.-) '2000-01-01'::pg_catalog.date"
               " WHEN {0} OPERATOR(pg_catalog.>) '2000-01-01'::pg_catalog.date THEN 2147483647"
               " WHEN {0} OPERATOR(pg_catalog.<) '2000-01-01'::pg_catalog.date THEN -2147483648"
               " END, {1})",
               "'2024-02-29'::pg_catalog.date"},
    HashedType{1114, InRecord::Sent,
               "pg_catalog.hashtextextended(pg_catalog.encode(pg_catalog.timestamp_send({0}),"
               " 'hex') COLLATE pg_catalog.\"C\", {1})",
               "'2024-02-29 12:00:00.000001'::pg_catalog.timestamp"},
    HashedType{1184, InRecord::Sent,
               "pg_catalog.hashtextextended(pg_catalog.encode(pg_catalog.timestamptz_send({0}),"
               " 'hex') COLLATE pg_catalog.\"C\", {1})",
               "'2024-02-29 12:00:00.000001+00'::pg_catalog.timestamptz"},
    // Its text has the value and the scale, and so all that its bytes have.
    HashedType{1700, InRecord::Sent,
               "pg_catalog.hashtextextended({0}::pg_catalog.text COLLATE pg_catalog.\"C\", {1})",
               "'-1.50'::pg_catalog.numeric"},
    HashedType{2950, InRecord::It, "pg_catalog.uuid_hash_extended({0}, {1})",
               "'12345678-9abc-def0-1234-56789abcdef0'::pg_catalog.uuid"},
};

const HashedType* hashed_type(std::uint32_t oid) {
  const auto found = std::ranges::find(kHashedTypes, oid, &HashedType::oid);
  return found == kHashedTypes.end() ? nullptr : &*found;
}

std::string seed_literal(std::uint64_t seed) {
  return fmt::format("'{}'::pg_catalog.int8", static_cast<std::int64_t>(seed));
}

struct Value {
  std::string sql;
  const HashedType* type;  // Null: none of those.
  std::string send{};
  bool may_be_null = false;

  bool has_hash() const { return type != nullptr && !type->hash.empty(); }
};

std::string in_record(const Value& value) {
  switch (value.type == nullptr ? InRecord::Sent : value.type->in_record) {
    case InRecord::It:
      return value.sql;
    case InRecord::Halves:
      return fmt::format("{0}, {0} OPERATOR(pg_catalog.>>) 32", value.sql);
    case InRecord::InC:
      return value.sql + " COLLATE pg_catalog.\"C\"";
    case InRecord::Sent:
      // Whether an array may hold NULLs depends on how it came to be there (SentForm), and its
      // elements say which of them do.
      if (value.send == kArraySend)
        return fmt::format("pg_catalog.set_byte({}({}), 7, 0)", value.send, value.sql);
      return fmt::format("{}({})", value.send, value.sql);
  }
  CHECK(false);
  return "";
}

std::string record_hash(const std::vector<Value>& values, const std::string& seed) {
  std::vector<std::string> cells;
  for (const Value& value : values) cells.push_back(in_record(value));
  return fmt::format("{}(ROW({}), {})", kRecordHash, fmt::join(cells, ", "), seed);
}

// One value after the other, each hash the next one's seed; then which of them were NULL, since
// another value stands in the chain for those.
std::string chained(const std::vector<Value>& values, std::string seed) {
  std::vector<std::string> nulls;
  for (const Value& value : values) {
    std::string sql = value.sql;
    if (value.may_be_null) {
      nulls.push_back(fmt::format("(CASE WHEN {} IS NULL THEN {} ELSE 0 END)", sql,
                                  1U << nulls.size() % kNullsOfNumber));
      sql = fmt::format("COALESCE({}, {})", sql, value.type->literal);
    }
    seed = fmt::format(fmt::runtime(value.type->hash), sql, seed);
  }
  for (std::span<const std::string> rest = nulls; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), kNullsOfNumber));
    seed = fmt::format("pg_catalog.hashint4extended({}, {})",
                       fmt::join(some, " OPERATOR(pg_catalog.+) "), seed);
    rest = rest.subspan(some.size());
  }
  return seed;
}

Value value_of(const TableMap& table, const std::vector<HashedColumn>& columns, std::size_t i) {
  const HashedColumn& column = columns[i];
  return {.sql = fmt::format("({}::{})", selected_column(table, i), column.type),
          .type = hashed_type(column.oid),
          .send = column.send};
}

std::string key_hash_sql(const TableMap& table, const std::vector<HashedColumn>& columns,
                         std::uint64_t seed) {
  std::vector<Value> key;
  for (const std::size_t i : table.key) key.push_back(value_of(table, columns, i));
  return std::ranges::all_of(key, &Value::has_hash) ? chained(key, seed_literal(seed))
                                                    : record_hash(key, seed_literal(seed));
}

// Its seed is the key's hash: rows that have changed places have other sums (V1).  Where one of the
// chained values is NULL though its column was NOT NULL a while ago, the chain is NULL, and they
// are hashed as a row: else such a row would be in no sum.
std::string row_hash_sql(const TableMap& table, const std::vector<HashedColumn>& columns,
                         const DigestForm& form, const std::string& key) {
  std::vector<Value> with_hash;
  std::vector<Value> others;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (std::ranges::find(table.key, i) != table.key.end()) continue;
    Value value = value_of(table, columns, i);
    value.may_be_null = i < form.may_be_null.size() && form.may_be_null[i];
    const bool in_chain = value.has_hash() && with_hash.size() < kChainMax;
    (in_chain ? with_hash : others).push_back(std::move(value));
  }
  std::string hash = key;
  if (!with_hash.empty())
    hash = fmt::format("COALESCE({}, {})", chained(with_hash, key), record_hash(with_hash, key));
  return others.empty() ? hash : record_hash(others, hash);
}

}  // namespace

std::string digest_probe_query() {
  std::vector<Value> in_chain;
  std::vector<Value> in_row{{.sql = "NULL::pg_catalog.int4", .type = hashed_type(23)}};
  for (const HashedType& type : kHashedTypes) {
    Value value{.sql = std::string(type.literal), .type = &type};
    if (value.has_hash()) in_chain.push_back(value);
    if (type.in_record != InRecord::Sent) in_row.push_back(std::move(value));
  }
  return "SELECT " + record_hash(in_row, chained(in_chain, seed_literal(42)));
}

std::string digest_query(const TableMap& table, const LiteralRange& range,
                         const std::vector<HashedColumn>& columns, const DigestForm& form) {
  CHECK(columns.size() == table.columns.size());
  const std::string hash =
      row_hash_sql(table, columns, form, key_hash_sql(table, columns, form.seed));
  std::vector<std::size_t> all(form.parts());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return parts_query(table, range, form.bounds.size(), all,
                     [&](const std::string& rows, const std::string& number) {
                       return fmt::format("SELECT {}, pg_catalog.count(*), pg_catalog.sum({}){}",
                                          number, hash, rows);
                     });
}

}  // namespace lockstep
