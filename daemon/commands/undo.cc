// `repair undo`: puts back the row that was on the target before a repair.
//
//   finding (repaired) ─> marked `undone` ─> may we write? ─> one guarded statement ─> marked back
//   if it was not sent, or hit no row
//
// The mark comes first: a process that dies in between leaves a finding that says `undone` while
// the rows are equal, which the next look resolves, and not a difference that `repair: auto` would
// repair at once.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>

#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/rocksdb_store.h"
#include "checkpoint/state_lock.h"
#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/repair_json.h"
#include "daemon/repair_sql.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"
#include "daemon/undoing.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kNotedWithin{30};
constexpr std::chrono::milliseconds kNotedEvery{200};

// Exit codes: Usage where the finding is none that a repair wrote, Incomplete where its row is not
// what the repair wrote any more or the target refuses the old one, Temporary where it cannot be
// done right now.
std::unexpected<Error> refused(const std::string& why, ExitCode exit) {
  return fail(Reaction::Halt, "nothing was undone: " + why, exit);
}

Result<Finding> finding_of(const Manifest& manifest, std::uint64_t id) {
  FindingsFilter filter;
  filter.ids = {id};
  LOCKSTEP_ASSIGN(FindingsList list, list_findings(manifest, filter));
  return std::move(list.findings.front());
}

// The findings, to be marked: the running daemon's, or the state directory's, whose lock is held.
class Journal {
 public:
  static Result<Journal> open(const Manifest& manifest) {
    Journal journal(manifest);
    LOCKSTEP_ASSIGN(journal.owner_, await_owner(manifest));
    if (journal.owner_ && !journal.owner_->socket.empty()) {
      LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest));
      if (checkpoint) LOCKSTEP_TRY(may_write(*checkpoint, manifest));
      return journal;
    }
    StoreOptions options;
    options.directory = manifest.state_dir.value.string();
    options.identity.migration = manifest.migration.value;
    LOCKSTEP_ASSIGN(journal.store_, RocksdbStore::open(options));
    LOCKSTEP_TRY(may_write(journal.store_->read(), manifest));
    return journal;
  }

  // Before the row is written: for the mark it may have waited long.  A pause that is ordered from
  // now on waits for ends_write().
  Status begins_write(std::uint64_t finding) {
    if (store_) return {};  // Whoever orders a pause needs the lock that is held.
    LOCKSTEP_TRY(ask_owner(*owner_, {"POST", kMarkPath, undo_write_json({finding, true})}));
    return {};
  }
  void ends_write(std::uint64_t finding) {
    if (store_) return;
    // A daemon that does not hear it knows how long a write can take.
    [[maybe_unused]] const auto told =
        ask_owner(*owner_, {"POST", kMarkPath, undo_write_json({finding, false})});
  }

  Status mark(FindingMark mark) {
    if (!store_) return ask(mark);
    LOCKSTEP_TRY(store_->append_audit(audit_of(mark, own_actor())));
    LOCKSTEP_ASSIGN(std::optional<Finding> finding, store_->verified().find(mark.finding));
    if (!finding) return refused("the finding is gone", ExitCode::Usage);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    finding->become(mark.to, std::chrono::duration_cast<std::chrono::microseconds>(now).count());
    LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id,
                    store_->verified().save_finding(*finding));
    return {};
  }

 private:
  explicit Journal(const Manifest& manifest) : manifest_(&manifest) {}

  // The row is written here, so that a pause of the lanes is no reason to be let through.
  static Status may_write(const CheckpointReader& checkpoint, const Manifest& manifest) {
    LOCKSTEP_ASSIGN(const Pauses pauses, stored_pauses(checkpoint));
    return refuse_while_held(pauses, manifest.path);
  }

  // The sweep marks it between two steps of a comparison.
  Status ask(FindingMark mark) {
    LOCKSTEP_ASSIGN(const Finding before, finding_of(*manifest_, mark.finding));
    LOCKSTEP_ASSIGN([[maybe_unused]] const std::string answer,
                    ask_owner(*owner_, {"POST", kMarkPath, mark_json(mark)}));
    const auto until = std::chrono::steady_clock::now() + kNotedWithin;
    StopFlag never;
    WaitNotice notice;
    while (std::chrono::steady_clock::now() < until) {
      LOCKSTEP_ASSIGN(const Finding now, finding_of(*manifest_, mark.finding));
      if (now.state == mark.to) return {};
      if (now.state != before.state)
        return refused(fmt::format("the finding has become {}", state_text(now.state)),
                       ExitCode::Incomplete);
      notice.tell(
          fmt::format("the daemon is to note it, and waits for a server; next: lockstep "
                      "status {}",
                      manifest_->path));
      never.wait(kNotedEvery);
    }
    // It may be noted late, and nothing is written then.
    if (mark.to == FindingState::Undone)
      LOCKSTEP_TRY(ask_owner(
          *owner_, {"POST", kMarkPath, mark_json({mark.finding, FindingState::Repaired})}));
    return refused(
        fmt::format("the daemon waits for a server; next: lockstep status {}, and ask again",
                    manifest_->path),
        ExitCode::Temporary);
  }

  const Manifest* manifest_;
  std::optional<LockOwner> owner_;
  std::unique_ptr<RocksdbStore> store_;
};

std::string why_not(const Finding& finding) {
  switch (finding.state) {
    case FindingState::Repaired:
      return {};
    case FindingState::Undone:
      return "it is undone already";
    case FindingState::Resolved:
      return "lockstep did not repair it: the row became equal by itself";
    case FindingState::Open:
    case FindingState::Repairing:
      return "it is not repaired";
  }
  return "it is not known";
}

PostgresConnection writing(const Manifest& manifest) {
  PostgresOptions options = connection_options(manifest, Side::Target, "undo");
  options.keywords.emplace_back("connect_timeout", "5");
  // As the rows were written: triggers and foreign keys are not asked (I11).
  options.setup = {"SET session_replication_role = replica",
                   fmt::format("SET statement_timeout = '{}s'", kUndoWritesMax.count())};
  return PostgresConnection(std::move(options));
}

// One statement, in order with whatever else writes the row by the row's own lock: it hits what the
// repair wrote, or nothing.
Status put_back(const Manifest& manifest, const Finding& finding, const std::string& sql) {
  PostgresConnection target = writing(manifest);
  LOCKSTEP_TRY(target.open());
  LOCKSTEP_ASSIGN(Journal journal, Journal::open(manifest));
  LOCKSTEP_TRY(journal.mark({finding.id, FindingState::Undone}));
  if (Status may = journal.begins_write(finding.id); !may) {
    LOCKSTEP_TRY(journal.mark({finding.id, FindingState::Repaired}));
    return refused(may.error().message, ExitCode::Temporary);
  }
  const auto done = target.run(sql);
  journal.ends_write(finding.id);
  if (!done && !target.is_open())
    return fail(Reaction::Retry,
                fmt::format("the target was lost while the row was put back: finding {} stays "
                            "`undone` if it was, and is resolved if it was not",
                            finding.id),
                ExitCode::Unreachable);
  if (done && std::string_view(PQcmdTuples(done->get())) == "1") return {};
  LOCKSTEP_TRY(journal.mark({finding.id, FindingState::Repaired}));
  if (!done) return refused(done.error().message, ExitCode::Incomplete);
  return refused(
      fmt::format("the target's row is not what the repair wrote: it has changed since; next: "
                  "lockstep explain-row {} {} says how it stands",
                  manifest.path, finding.table),
      ExitCode::Incomplete);
}

Result<ExitCode> undo(const Manifest& manifest, const UndoCommand& command) {
  LOCKSTEP_ASSIGN(const Finding finding, finding_of(manifest, command.id));
  if (const std::string why = why_not(finding); !why.empty())
    return refused(fmt::format("finding {}: {}; next: lockstep findings show {} {}", finding.id,
                               why, manifest.path, finding.id),
                   ExitCode::Usage);
  KeyTexts texts(manifest);
  auto sql = undo_sql(finding, texts);
  if (!sql)
    return refused(fmt::format("finding {}: {}", finding.id, sql.error().message),
                   sql.error().exit);
  std::cout << sql_session() << *sql << "\n";
  if (const std::string columns = unknown_columns(finding, texts); !columns.empty())
    std::cout << "-- these columns get their defaults, as nobody knows what they held: " << columns
              << "\n";
  if (!command.yes) {
    std::cout << "-- nothing was done: --yes does it, if the row is still what the repair wrote\n";
    return ExitCode::Ok;
  }
  LOCKSTEP_TRY(put_back(manifest, finding, *sql));
  std::cout << fmt::format(
      "-- done: the row is what it was; it is repaired again by lockstep repair {} --id {} --yes "
      "only\n",
      manifest.path, finding.id);
  return ExitCode::Ok;
}

}  // namespace

ExitCode undo_command(const UndoCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto undone = undo(*manifest, command);
  return undone ? *undone : complain(undone.error());
}

}  // namespace lockstep
