#include "daemon/aggregates/side.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

void check_statement(Validation& validation, CheckedServer& server,
                     const ManifestAggregate& aggregate, const At<std::string>& sql) {
  if (!server.answered || sql.value.empty()) return;
  PostgresConnection& connection = server.connection;
  const auto begun = connection.run("BEGIN TRANSACTION READ ONLY");
  if (!begun) return validation.findings.failed(sql.where, begun.error());
  const auto planned = connection.run("EXPLAIN " + aggregate_sql(sql.value), {});
  if (!planned)
    validation.findings.error(
        sql.where, "aggregate " + aggregate.name.value + ": " + planned.error().message,
        "one SELECT of one row, tables as schema.table, which lockstep's role may read");
  if (const auto ended = connection.run("ROLLBACK"); !ended) connection.close();
}

}  // namespace

void check_aggregates(Validation& validation) {
  for (const ManifestAggregate& aggregate : validation.manifest.aggregates) {
    check_statement(validation, validation.source, aggregate, aggregate.source);
    check_statement(validation, validation.target, aggregate, aggregate.target);
  }
}

}  // namespace lockstep
