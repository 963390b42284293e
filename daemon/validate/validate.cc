#include "daemon/validate/validate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "daemon/fingerprint.h"
#include "daemon/prepare.h"
#include "daemon/state_directory.h"

namespace lockstep {
namespace {

constexpr const char* kValidateConnectSecondsMax = "10";

CheckedServer make_server(const Manifest& manifest, Side side) {
  PostgresOptions options = connection_options(manifest, side, "validate");
  const Connect& connect = side == Side::Source ? manifest.source.connect : manifest.target.connect;
  if (connect.find("connect_timeout") == nullptr)
    options.keywords.emplace_back("connect_timeout", kValidateConnectSecondsMax);
  // Whoever rewrites a table holds its lock for long.
  return {PostgresConnection(with_setup(std::move(options), "SET lock_timeout = '5s'")),
          connect.where,
          false,
          {}};
}

// A server whose `connect` is broken in the file is left alone: that is reported already.
void ask_server(CheckedServer& server, const Connect& connect, Findings& findings) {
  if (!connect.sound) return;
  auto facts = read_server(server.connection);
  if (facts) {
    server.facts = std::move(*facts);
    server.answered = true;
  } else {
    findings.failed(server.where, facts.error());
  }
}

// It is made at the first start, with all folders above it: the nearest that exists must let us.
void check_state_dir(const At<std::filesystem::path>& state_dir, Findings& findings) {
  std::filesystem::path folder = state_dir.value;
  if (folder.empty()) return;  // Reported already.
  std::error_code unknown;
  while (!std::filesystem::exists(folder, unknown) && folder.has_relative_path())
    folder = folder.parent_path();
  if (std::filesystem::is_directory(folder, unknown) &&
      ::access(folder.c_str(), R_OK | W_OK | X_OK) == 0)
    return;
  findings.warn(
      state_dir.where,
      fmt::format("state_dir: user id {} cannot write to {}", ::geteuid(), folder.string()),
      "the user of `lockstep run` needs a directory there, or the right to make it");
}

void plan(Validation& validation) {
  if (!validation.source.answered) return;
  auto planned = validation.target.answered
                     ? plan_tables(validation.source.connection, validation.target.connection,
                                   validation.manifest)
                     : plan_source(validation.source.connection, validation.manifest);
  if (!planned) return validation.findings.failed(validation.manifest.tables, planned.error());
  validation.plan = std::move(*planned);
  validation.findings.add(std::move(validation.plan.problems));
}

// What an earlier run left on the target.  Where we may not read it, that is reported with the
// bookkeeping's grants.
void read_claim(Validation& validation) {
  Bookkeeping bookkeeping(bookkeeping_options(validation.manifest, "validate"));
  const auto begun = bookkeeping.exists();
  if (!begun || !*begun) return;
  if (auto claim = bookkeeping.read()) validation.claim = std::move(*claim);
}

void check_stream(Validation& validation) {
  if (validation.source.answered) check_publication(validation);
  if (validation.manifest.source.stream.value == StreamKind::Direct) {
    if (validation.source.answered) check_direct(validation);
    return;
  }
  if (!validation.manifest.source.debezium) return;
  check_connector_limits(validation);
  if (validation.source.answered) check_slot(validation);
  if (!validation.findings.spoiled(validation.debezium().topic_prefix.where))
    check_topics(validation);
  check_connector(validation);
}

}  // namespace

const DebeziumSection& Validation::debezium() const {
  CHECK(manifest.source.debezium);
  return *manifest.source.debezium;
}

std::vector<TableSpec> Validation::source_specs() const {
  std::vector<TableSpec> specs;
  for (const PlannedTable& table : plan.tables)
    if (!table.source.name.table.empty()) specs.push_back(table.source);
  return specs;
}

std::vector<TableName> Validation::source_names() const {
  std::vector<TableName> names;
  for (const TableSpec& spec : source_specs()) names.push_back(spec.name);
  return names;
}

bool Validation::has_begun(const TableName& name) const {
  return claim && claim->start &&
         std::ranges::any_of(claim->mappings, [&](const StoredMapping& mapping) {
           return mapping.source == name && mapping.fingerprint != kForgotten;
         });
}

void check_manifest(const Manifest& manifest, Findings& findings) {
  findings.add(check_supported(manifest));
  check_state_dir(manifest.state_dir, findings);
}

namespace {

// Asks who the servers are, and what the target remembers of the migration.
Validation ask_both(const Manifest& manifest, Findings& findings) {
  Validation validation{manifest,
                        findings,
                        make_server(manifest, Side::Source),
                        make_server(manifest, Side::Target),
                        {},
                        std::nullopt,
                        std::nullopt,
                        {},
                        false};
  const auto owner = find_owner(manifest);
  validation.running = owner && owner->has_value();
  ask_server(validation.source, manifest.source.connect, findings);
  ask_server(validation.target, manifest.target.connect, findings);
  if (validation.target.answered) read_claim(validation);
  return validation;
}

void check_all(Validation& validation) {
  const Manifest& manifest = validation.manifest;
  plan(validation);
  if (validation.source.answered) {
    auto slot = read_slot(validation.source.connection, manifest.source.slot.value);
    if (slot) {
      validation.slot = std::move(*slot);
    } else {
      validation.findings.failed(manifest.source.slot.where, slot.error());
    }
    check_source_server(validation);
    check_source_grants(validation);
    check_tables(validation);
  }
  if (validation.target.answered) {
    check_target_server(validation);
    check_start(validation);
    check_bookkeeping_grants(validation);
    check_target_grants(validation);
    check_disk(validation);
  }
  if (validation.source.answered && validation.target.answered) check_opposite(validation);
  check_stream(validation);
  check_aggregates(validation);
}

// No finding: most servers are so, and it does no harm while lockstep runs.
std::string risk_of_slot(const Validation& validation) {
  const SourceSection& source = validation.manifest.source;
  const bool bounded = source.wal_limit.mb != 0 && source.wal_limit.then != WalAction::Warn;
  if (validation.source.facts.slot_wal_keep_mb >= 0 || bounded) return "";
  const bool direct = source.stream.value == StreamKind::Direct;
  return fmt::format(
      "no limit for the log that the source keeps for slot {}: it fills the source's disk when "
      "nobody reads it for long; ALTER SYSTEM SET max_slot_wal_keep_size there, as a superuser{}",
      source.slot.value, direct ? ", or source.wal_limit in the manifest" : "");
}

}  // namespace

std::optional<Summary> check_servers(const Manifest& manifest, Findings& findings) {
  Validation validation = ask_both(manifest, findings);
  check_all(validation);
  if (!validation.source.answered) return std::nullopt;
  auto summary = read_summary(validation.source.connection,
                              validation.target.answered ? &validation.target.connection : nullptr,
                              validation.plan);
  if (summary) {
    summary->of_slot = risk_of_slot(validation);
    return std::move(*summary);
  }
  findings.failed(validation.source.where, summary.error());
  return std::nullopt;
}

bool check_before_start(const Manifest& manifest, Findings& findings) {
  Validation validation = ask_both(manifest, findings);
  if (validation.claim && validation.claim->start) return false;
  check_all(validation);
  return true;
}

TablePlan check_kinds_of_tables(const Manifest& manifest, Findings& findings) {
  Validation validation = ask_both(manifest, findings);
  plan(validation);
  if (validation.source.answered) check_table_kinds(validation);
  return std::move(validation.plan);
}

void check_prepared_servers(const Manifest& manifest, Findings& findings) {
  Validation validation = ask_both(manifest, findings);
  // As roles and settings are by then.
  const auto prepare = [](ServerFacts& facts) {
    facts.role.superuser = facts.role.create_role = facts.role.create_database = false;
    facts.role.set_replication_role = true;
    facts.role.connections_max = -1;  // Of whoever asks.
    facts.wal_level = "logical";
    facts.replication_slots_max =
        std::max(facts.replication_slots_max, facts.replication_slots_used + 1);
    facts.wal_senders_max = std::max(facts.wal_senders_max, facts.wal_senders_used + 1);
  };
  prepare(validation.source.facts);
  prepare(validation.target.facts);
  if (validation.source.answered) {
    check_source_server(validation);
    check_direct(validation);
  }
  if (validation.target.answered) check_target_server(validation);
  if (validation.source.answered && validation.target.answered) check_opposite(validation);
}

}  // namespace lockstep
