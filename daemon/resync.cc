#include "daemon/resync.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "daemon/steering_api.h"
#include "daemon/tables.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::string_view kResync = "resync";

std::string shown(const Resync& resync) {
  if (resync.all) return "every table";
  std::string text;
  for (const std::string& table : resync.tables) text += (text.empty() ? "" : ", ") + table;
  return text;
}

}  // namespace

std::string resync_text(const Resync& resync) {
  json::array tables;
  for (const std::string& table : resync.tables) tables.emplace_back(table);
  return json::serialize(json::object{{"all", resync.all}, {"tables", std::move(tables)}});
}

Result<Resync> parse_resync(std::string_view text) {
  const auto refused = [] {
    return fail(Reaction::Halt, "what is to be synced again is no list of tables");
  };
  boost::system::error_code broken;
  const json::value parsed = json::parse(text, broken);
  const json::object* const document = broken ? nullptr : parsed.if_object();
  if (document == nullptr) return refused();
  Resync resync;
  const json::value* const all = document->if_contains("all");
  resync.all = all != nullptr && all->is_bool() && all->get_bool();
  const json::value* const tables = document->if_contains("tables");
  if (tables != nullptr && !tables->is_array()) return refused();
  if (tables != nullptr)
    for (const json::value& table : tables->get_array()) {
      if (!table.is_string()) return refused();
      resync.tables.emplace(table.get_string());
    }
  if (!resync.wanted()) return refused();
  return resync;
}

Result<Resync> load_resync(const CheckpointReader& checkpoint) {
  LOCKSTEP_ASSIGN(const auto note, checkpoint.load_note(kResync));
  return note ? parse_resync(*note) : Resync();
}

Status ask_for_resync(RocksdbStore& store, const Resync& resync, const std::string& actor) {
  LOCKSTEP_ASSIGN(Resync all, load_resync(store.read()));
  all.all = all.all || resync.all;
  all.tables.insert(resync.tables.begin(), resync.tables.end());
  if (all.all) all.tables.clear();
  LOCKSTEP_TRY(audit(store, actor, "resync", shown(resync)));
  return store.save_note(kResync, resync_text(all));
}

Status forget_resync(RocksdbStore& store) { return store.remove_note(kResync); }

bool asks_for_resync(std::string_view message) {
  return message.find("begin the migration anew") != message.npos;
}

std::string resync_hint(const std::string& manifest) {
  return "lockstep resync " + manifest + " does that, and writes only the rows that differ";
}

std::string resync_advice(const std::string& table, std::uint64_t missing, std::uint64_t rows,
                          const std::string& manifest) {
  constexpr std::uint64_t kMany = 10;
  if (rows == 0 || missing < kMany || missing < rows - rows / 2) return {};
  return fmt::format(
      "{} rows of {} are missing on the target, of {} that were compared, as after a TRUNCATE "
      "there; next: lockstep resync {} --table '{}' reads them again",
      missing, table, rows, manifest, table);
}

Status check_resync(const Resync& resync, const std::vector<const TableMap*>& tables,
                    const std::string& manifest) {
  std::set<std::string> unknown = resync.tables;
  std::vector<TableName> kept;
  for (const TableMap* table : tables) {
    const bool asked = unknown.erase(table->text()) > 0;
    const bool keeps = table->existing || table->partitions == PartitionPolicy::Keep;
    if (keeps && (asked || resync.all)) kept.push_back(table->source.name);
  }
  if (!unknown.empty())
    return fail(Reaction::Halt,
                *unknown.begin() + " is no table of the migration: see lockstep status " + manifest,
                ExitCode::Usage);
  if (kept.empty()) return {};
  return fail(Reaction::Halt,
              shown_list(kept) +
                  " may keep rows that the source lacks (`existing: upsert`, or `partitions: "
                  "keep`), which a resync would delete: take that out of the manifest first",
              ExitCode::Config);
}

}  // namespace lockstep
