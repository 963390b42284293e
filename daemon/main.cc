// lockstep: moves a live database to a new home and proves, row by row, that nothing was lost.
//
// This file only parses the command line; the verbs are in daemon/commands/.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "config/fields.h"
#include "daemon/commands/commands.h"
#include "daemon/completion.h"

namespace lockstep {
namespace {

void add_format(CLI::App& verb, OutputFormat& format) {
  verb.add_option_function<std::string>(
          "--format",
          [&format](const std::string& name) {
            format = name == "json" ? OutputFormat::Json : OutputFormat::Text;
          },
          "text (default) or json")
      ->check(CLI::IsMember({"text", "json"}));
}

CLI::App& add_verb(CLI::App& app, const std::string& name, const std::string& what,
                   std::string& manifest) {
  CLI::App& verb = *app.add_subcommand(name, what);
  verb.add_option("FILE", manifest, "The migration's manifest (YAML)")->required();
  return verb;
}

// CLI11 says of a misspelt verb only that one is required.  Returns what is wrong, or "".
std::string unknown_verb(const CLI::App& app, int count, char** arguments) {
  if (count < 2 || *arguments[1] == '-') return {};
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) verbs.push_back(verb->get_name());
  const std::string given = arguments[1];
  if (std::ranges::find(verbs, given) != verbs.end()) return {};
  const std::string close = nearest(given, verbs);
  return "lockstep: there is no verb " + given +
         (close.empty() ? ": see lockstep --help" : ": did you mean " + close + "?");
}

// The verbs and what was given to them.
class Verbs {
 public:
  explicit Verbs(CLI::App& app) : app_(app) {
    add_init();
    add_validate();
    add_run();
    add_status();
    add_reconcile();
    add_findings();
    add_repair();
    add_explain_row();
    add_aggregates();
    add_pause();
    add_resume();
    add_abort();
    add_settings();
    add_reload();
    add_config();
    add_events();
    add_top();
    add_doctor();
    add_healthcheck();
    add_audit();
    add_stop();
    add_resync();
    add_quarantine();
    add_reset();
    add_connector_config();
    add_completion();
    add_version();
  }

  // REQUIRES: one was parsed.
  ExitCode carry_out() const { return chosen_(); }

 private:
  void add_run() {
    CLI::App& verb =
        add_verb(app_, "run", "Copy, follow and keep in step until stopped", run_.manifest);
    verb.add_option("--until", until_, "synced: end once everything committed is applied")
        ->check(CLI::IsMember({"synced"}));
    verb.callback([this] {
      run_.until_synced = until_ == "synced";
      chosen_ = [this] { return run_command(run_); };
    });
  }

  void add_init() {
    CLI::App& verb = *app_.add_subcommand(
        "init", "Write the manifest of a new migration, print what has to be run before it");
    const char* const uri =
        "postgres://USER@HOST/DATABASE or key=value, as libpq; who may look "
        "at every table (its owner, a superuser)";
    verb.add_option("--source", init_.source, uri)->required();
    verb.add_option("--target", init_.target, uri)->required();
    verb.add_option("--out", init_.out, "The manifest (default: NAME.yaml)");
    verb.add_option("--name", init_.name, "Of the migration (default: the source's database)");
    verb.add_option("--owner", init_.owner,
                    "Of the target's tables (default: the owner of its database)");
    verb.add_option("--reader", init_.reader, "Lockstep's role on the source")
        ->capture_default_str();
    verb.add_option("--writer", init_.writer, "Lockstep's role on the target")
        ->capture_default_str();
    verb.add_flag("--force", init_.force, "Replace a manifest that is there");
    verb.add_flag("--dry-run", init_.dry_run, "Print all of it, the manifest too; write nothing");
    verb.callback([this] { chosen_ = [this] { return init_command(init_); }; });
  }

  void add_validate() {
    CLI::App& verb = add_verb(app_, "validate",
                              "Check the manifest, both servers, the broker; report everything",
                              validate_.manifest);
    verb.add_flag("--offline", validate_.offline, "Only what the file alone tells");
    verb.add_flag("--deny-warnings", validate_.deny_warnings, "Warnings count as problems");
    add_format(verb, validate_.format);
    verb.callback([this] { chosen_ = [this] { return validate_command(validate_); }; });
  }

  void add_status() {
    CLI::App& verb =
        add_verb(app_, "status", "Where the migration stands, running or not", status_.manifest);
    auto* const coded = verb.add_flag("--exit-code", status_.exit_code, "Exit 3 when not synced");
    CLI::Option* const fresh =
        verb.add_flag("--fresh", status_.fresh,
                      "Have the running daemon prove it from now on; waits, a minute at most");
    verb.add_flag("--watch", status_.watch, "Again every two seconds, until Ctrl-C")
        ->excludes(coded)
        ->excludes(fresh);
    verb.add_flag("--show-values", status_.show_values, "In JSON, keys where ranges end");
    add_format(verb, status_.format);
    verb.callback([this] { chosen_ = [this] { return status_command(status_); }; });
  }

  void add_reconcile() {
    CLI::App& verb =
        add_verb(app_, "reconcile", "Compare every row of both sides, while they change",
                 reconcile_.manifest);
    verb.add_flag("--once", once_, "One full sweep, then end")->required();
    verb.add_option("--table", reconcile_.table, "schema.table as status names it; none: all");
    add_format(verb, reconcile_.format);
    verb.callback([this] { chosen_ = [this] { return reconcile_command(reconcile_); }; });
  }

  void add_findings() {
    CLI::App& group = *app_.add_subcommand("findings", "Rows that are not equal on both sides");
    group.require_subcommand(1);
    for (const char* name : {"list", "show"}) {
      CLI::App& verb =
          add_verb(group, name, std::string(name) + " rows that are not equal", findings_.manifest);
      verb.add_option("ID", findings_.filter.ids, "As `list` prints them; none: all");
      verb.add_option("--table", findings_.filter.table,
                      "schema.table as status names it; none: all");
      verb.add_flag("--all", findings_.filter.all, "Also those that are equal by now");
      verb.add_flag("--show-values", findings_.show_values, "Print both rows");
      verb.add_option("--limit", findings_.filter.limit,
                      "At most so many one by one; the groups of list are of all")
          ->capture_default_str();
      add_format(verb, findings_.format);
      verb.callback([this, name] {
        findings_.verb = name;
        chosen_ = [this] { return findings_command(findings_); };
      });
    }
  }

  // Its FILE may be a verb of its own.
  void add_repair() {
    CLI::App& verb =
        *app_.add_subcommand("repair", "Make rows that are not equal so on the target");
    verb.add_option("FILE", repair_.manifest, "The migration's manifest (YAML)");
    verb.add_option("--table", repair_.filter.table, "schema.table as status names it; none: all");
    verb.add_option("--id", repair_.filter.ids, "As `findings list` prints them; none: all");
    auto* const yes = verb.add_flag("--yes", repair_.yes, "Do it");
    verb.add_flag_callback("--dry-run", [] {}, "Only print the SQL of it (default)")->excludes(yes);
    auto* const insert = verb.add_flag_callback(
        "--insert-only", [this] { repair_.filter.scope = RepairScope::Insert; },
        "Only rows that the target lacks: nothing that is there is changed");
    verb.add_flag_callback(
            "--upsert-only", [this] { repair_.filter.scope = RepairScope::Upsert; },
            "Only rows that the target lacks, or that differ: nothing is deleted")
        ->excludes(insert);
    const CLI::App* const undo = add_undo(verb);
    verb.callback([this, undo] {
      if (undo->parsed()) return;
      chosen_ = [this] {
        if (!repair_.manifest.empty()) return repair_command(repair_);
        std::cerr << "FILE is required\nRun with --help for more information.\n";
        return ExitCode::Usage;
      };
    });
  }

  const CLI::App* add_undo(CLI::App& group) {
    CLI::App& verb = add_verb(group, "undo", "Put back the row of before a repair", undo_.manifest);
    verb.add_option("ID", undo_.id, "Of a finding that is repaired (`findings list --all`)")
        ->required();
    auto* const yes = verb.add_flag("--yes", undo_.yes, "Do it");
    verb.add_flag_callback("--dry-run", [] {}, "Only print the SQL of it (default)")->excludes(yes);
    verb.callback([this] { chosen_ = [this] { return undo_command(undo_); }; });
    return &verb;
  }

  void add_aggregates() {
    CLI::App& verb = add_verb(app_, "aggregates",
                              "What the manifest's aggregates came to on both sides, and when",
                              aggregates_.manifest);
    add_format(verb, aggregates_.format);
    verb.callback([this] { chosen_ = [this] { return aggregates_command(aggregates_); }; });
  }

  void add_explain_row() {
    CLI::App& verb = add_verb(app_, "explain-row", "All that is known of one row of both sides",
                              explain_row_.manifest);
    verb.add_option("TABLE", explain_row_.question.table, "schema.table as status names it")
        ->required();
    verb.add_option("KEY", explain_row_.question.key,
                    "17, id=17, tenant=eu,id=17, or a JSON object")
        ->required();
    verb.add_flag_callback(
        "--show-values", [this] { explain_row_.question.values = ShowValues::Yes; },
        "Print both rows");
    add_format(verb, explain_row_.format);
    verb.callback([this] { chosen_ = [this] { return explain_row_command(explain_row_); }; });
  }

  void add_pause() {
    CLI::App& verb = add_verb(
        app_, "pause", "Hold a part of the migration until it is resumed, also over restarts",
        pause_.manifest);
    auto* const scope =
        verb.add_option("--scope", pause_.scope, "all (default), backfill, apply or reconcile");
    verb.add_option("--table", pause_.table, "Only this one, schema.table as status names it")
        ->excludes(scope);
    verb.add_option("--reason", pause_.reason, "For status and the audit log");
    verb.callback([this] { chosen_ = [this] { return pause_command(pause_); }; });
  }

  void add_settings() {
    for (const char* name : {"settings", "get", "set"}) {
      const std::string_view kind = name;
      CLI::App& verb = add_verb(app_, name,
                                kind == "set" ? "Change settings at once, also over restarts"
                                              : "What may be changed while it runs, and who did",
                                settings_.manifest);
      if (kind == "get")
        verb.add_option("NAME", settings_.name, "As settings names it")->required();
      if (kind == "set") {
        verb.add_option("NAME=VALUE", settings_.values, "NAME=manifest: what the manifest says")
            ->required();
        verb.add_option("--reason", settings_.reason, "For the audit log");
      }
      add_format(verb, settings_.format);
      verb.callback([this] { chosen_ = [this] { return settings_command(settings_); }; });
    }
  }

  void add_reload() {
    CLI::App& verb =
        add_verb(app_, "reload",
                 "Have the daemon read the manifest again: hot keys count at once, anything else "
                 "changes nothing",
                 reload_.manifest);
    verb.add_option("--reason", reload_.reason, "For the audit log");
    verb.callback([this] { chosen_ = [this] { return reload_command(reload_); }; });
  }

  void add_config() {
    CLI::App& group = *app_.add_subcommand("config", "The manifest: what it comes to, its schema");
    group.require_subcommand(1);
    const auto callback = [this](CLI::App& verb, const char* name) {
      verb.callback([this, name] {
        config_.verb = name;
        chosen_ = [this] { return config_command(config_); };
      });
    };
    CLI::App& print = add_verb(group, "print", "With every default, without secrets (YAML, JSON)",
                               config_.manifest);
    add_format(print, config_.format);
    callback(print, "print");
    callback(*group.add_subcommand("schema", "JSON Schema of the manifest; x-hot: reload takes it"),
             "schema");
    CLI::App& diff = add_verb(
        group, "diff", "What the running daemon goes by, and the file does not", config_.manifest);
    add_format(diff, config_.format);
    callback(diff, "diff");
  }

  void add_events() {
    CLI::App& verb =
        add_verb(app_, "events", "What lockstep has told, running or not", events_.manifest);
    verb.add_flag("--follow", events_.follow, "And what it tells from now on");
    verb.add_option("--limit", events_.limit, "The newest so many, 10000 at most")
        ->capture_default_str();
    add_format(verb, events_.format);
    verb.callback([this] { chosen_ = [this] { return events_command(events_); }; });
  }

  void add_top() {
    CLI::App& verb = add_verb(app_, "top",
                              "How it does, on one screen, until Ctrl-C; in a pipe a line now and "
                              "then",
                              top_manifest_);
    verb.callback([this] { chosen_ = [this] { return top_command(top_manifest_); }; });
  }

  void add_doctor() {
    CLI::App& verb = add_verb(app_, "doctor",
                              "What somebody who helps wants to know, in one file without secrets "
                              "and rows",
                              doctor_.manifest);
    verb.add_option("--out", doctor_.out, "A file that is not there yet");
    verb.callback([this] { chosen_ = [this] { return doctor_command(doctor_); }; });
  }

  void add_healthcheck() {
    CLI::App& verb = add_verb(app_, "healthcheck",
                              "Exit 0 while the daemon does its work, 1 when it does not, 69 when "
                              "none runs",
                              health_manifest_);
    verb.callback([this] { chosen_ = [this] { return healthcheck_command(health_manifest_); }; });
  }

  void add_audit() {
    CLI::App& verb =
        add_verb(app_, "audit", "What operators have ordered, when and why", audit_.manifest);
    verb.add_option("--limit", audit_.limit, "The newest so many")->capture_default_str();
    add_format(verb, audit_.format);
    verb.callback([this] { chosen_ = [this] { return audit_command(audit_); }; });
  }

  void add_stop() {
    CLI::App& verb =
        add_verb(app_, "stop", "Have the daemon drain and end; waits for it", stop_manifest_);
    verb.add_flag_callback("--drain", [] {}, "What was read is applied first (it always is)");
    verb.callback([this] { chosen_ = [this] { return stop_command(stop_manifest_); }; });
  }

  void add_resume() {
    CLI::App& verb = add_verb(app_, "resume", "End pauses, and try stopped tables again at once",
                              resume_.manifest);
    auto* const table =
        verb.add_option("--table", resume_.table, "schema.table as status names it; none: all");
    verb.add_option("--scope", resume_.scope, "Of pauses: all, backfill, apply or reconcile")
        ->excludes(table);
    verb.add_option("--reason", resume_.reason, "For the audit log");
    verb.callback([this] { chosen_ = [this] { return resume_command(resume_); }; });
  }

  void add_abort() {
    CLI::App& verb =
        add_verb(app_, "abort",
                 "Kill switch: write nothing to the target any more, at once, until it is resumed",
                 abort_.manifest);
    verb.add_option("--reason", abort_.reason, "For status and the audit log");
    verb.callback([this] { chosen_ = [this] { return abort_command(abort_); }; });
  }

  void add_resync() {
    CLI::App& verb =
        add_verb(app_, "resync", "Make rows equal by comparison, since events of them are lost",
                 resync_.manifest);
    verb.add_option("--table", resync_.tables,
                    "schema.table as status names it; none: all, and the stream begins anew");
    verb.callback([this] { chosen_ = [this] { return resync_command(resync_); }; });
  }

  void add_quarantine() {
    CLI::App& group = *app_.add_subcommand("quarantine", "Rows that were set aside");
    group.require_subcommand(1);
    for (const char* name : {"list", "show", "retry", "drop"}) {
      CLI::App& verb = add_verb(group, name, std::string(name) + " rows that were set aside",
                                quarantine_.manifest);
      verb.add_option("ID", quarantine_.ids, "As `list` prints them; none: all");
      verb.add_flag("--show-values", quarantine_.show_values, "Print keys and event bytes");
      add_format(verb, quarantine_.format);
      verb.callback([this, name] {
        quarantine_.verb = name;
        chosen_ = [this] { return quarantine_command(quarantine_); };
      });
    }
  }

  void add_reset() {
    CLI::App& verb =
        add_verb(app_, "reset", "Take away what a migration made: slot, publication, bookkeeping",
                 reset_.manifest);
    auto* const yes = verb.add_flag("--yes", reset_.yes, "Do it");
    verb.add_flag_callback(
            "--dry-run", [] {}, "Only say what would be done (default)")
        ->excludes(yes);
    verb.callback([this] { chosen_ = [this] { return reset_command(reset_); }; });
  }

  void add_connector_config() {
    add_verb(app_, "connector-config", "Print the Debezium connector configuration",
             config_manifest_)
        .callback(
            [this] { chosen_ = [this] { return connector_config_command(config_manifest_); }; });
  }

  void add_completion() {
    CLI::App& verb = *app_.add_subcommand("completion", "Print completion of the command line");
    verb.add_option("SHELL", shell_, "bash")->required()->check(CLI::IsMember({"bash"}));
    verb.callback([this] {
      chosen_ = [this] {
        std::cout << bash_completion(app_);
        return ExitCode::Ok;
      };
    });
  }

  void add_version() {
    CLI::App& verb = *app_.add_subcommand("version", "Version, commit and libraries");
    add_format(verb, version_.format);
    verb.add_flag("--failpoints", version_.failpoints, "List the named crash points");
    verb.callback([this] { chosen_ = [this] { return version_command(version_); }; });
    app_.set_version_flag("--version", "lockstep " + version_text());
  }

  CLI::App& app_;
  std::function<ExitCode()> chosen_;
  InitCommand init_;
  RunCommand run_;
  std::string until_;
  ValidateCommand validate_;
  StatusCommand status_;
  ReconcileCommand reconcile_;
  bool once_ = false;
  FindingsCommand findings_;
  RepairCommand repair_;
  AggregatesCommand aggregates_;
  ExplainRowCommand explain_row_;
  UndoCommand undo_;
  PauseCommand pause_;
  SettingsCommand settings_;
  ReloadCommand reload_;
  ConfigCommand config_;
  EventsCommand events_;
  DoctorCommand doctor_;
  std::string top_manifest_;
  std::string health_manifest_;
  AuditCommand audit_;
  std::string stop_manifest_;
  ResumeCommand resume_;
  AbortCommand abort_;
  ResyncCommand resync_;
  QuarantineCommand quarantine_;
  ResetCommand reset_;
  std::string config_manifest_;
  std::string shell_;
  VersionCommand version_;
};

int run_main(int count, char** arguments) {
  CLI::App app{"lockstep: moves a live PostgreSQL database to a new home, exactly.", "lockstep"};
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every verb");
  app.footer(
      "Exit codes: 0 ok, 1 failed, 2 differences found, 3 incomplete, 64 usage, 65 bad data or "
      "halted,\n"
      "69 no daemon runs for a verb that needs one, or a server does not answer, 70 invariant "
      "broken, 74 I/O,\n"
      "75 not now (the state directory is in use, the daemon is busy or an operator holds it, or "
      "it "
      "stopped\n"
      "before all was applied): the same may succeed later, 77 permission, 78 manifest.");
  const Verbs verbs(app);
  if (const std::string wrong = unknown_verb(app, count, arguments); !wrong.empty()) {
    std::cerr << wrong << "\n";
    return static_cast<int>(ExitCode::Usage);
  }
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, std::cout, std::cerr);
    return code == 0 ? 0 : static_cast<int>(ExitCode::Usage);
  }
  if (app.got_subcommand("init")) hide_passwords(count, arguments);
  return static_cast<int>(verbs.carry_out());
}

}  // namespace
}  // namespace lockstep

int main(int count, char** arguments) {
  try {
    return lockstep::run_main(count, arguments);
  } catch (const std::exception& error) {
    std::cerr << "lockstep: " << error.what() << "\n";
    return static_cast<int>(lockstep::ExitCode::Invariant);
  }
}
