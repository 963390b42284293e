// Commands: the verbs of the command line; main.cc parses, each verb has its file here.
//
// Every verb returns its exit code.  Errors go to stderr, what was asked for to stdout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "config/problem.h"
#include "daemon/explain_row.h"
#include "daemon/findings_list.h"
#include "pipeline/base/result.h"

namespace lockstep {

enum class OutputFormat : std::uint8_t { Text, Json };

// A run that ends with a sweep.
struct CompareRun {
  bool wanted = false;
  std::string table;                // "": all.
  std::string* document = nullptr;  // Takes what sweep_json() says at its end.
};

struct RunCommand {
  std::string manifest;
  bool until_synced = false;
  CompareRun compare;
  // Whether it ends by itself.
  bool ends() const { return until_synced || compare.wanted; }
};
ExitCode run_command(const RunCommand& command);

struct InitCommand {
  std::string source;  // A URI or key=value, as libpq takes them.
  std::string target;
  std::string name;  // Of the migration; "": the source's database.
  std::string out;   // The manifest; "": NAME.yaml.
  std::string owner;
  std::string reader = "lockstep_reader";
  std::string writer = "lockstep_writer";
  bool force = false;
  bool dry_run = false;
};
// Writes the manifest and prints what has to be run before it can be.
ExitCode init_command(const InitCommand& command);
// Other users of this machine see the command line for as long as we run: overwrites what of it
// holds a password.
void hide_passwords(int count, char** arguments);

struct ValidateCommand {
  std::string manifest;
  bool offline = false;
  bool deny_warnings = false;
  OutputFormat format = OutputFormat::Text;
};
ExitCode validate_command(const ValidateCommand& command);

struct StatusCommand {
  std::string manifest;
  OutputFormat format = OutputFormat::Text;
  bool exit_code = false;    // 3 when not synced.
  bool fresh = false;        // Proven from now on.
  bool watch = false;        // Again each two seconds, until Ctrl-C.
  bool show_values = false;  // Keys where ranges end.
};
ExitCode status_command(const StatusCommand& command);

struct ReconcileCommand {
  std::string manifest;
  std::string table;  // "": all.
  OutputFormat format = OutputFormat::Text;
};
// Compares every row once: 0 equal, 2 findings, 3 incomplete.
ExitCode reconcile_command(const ReconcileCommand& command);

struct QuarantineCommand {
  std::string verb;  // list, show, retry, drop
  std::string manifest;
  std::vector<std::string> ids;
  bool show_values = false;
  OutputFormat format = OutputFormat::Text;
};
ExitCode quarantine_command(const QuarantineCommand& command);

struct FindingsCommand {
  std::string verb;  // list, show
  std::string manifest;
  FindingsFilter filter;
  bool show_values = false;
  OutputFormat format = OutputFormat::Text;
};
ExitCode findings_command(const FindingsCommand& command);

struct RepairCommand {
  std::string manifest;
  FindingsFilter filter;
  bool yes = false;  // Otherwise it only prints the SQL.
};
ExitCode repair_command(const RepairCommand& command);

struct AggregatesCommand {
  std::string manifest;
  OutputFormat format = OutputFormat::Text;
};
// The last results: 0 all equal, 2 one differs, 3 one could not be told.
ExitCode aggregates_command(const AggregatesCommand& command);

struct ExplainRowCommand {
  std::string manifest;
  RowQuestion question;
  OutputFormat format = OutputFormat::Text;
};
// 0 equal, 2 differs, 3 not to be told.
ExitCode explain_row_command(const ExplainRowCommand& command);

struct UndoCommand {
  std::string manifest;
  std::uint64_t id = 0;  // Of a finding.
  bool yes = false;      // Otherwise it only prints the SQL.
};
// Takes one repair back.
ExitCode undo_command(const UndoCommand& command);

struct PauseCommand {
  std::string manifest;
  std::string scope = "all";
  std::string table;  // Instead of a scope.
  std::string reason;
};
ExitCode pause_command(const PauseCommand& command);

struct SettingsCommand {
  std::string manifest;
  std::string name;                 // To be shown; "": all.
  std::vector<std::string> values;  // To be set: "NAME=VALUE".
  std::string reason;
  OutputFormat format = OutputFormat::Text;
};
ExitCode settings_command(const SettingsCommand& command);

struct ReloadCommand {
  std::string manifest;
  std::string reason;
};
// 78: nothing was changed, and which key is why.
ExitCode reload_command(const ReloadCommand& command);

struct ConfigCommand {
  std::string verb;      // print, schema, diff.
  std::string manifest;  // Not of schema.
  OutputFormat format = OutputFormat::Text;
};
// diff: 2 when the running daemon goes by something else than the file.
ExitCode config_command(const ConfigCommand& command);

struct EventsCommand {
  std::string manifest;
  std::size_t limit = 100;  // The newest so many.
  bool follow = false;      // And those that come, until the daemon ends.
  OutputFormat format = OutputFormat::Text;
};
ExitCode events_command(const EventsCommand& command);

struct DoctorCommand {
  std::string manifest;
  std::string out;  // "": lockstep-<migration>.json here.
};
ExitCode doctor_command(const DoctorCommand& command);

ExitCode top_command(const std::string& manifest);
// Whether the daemon does its work, for the health check of a container: 0, 1, 69 where none runs.
ExitCode healthcheck_command(const std::string& manifest);

struct AuditCommand {
  std::string manifest;
  std::size_t limit = 100;
  OutputFormat format = OutputFormat::Text;
};
ExitCode audit_command(const AuditCommand& command);

// Asks the running daemon to drain and end, and waits for it.
ExitCode stop_command(const std::string& manifest);

struct AbortCommand {
  std::string manifest;
  std::string reason;
};
// Nothing is written to the target any more once it returns 0, until somebody resumes.
ExitCode abort_command(const AbortCommand& command);

struct ResumeCommand {
  std::string manifest;
  std::string table;  // "": every one that stopped or is paused.
  std::string scope;  // Of pauses; "": all of them.
  std::string reason;
};
ExitCode resume_command(const ResumeCommand& command);

struct ResyncCommand {
  std::string manifest;
  std::vector<std::string> tables;  // None: all, and the stream begins anew.
};
ExitCode resync_command(const ResyncCommand& command);

struct ResetCommand {
  std::string manifest;
  bool yes = false;  // Otherwise it only says what it would do.
};
ExitCode reset_command(const ResetCommand& command);

ExitCode connector_config_command(const std::string& manifest);

struct VersionCommand {
  OutputFormat format = OutputFormat::Text;
  bool failpoints = false;
};
ExitCode version_command(const VersionCommand& command);

// Loads a manifest, printing its errors (and warnings) to stderr.  Nothing when it has errors.
std::optional<Manifest> load_or_complain(const std::string& path,
                                         Secrets secrets = Secrets::WhenUsed);

// The status document: the running daemon's, else what the target and the state directory say.
// `fresh`: the daemon proves it from now on.
Result<std::string> read_status(const Manifest& manifest, bool fresh,
                                ShowValues values = ShowValues::No);

// Prints an error to stderr and returns its exit code.
ExitCode complain(const Error& error);

// "0.1.0 (abc1234)".
std::string version_text();

}  // namespace lockstep
