#include "daemon/quarantine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// Where the rows are read and edited: the running daemon, or the target itself.
class Quarantine {
 public:
  explicit Quarantine(const Manifest& manifest) : manifest_(manifest) {}

  Result<std::string> list(const QuarantineQuery& query) {
    LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest_));
    if (listens(owner)) return ask_owner(*owner, {"GET", path_of(query), ""});
    LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest_));
    return quarantine_json(manifest_, checkpoint ? &*checkpoint : nullptr, query);
  }

  Result<std::string> edit(const QuarantineEdit& edit) {
    LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest_));
    if (listens(owner)) return ask_owner(*owner, {"POST", kQuarantinePath, edit_json(edit)});
    // Takes the lock, so that no daemon starts meanwhile, and has the audit log.
    StoreOptions options;
    options.directory = manifest_.state_dir.value.string();
    options.identity.migration = manifest_.migration.value;
    LOCKSTEP_ASSIGN(const auto store, RocksdbStore::open(options));
    LOCKSTEP_TRY(refuse_while_aborted(store->read(), manifest_.path));
    LOCKSTEP_TRY(store->append_audit(audit_of(edit, own_actor())));
    return edit_quarantine(manifest_, edit);
  }

 private:
  static bool listens(const std::optional<LockOwner>& owner) {
    return owner && !owner->socket.empty();
  }

  const Manifest& manifest_;
};

// What was asked for: rows as far as they are listed, and what all have in common.
struct Listed {
  json::array rows;
  json::array groups;
  std::uint64_t total = 0;
};

Result<Listed> parse_list(const std::string& document) {
  boost::system::error_code broken;
  const json::value parsed = json::parse(document, broken);
  const json::object* object = broken ? nullptr : parsed.if_object();
  const json::value* rows = object == nullptr ? nullptr : object->if_contains("rows");
  if (rows == nullptr || !rows->is_array())
    return fail(Reaction::Halt, "the daemon's answer is not a list of rows", ExitCode::Failed);
  Listed listed;
  listed.rows = rows->get_array();
  const json::value* groups = object->if_contains("groups");
  if (groups != nullptr && groups->is_array()) listed.groups = groups->get_array();
  const json::value* total = object->if_contains("total");
  if (total != nullptr) listed.total = total->to_number<std::uint64_t>(broken);
  if (total == nullptr || broken)
    return fail(Reaction::Halt, "the daemon's answer has no number of rows", ExitCode::Failed);
  return listed;
}

// The rows with one of the command's ids (none: all).  An id that no row has is the caller's
// mistake.
Result<Listed> chosen_rows(Quarantine& quarantine, const QuarantineCommand& command,
                           ShowValues values) {
  const std::vector<std::string>& ids = command.ids;
  if (ids.empty()) {
    LOCKSTEP_ASSIGN(const std::string document, quarantine.list({values}));
    return parse_list(document);
  }
  Listed chosen;
  for (std::size_t from = 0; from < ids.size(); from += QuarantineQuery::kIdsMax) {
    const std::size_t to = std::min(ids.size(), from + QuarantineQuery::kIdsMax);
    const auto at = [&](std::size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
    LOCKSTEP_ASSIGN(const std::string document, quarantine.list({values, {at(from), at(to)}}));
    LOCKSTEP_ASSIGN(const Listed listed, parse_list(document));
    for (const json::value& row : listed.rows) chosen.rows.push_back(row);
  }
  for (const std::string& id : ids) {
    const bool found = std::ranges::any_of(chosen.rows, [&](const json::value& row) {
      return row.is_object() && text_of(row.get_object(), "id") == id;
    });
    if (!found)
      return fail(Reaction::Halt,
                  fmt::format("no row with id {} is set aside: see lockstep quarantine list {}", id,
                              command.manifest),
                  ExitCode::Usage);
  }
  chosen.total = chosen.rows.size();
  return chosen;
}

// One line a reason: a rule that refuses twenty thousand rows is one thing to put right.
void print_groups(const Listed& listed, const std::string& manifest) {
  if (listed.rows.empty()) {
    std::cout << "no rows are set aside\n";
    return;
  }
  std::cout << fmt::format("{:>8}  {:<30} {:<11} {:<12} {:<32}  {}\n", "rows", "table", "state",
                           "reason", "id of the first", "detail");
  for (const json::value& value : listed.groups) {
    const json::object& group = value.get_object();
    std::cout << fmt::format("{:>8}  {:<30} {:<11} {:<12} {:<32}  {}\n", text_of(group, "rows"),
                             text_of(group, "table"), text_of(group, "state"),
                             text_of(group, "reason"), text_of(group, "first_id"),
                             text_of(group, "detail"));
  }
  if (listed.groups.size() < listed.total)
    std::cout << fmt::format("{} rows in all; each of them: lockstep quarantine show {}\n",
                             listed.total, manifest);
}

void print_rows(const Listed& listed, const std::string& manifest) {
  for (const json::value& value : listed.rows) {
    const json::object& row = value.get_object();
    for (const auto& [key, member] : row)
      std::cout << fmt::format("{:<12} {}\n", std::string(key), text_of(row, key));
    std::cout << "\n";
  }
  if (listed.rows.empty()) std::cout << "no rows are set aside\n";
  if (listed.rows.size() < listed.total)
    std::cout << fmt::format(
        "and {} more: one of them is shown by lockstep quarantine show {} ID\n",
        listed.total - listed.rows.size(), manifest);
}

Status show(const QuarantineCommand& command, const Manifest& manifest) {
  const ShowValues values = command.show_values ? ShowValues::Yes : ShowValues::No;
  Quarantine quarantine(manifest);
  LOCKSTEP_ASSIGN(Listed listed, chosen_rows(quarantine, command, values));
  if (command.format == OutputFormat::Json) {
    json::object answer;
    if (listed.rows.size() < listed.total) answer["total"] = listed.total;
    answer["rows"] = std::move(listed.rows);
    std::cout << json::serialize(answer) << "\n";
  } else if (command.verb == "list" && !command.show_values && command.ids.empty()) {
    print_groups(listed, command.manifest);
  } else {
    print_rows(listed, command.manifest);
  }
  return {};
}

Status edit(const QuarantineCommand& command, const Manifest& manifest) {
  QuarantineEdit edit;
  if (command.verb == "drop") edit.verb = QuarantineEdit::Verb::Drop;
  edit.ids = command.ids;
  Quarantine quarantine(manifest);
  if (!edit.ids.empty()) LOCKSTEP_TRY(chosen_rows(quarantine, command, ShowValues::No));
  LOCKSTEP_ASSIGN(const std::string answer, quarantine.edit(edit));
  if (command.format == OutputFormat::Json) {
    std::cout << answer << "\n";
    return {};
  }
  boost::system::error_code broken;
  const json::value document = json::parse(answer, broken);
  const std::string changed = document.is_object() ? text_of(document.get_object(), "changed") : "";
  std::cout << (command.verb == "drop" ? "accepted the difference of " : "will read again ")
            << changed << " row(s)\n";
  return {};
}

}  // namespace

ExitCode quarantine_command(const QuarantineCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const bool reads = command.verb == "list" || command.verb == "show";
  const Status done = reads ? show(command, *manifest) : edit(command, *manifest);
  return done ? ExitCode::Ok : complain(done.error());
}

}  // namespace lockstep
