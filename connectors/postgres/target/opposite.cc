#include "connectors/postgres/target/opposite.h"

#include <fmt/format.h>

#include <cstdint>

#include "pipeline/model/key.h"

namespace lockstep {
namespace {

constexpr std::int32_t kDirectionClass = 0x6c73746f;  // Of its two keys the first.

// The second one: which database the rows come from.
std::int32_t direction_key(const ServerFacts& from) {
  const Hash128 hash = hash128(from.system_identifier + '\0' + from.database, 0);
  return static_cast<std::int32_t>(hash.low & 0x7fffffff);
}

constexpr const char* kHolder = R"(
SELECT coalesce(a.application_name, 'a session'), l.pid
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid
  AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.pid LIMIT 1)";

}  // namespace

std::string hold_direction_sql(const ServerFacts& source) {
  return fmt::format("SELECT pg_advisory_lock_shared({}, {})", kDirectionClass,
                     direction_key(source));
}

Result<std::optional<std::string>> find_opposite(PostgresConnection& source,
                                                 const ServerFacts& target) {
  const std::string first = std::to_string(kDirectionClass);
  const std::string second = std::to_string(direction_key(target));
  LOCKSTEP_ASSIGN(const PgResult found, source.ask(kHolder, {{.value = first}, {.value = second}}));
  if (PQntuples(found.get()) == 0) return std::optional<std::string>();
  return fmt::format("{} (pid {} on the source)", field(found, 0, 0), field(found, 0, 1));
}

std::string opposite_text(const std::string& opposite) {
  return opposite +
         " writes into this source what it reads from this target: two migrations towards each "
         "other send every change round for ever";
}

}  // namespace lockstep
