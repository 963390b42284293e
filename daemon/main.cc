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

// CLI11 says of a misspelt verb only that one is required.
void name_unknown_verb(const CLI::App& app, int count, char** arguments) {
  if (count < 2 || *arguments[1] == '-') return;
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) verbs.push_back(verb->get_name());
  const std::string given = arguments[1];
  if (std::ranges::find(verbs, given) != verbs.end()) return;
  const std::string close = nearest(given, verbs);
  throw CLI::ExtrasError("lockstep",
                         {given + (close.empty() ? "" : " (did you mean " + close + "?)")});
}

int run_main(int count, char** arguments) {
  CLI::App app{"lockstep: moves a live PostgreSQL database to a new home, exactly.", "lockstep"};
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 ok, 3 incomplete, 64 usage, 65 bad data or halted, 69 unreachable,\n"
      "70 invariant broken, 74 I/O, 75 state directory in use, 77 permission, 78 manifest.");
  std::function<ExitCode()> chosen;

  RunCommand run;
  CLI::App& run_verb =
      add_verb(app, "run", "Copy, follow and keep in step until stopped", run.manifest);
  std::string until;
  run_verb.add_option("--until", until, "synced: end once everything committed is applied")
      ->check(CLI::IsMember({"synced"}));
  run_verb.callback([&] {
    run.until_synced = until == "synced";
    chosen = [&] { return run_command(run); };
  });

  ValidateCommand validate;
  CLI::App& validate_verb = add_verb(
      app, "validate", "Check the manifest, both servers, the broker; report every problem",
      validate.manifest);
  validate_verb.add_flag("--offline", validate.offline, "Only what the file alone tells");
  validate_verb.add_flag("--deny-warnings", validate.deny_warnings, "Warnings count as problems");
  add_format(validate_verb, validate.format);
  validate_verb.callback([&] { chosen = [&] { return validate_command(validate); }; });

  StatusCommand status;
  CLI::App& status_verb =
      add_verb(app, "status", "Where the migration stands, running or not", status.manifest);
  status_verb.add_flag("--exit-code", status.exit_code, "Exit 3 when not synced");
  add_format(status_verb, status.format);
  status_verb.callback([&] { chosen = [&] { return status_command(status); }; });

  QuarantineCommand quarantine;
  CLI::App& group = *app.add_subcommand("quarantine", "Rows that were set aside");
  group.require_subcommand(1);
  for (const char* verb : {"list", "show", "retry", "drop"}) {
    CLI::App& one =
        add_verb(group, verb, std::string(verb) + " rows that were set aside", quarantine.manifest);
    one.add_option("ID", quarantine.ids, "As `list` prints them; none: all");
    one.add_flag("--show-values", quarantine.show_values, "Print keys and event bytes");
    add_format(one, quarantine.format);
    one.callback([&, verb] {
      quarantine.verb = verb;
      chosen = [&] { return quarantine_command(quarantine); };
    });
  }

  ResumeCommand resume;
  CLI::App& resume_verb =
      add_verb(app, "resume", "Try stopped tables again at once", resume.manifest);
  resume_verb.add_option("--table", resume.table, "schema.table as status names it; none: all");
  resume_verb.callback([&] { chosen = [&] { return resume_command(resume); }; });

  ResetCommand reset;
  CLI::App& reset_verb =
      add_verb(app, "reset", "Take away what a migration made: slot, publication, bookkeeping",
               reset.manifest);
  auto* const yes = reset_verb.add_flag("--yes", reset.yes, "Do it");
  reset_verb.add_flag_callback(
                "--dry-run", [] {}, "Only say what would be done (default)")
      ->excludes(yes);
  reset_verb.callback([&] { chosen = [&] { return reset_command(reset); }; });

  std::string config_manifest;
  add_verb(app, "connector-config", "Print the Debezium connector configuration", config_manifest)
      .callback([&] { chosen = [&] { return connector_config_command(config_manifest); }; });

  VersionCommand version;
  CLI::App& version_verb = *app.add_subcommand("version", "Version, commit and libraries");
  add_format(version_verb, version.format);
  version_verb.add_flag("--failpoints", version.failpoints, "List the named crash points");
  version_verb.callback([&] { chosen = [&] { return version_command(version); }; });

  app.set_version_flag("--version", "lockstep " + version_text());
  try {
    name_unknown_verb(app, count, arguments);
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, std::cout, std::cerr);
    return code == 0 ? 0 : static_cast<int>(ExitCode::Usage);
  }
  return static_cast<int>(chosen());
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
