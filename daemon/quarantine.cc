#include "daemon/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <utility>

#include "connectors/postgres/target/bookkeeping.h"
#include "daemon/key_text.h"
#include "daemon/prepare.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// Whoever asks waits, and so do those who ask after him: ten seconds for a server that is silent.
constexpr std::array<std::pair<const char*, const char*>, 5> kQuarantinePatience{
    {{"connect_timeout", "5"},
     {"keepalives_idle", "4"},
     {"keepalives_interval", "2"},
     {"keepalives_count", "3"},
     {"tcp_user_timeout", "10000"}}};
constexpr const char* kStatementLimit = "SET statement_timeout = 10000";

Bookkeeping open_bookkeeping(const Manifest& manifest) {
  BookkeepingOptions options = bookkeeping_options(manifest, "quarantine");
  for (const auto& [name, value] : kQuarantinePatience)
    options.connection.keywords.emplace_back(name, value);
  options.connection.setup.emplace_back(kStatementLimit);
  return Bookkeeping(std::move(options));
}

// As the lanes name what they keep of an event.
std::string evidence_id(const QuarantinedRow& row) { return row.source.text() + "/" + row.id; }

// Bytes of any kind as a JSON string: what is not UTF-8 is shown in hex.
json::value shown_bytes(const std::string& bytes) {
  const json::value text(bytes);
  boost::system::error_code not_utf8;
  json::parse(json::serialize(text), not_utf8);  // The parser validates, the serializer does not.
  return not_utf8 ? json::value(hex_text(bytes)) : text;
}

Result<std::map<std::string, std::uint64_t>> evidence_sizes(const CheckpointReader* checkpoint) {
  std::map<std::string, std::uint64_t> sizes;
  if (checkpoint == nullptr) return sizes;
  LOCKSTEP_ASSIGN(const auto list, checkpoint->list_evidence());
  for (const EvidenceInfo& info : list) sizes[info.id] = info.event_bytes;
  return sizes;
}

json::object group_object(const QuarantineGroup& group) {
  return {{"table", group.source.text()}, {"state", group.state}, {"reason", group.reason},
          {"detail", group.detail},       {"rows", group.rows},   {"first_id", group.first_id}};
}

json::object row_object(const QuarantinedRow& row) {
  json::object object;
  object["id"] = row.id;
  object["table"] = row.source.text();
  object["reason"] = row.reason;
  object["state"] = row.state;
  object["xid"] = row.xid;
  object["commit_time"] =
      row.commit_us == 0 ? json::value(nullptr) : json::value(time_text(row.commit_us));
  object["attempts"] = row.attempts;
  object["detail"] = row.detail;
  return object;
}

ControlResponse answer_error(const Error& error) {
  json::object document;
  document["title"] = error.message;
  document["exit"] = static_cast<int>(error.exit);
  const unsigned status = error.exit == ExitCode::Usage ? 400 : 503;
  return {status, json::serialize(document)};
}

}  // namespace

Result<std::string> quarantine_json(const Manifest& manifest, const CheckpointReader* checkpoint,
                                    const QuarantineQuery& query) {
  Bookkeeping bookkeeping = open_bookkeeping(manifest);
  json::array rows;
  LOCKSTEP_ASSIGN(const bool begun, bookkeeping.exists());
  Quarantined stored;
  if (begun) {
    LOCKSTEP_ASSIGN(stored, bookkeeping.quarantined(query.ids, QuarantineQuery::kRowsMax));
  }
  LOCKSTEP_ASSIGN(const auto sizes, evidence_sizes(checkpoint));
  std::optional<KeyTexts> keys;
  if (query.values == ShowValues::Yes && !stored.rows.empty()) keys.emplace(manifest);
  for (const QuarantinedRow& row : stored.rows) {
    json::object object = row_object(row);
    const auto size = sizes.find(evidence_id(row));
    object["event_bytes"] = size == sizes.end() ? json::value(nullptr) : json::value(size->second);
    if (keys) {
      object["key"] = keys->text(row.source, row.key);
      object["holder"] = row.holder.empty() ? json::value(nullptr) : json::value(row.holder);
      object["event"] = nullptr;
      if (size != sizes.end()) {
        LOCKSTEP_ASSIGN(const auto evidence, checkpoint->load_evidence(evidence_id(row)));
        if (evidence) object["event"] = shown_bytes(evidence->bytes);
      }
    }
    rows.push_back(std::move(object));
  }
  json::array groups;
  for (const QuarantineGroup& group : stored.groups) groups.push_back(group_object(group));
  return json::serialize(json::object{
      {"rows", std::move(rows)}, {"total", stored.total}, {"groups", std::move(groups)}});
}

std::string path_of(const QuarantineQuery& query) {
  std::string path = kQuarantinePath;
  if (query.values == ShowValues::Yes) path += "?values=1";
  if (query.ids.empty()) return path;
  return fmt::format("{}{}ids={}", path, query.values == ShowValues::Yes ? "&" : "?",
                     fmt::join(query.ids, ","));
}

namespace {

std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    parts.emplace_back(part);
  }
  return parts;
}

}  // namespace

std::string edit_json(const QuarantineEdit& edit) {
  json::object document;
  document["verb"] = edit.verb == QuarantineEdit::Verb::Drop ? "drop" : "retry";
  json::array ids;
  for (const std::string& id : edit.ids) ids.emplace_back(id);
  document["ids"] = std::move(ids);
  return json::serialize(document);
}

Result<QuarantineEdit> parse_edit(const std::string& text) {
  const auto wrong = [] {
    return fail(Reaction::Halt, R"(expected {"verb": "retry" or "drop", "ids": [texts]})",
                ExitCode::Usage);
  };
  boost::system::error_code broken;
  const json::value document = json::parse(text, broken);
  const json::object* object = broken ? nullptr : document.if_object();
  const json::value* verb = object == nullptr ? nullptr : object->if_contains("verb");
  const json::value* ids = object == nullptr ? nullptr : object->if_contains("ids");
  if (verb == nullptr || ids == nullptr || !ids->is_array()) return wrong();
  QuarantineEdit edit;
  if (*verb == "drop") {
    edit.verb = QuarantineEdit::Verb::Drop;
  } else if (*verb != "retry") {
    return wrong();
  }
  for (const json::value& id : ids->get_array()) {
    if (!id.is_string()) return wrong();
    edit.ids.emplace_back(id.get_string());
  }
  return edit;
}

Result<std::string> edit_quarantine(const Manifest& manifest, const QuarantineEdit& edit) {
  Bookkeeping bookkeeping = open_bookkeeping(manifest);
  LOCKSTEP_ASSIGN(const bool begun, bookkeeping.exists());
  std::uint64_t changed = 0;
  if (begun) {
    LOCKSTEP_ASSIGN(changed, edit.verb == QuarantineEdit::Verb::Drop
                                 ? bookkeeping.drop_quarantined(edit.ids)
                                 : bookkeeping.retry_quarantined(edit.ids));
  }
  json::object document;
  document["changed"] = changed;
  return json::serialize(document);
}

AuditEntry audit_of(const QuarantineEdit& edit, const std::string& actor) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  AuditEntry entry;
  entry.at_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  entry.actor = actor;
  entry.verb = edit.verb == QuarantineEdit::Verb::Drop ? "quarantine drop" : "quarantine retry";
  entry.details = edit.ids.empty() ? "all" : fmt::format("{}", fmt::join(edit.ids, " "));
  return entry;
}

ControlResponse answer_quarantine(const Manifest& manifest, RocksdbStore& store,
                                  const ControlRequest& request) {
  if (request.method == "GET") {
    QuarantineQuery query;
    if (request.query_value("values") == "1") query.values = ShowValues::Yes;
    query.ids = parts_of(request.query_value("ids"));
    if (query.ids.size() > QuarantineQuery::kIdsMax)
      return answer_error({Reaction::Halt,
                           fmt::format("ids: {} at most", QuarantineQuery::kIdsMax),
                           ExitCode::Usage,
                           {}});
    auto document = quarantine_json(manifest, &store.read(), query);
    return document ? ControlResponse{200, *document} : answer_error(document.error());
  }
  const auto edit = parse_edit(request.body);
  if (!edit) return answer_error(edit.error());
  // First the log: an edit that nobody can trace would be worse than a line about one that failed.
  if (auto logged = store.append_audit(audit_of(*edit, request.actor)); !logged)
    return answer_error(logged.error());
  auto document = edit_quarantine(manifest, *edit);
  return document ? ControlResponse{200, *document} : answer_error(document.error());
}

}  // namespace lockstep
