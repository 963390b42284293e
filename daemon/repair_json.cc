#include "daemon/repair_json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <optional>

#include "daemon/status_json.h"
#include "pipeline/base/number.h"

namespace lockstep {
namespace {

namespace json = boost::json;

std::unexpected<Error> no_document(const std::string& expected) {
  return fail(Reaction::Halt, "expected " + expected, ExitCode::Usage);
}

std::optional<json::object> object_of(const std::string& document) {
  boost::system::error_code broken;
  const json::value parsed = json::parse(document, broken);
  if (broken || !parsed.is_object()) return std::nullopt;
  return parsed.get_object();
}

std::optional<Hash128> parse_hash(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  constexpr int kHex = 16;
  Hash128 hash;
  const bool read = text.size() == 2 * kDigits &&
                    parse_number(text.substr(0, kDigits), hash.high, kHex) &&
                    parse_number(text.substr(kDigits), hash.low, kHex);
  return read ? std::optional(hash) : std::nullopt;
}

std::optional<std::uint64_t> id_of(const json::value& value) {
  boost::system::error_code no_number;
  const auto id = value.to_number<std::uint64_t>(no_number);
  return no_number ? std::nullopt : std::optional(id);
}

AuditEntry entry_of(const std::string& actor, std::string verb, std::string details) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::microseconds>(now).count(), actor,
          std::move(verb), std::move(details)};
}

}  // namespace

std::string repair_json(const RepairRequest& request) {
  json::array ids;
  for (const std::uint64_t id : request.ids) ids.emplace_back(id);
  json::object seen;
  for (const auto& [id, as] : request.seen) seen[std::to_string(id)] = hash_text(as);
  return json::serialize(json::object{
      {"ids", std::move(ids)}, {"scope", scope_text(request.scope)}, {"seen", std::move(seen)}});
}

std::string mark_json(FindingMark mark) {
  return json::serialize(json::object{{"id", mark.finding}, {"state", state_text(mark.to)}});
}

std::string repairs_json(const RepairsState& state) {
  return json::serialize(
      json::object{{"waits", state.waits.empty() ? json::value(nullptr) : json::value(state.waits)},
                   {"run", state.run}});
}

Result<RepairRequest> parse_repair(const std::string& document) {
  constexpr const char* kExpected =
      R"({"ids": [numbers], "scope": all, upsert or insert, "seen": {id: 32 digits}})";
  const auto object = object_of(document);
  const json::value* const ids = object ? object->if_contains("ids") : nullptr;
  const auto scope = object ? parse_scope(text_of(*object, "scope")) : std::nullopt;
  if (ids == nullptr || !ids->is_array() || !scope) return no_document(kExpected);
  RepairRequest request{{}, *scope};
  for (const json::value& value : ids->get_array()) {
    const auto id = id_of(value);
    if (!id) return no_document(kExpected);
    request.ids.push_back(*id);
  }
  const json::value* const seen = object->if_contains("seen");
  if (seen == nullptr) return request;
  if (!seen->is_object()) return no_document(kExpected);
  for (const auto& [name, value] : seen->get_object()) {
    std::uint64_t id = 0;
    const auto as = value.is_string() ? parse_hash(value.get_string()) : std::nullopt;
    if (!as || !parse_number(std::string_view(name), id)) return no_document(kExpected);
    request.seen[id] = *as;
  }
  return request;
}

Result<FindingMark> parse_mark(const std::string& document) {
  const auto object = object_of(document);
  const json::value* const value = object ? object->if_contains("id") : nullptr;
  const auto id = value == nullptr ? std::nullopt : id_of(*value);
  for (const FindingState to : {FindingState::Undone, FindingState::Repaired})
    if (id && text_of(*object, "state") == state_text(to)) return FindingMark{*id, to};
  return no_document(R"({"id": a number, "state": undone or repaired})");
}

std::string undo_write_json(const UndoWrite& write) {
  return json::serialize(json::object{{"id", write.finding}, {"writes", write.writes}});
}

std::optional<UndoWrite> parse_undo_write(const std::string& document) {
  const auto object = object_of(document);
  const json::value* const value = object ? object->if_contains("id") : nullptr;
  const json::value* const writes = object ? object->if_contains("writes") : nullptr;
  const auto id = value == nullptr ? std::nullopt : id_of(*value);
  if (!id || writes == nullptr || !writes->is_bool()) return std::nullopt;
  return UndoWrite{*id, writes->get_bool()};
}

Result<RepairsState> parse_repairs(const std::string& document) {
  const auto object = object_of(document);
  const json::value* const run = object ? object->if_contains("run") : nullptr;
  const auto number = run == nullptr ? std::nullopt : id_of(*run);
  if (!number) return no_document(R"({"waits": text or null, "run": a number})");
  const std::string waits = text_of(*object, "waits");
  return RepairsState{waits == "-" ? "" : waits, *number};
}

AuditEntry audit_of(const RepairRequest& request, const std::string& actor) {
  return entry_of(
      actor, "repair",
      fmt::format("{} findings, scope {}", request.ids.size(), scope_text(request.scope)));
}

AuditEntry audit_of(FindingMark mark, const std::string& actor) {
  const bool undone = mark.to == FindingState::Undone;
  return entry_of(
      actor, "repair undo",
      fmt::format("finding {}: {}", mark.finding,
                  undone ? "taken back" : "not taken back: the row is not what the repair wrote"));
}

}  // namespace lockstep
