#include "daemon/quarantine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <iostream>
#include <map>

#include "checkpoint/state_lock.h"
#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// Where the rows are read and edited: the running daemon, or the target itself.
class Quarantine {
 public:
  explicit Quarantine(const Manifest& manifest) : manifest_(manifest) {}

  Result<std::string> list(ShowValues values) {
    LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest_.state_dir.value.string()));
    if (listens(owner))
      return ask_owner(
          *owner, {"GET", values == ShowValues::Yes ? kQuarantineValues : kQuarantinePath, ""});
    LOCKSTEP_ASSIGN(const auto checkpoint,
                    CheckpointReader::open(manifest_.state_dir.value.string()));
    return quarantine_json(manifest_, checkpoint ? &*checkpoint : nullptr, values);
  }

  Result<std::string> edit(const QuarantineEdit& edit) {
    LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest_.state_dir.value.string()));
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

// Keeps the rows with one of its ids (none: all).  An id that no row has is the caller's mistake.
Result<json::array> chosen_rows(const std::string& document, const QuarantineCommand& command) {
  const std::vector<std::string>& ids = command.ids;
  boost::system::error_code broken;
  const json::value parsed = json::parse(document, broken);
  const json::object* object = broken ? nullptr : parsed.if_object();
  const json::value* rows = object == nullptr ? nullptr : object->if_contains("rows");
  if (rows == nullptr || !rows->is_array())
    return fail(Reaction::Halt, "the daemon's answer is not a list of rows", ExitCode::Failed);
  if (ids.empty()) return rows->get_array();
  json::array chosen;
  for (const std::string& id : ids) {
    const auto found = std::ranges::find_if(rows->get_array(), [&](const json::value& row) {
      return row.is_object() && text_of(row.get_object(), "id") == id;
    });
    if (found == rows->get_array().end())
      return fail(Reaction::Halt,
                  fmt::format("no row with id {} is set aside: see lockstep quarantine list {}", id,
                              command.manifest),
                  ExitCode::Usage);
    chosen.push_back(*found);
  }
  return chosen;
}

// Rows that were set aside for one reason, usually one cure.
struct ReasonGroup {
  std::size_t rows = 0;
  std::string first_id;
};

// One line a reason: a rule that refuses twenty thousand rows is one thing to put right.
void print_list(const json::array& rows, const std::string& manifest) {
  if (rows.empty()) {
    std::cout << "no rows are set aside\n";
    return;
  }
  std::map<std::array<std::string, 4>, ReasonGroup> groups;  // Table, state, reason, detail.
  for (const json::value& value : rows) {
    const json::object& row = value.get_object();
    ReasonGroup& group = groups[{text_of(row, "table"), text_of(row, "state"),
                                 text_of(row, "reason"), text_of(row, "detail")}];
    if (group.rows++ == 0) group.first_id = text_of(row, "id");
  }
  std::cout << fmt::format("{:>8}  {:<30} {:<11} {:<12} {:<32}  {}\n", "rows", "table", "state",
                           "reason", "id of the first", "detail");
  for (const auto& [about, group] : groups)
    std::cout << fmt::format("{:>8}  {:<30} {:<11} {:<12} {:<32}  {}\n", group.rows, about[0],
                             about[1], about[2], group.first_id, about[3]);
  if (groups.size() < rows.size())
    std::cout << fmt::format("{} rows in all; each of them: lockstep quarantine show {}\n",
                             rows.size(), manifest);
}

void print_rows(const json::array& rows) {
  for (const json::value& value : rows) {
    const json::object& row = value.get_object();
    for (const auto& [key, member] : row)
      std::cout << fmt::format("{:<12} {}\n", std::string(key), text_of(row, key));
    std::cout << "\n";
  }
  if (rows.empty()) std::cout << "no rows are set aside\n";
}

Status show(const QuarantineCommand& command, const Manifest& manifest) {
  const ShowValues values = command.show_values ? ShowValues::Yes : ShowValues::No;
  LOCKSTEP_ASSIGN(const std::string document, Quarantine(manifest).list(values));
  LOCKSTEP_ASSIGN(const json::array rows, chosen_rows(document, command));
  if (command.format == OutputFormat::Json) {
    json::object answer;
    answer["rows"] = rows;
    std::cout << json::serialize(answer) << "\n";
  } else if (command.verb == "list" && !command.show_values) {
    print_list(rows, command.manifest);
  } else {
    print_rows(rows);
  }
  return {};
}

Status edit(const QuarantineCommand& command, const Manifest& manifest) {
  QuarantineEdit edit;
  if (command.verb == "drop") edit.verb = QuarantineEdit::Verb::Drop;
  edit.ids = command.ids;
  Quarantine quarantine(manifest);
  if (!edit.ids.empty()) {
    LOCKSTEP_ASSIGN(const std::string document, quarantine.list(ShowValues::No));
    LOCKSTEP_TRY(chosen_rows(document, command));
  }
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
