#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <span>
#include <string_view>
#include <utility>

#include "daemon/commands/commands.h"
#include "daemon/init/choice.h"
#include "daemon/init/files.h"
#include "daemon/init/manifest_text.h"
#include "daemon/init/server.h"
#include "daemon/init/steps.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

constexpr std::size_t kShownTables = 20;
constexpr std::size_t kShownColumns = 110;

struct FirstContact {
  std::string name;
  std::filesystem::path out;
  std::string text;         // Of the manifest.
  bool is_written = false;  // The file is there, with this text.
  std::vector<InitStep> steps;
  bool is_whole = true;  // The target lacks no table of the source, or all of them.
};

std::string secret_name(const std::string& migration, const std::string& side) {
  return "secrets/" + migration + "." + side;
}

// "": the role is let in without a password.
std::string secret_of(const InitServer& server, const std::string& migration,
                      const std::string& side) {
  return server.password.empty() ? "" : secret_name(migration, side);
}

// Where the file that a manifest names lies.
std::filesystem::path beside(const std::filesystem::path& out, const std::string& name) {
  return out.parent_path() / name;
}

Result<FirstContact> begin_contact(const InitCommand& command) {
  FirstContact contact;
  contact.name =
      command.name.empty() ? migration_name(database_named(command.source)) : command.name;
  if (command.name.empty() && database_named(command.source).empty())
    return fail(Reaction::Halt, "--source names no database: postgres://USER@HOST/DATABASE",
                ExitCode::Usage);
  if (migration_name(contact.name) != contact.name)
    return fail(Reaction::Halt,
                fmt::format("--name: '{}' is not a name: [a-z][a-z0-9_]{{0,39}}", contact.name),
                ExitCode::Usage);
  contact.out = command.out.empty() ? contact.name + ".yaml" : command.out;
  return contact;
}

// A file that is there is replaced only on request, and needs not be when it says the same.
Status know_file(FirstContact& contact, const InitCommand& command) {
  std::error_code unknown;
  if (!std::filesystem::exists(contact.out, unknown)) return {};
  LOCKSTEP_ASSIGN(const std::string there, read_text_file(contact.out));
  contact.is_written = there == contact.text;
  if (contact.is_written || command.force || command.dry_run) return {};
  return fail(Reaction::Halt,
              fmt::format("{} exists and says something else: --dry-run shows what would be "
                          "written, --force replaces it, --out writes to another file; nothing was "
                          "written",
                          contact.out.string()),
              ExitCode::Config);
}

// What no statement cures.  Returns whether there is any.
bool print_problems(const InitChoice& choice) {
  for (const Problem& problem : choice.problems)
    std::cerr << "lockstep: " << problem.text
              << (problem.hint.empty() ? "" : " (" + problem.hint + ")") << "\n";
  if (!choice.problems.empty())
    std::cerr << "nothing was written: put that right, and run lockstep init again\n";
  return !choice.problems.empty();
}

Status write_files(FirstContact& contact, InitServer& source, InitServer& target) {
  for (InitServer* const server : {&source, &target}) {
    if (server->secret_exists || server->password.empty()) continue;
    LOCKSTEP_TRY(write_secret_file(server->asked.secret, server->password));
    server->secret_exists = true;
    std::cout << fmt::format("wrote {} (mode 0600): the password of {}\n",
                             server->asked.secret.string(), server->asked.role);
  }
  if (contact.is_written) {
    std::cout << contact.out.string() << " is there, and as it would be written\n";
    return {};
  }
  LOCKSTEP_TRY(write_manifest_file(contact.out, contact.text));
  std::cout << "wrote " << contact.out.string() << "\n";
  return {};
}

void print_tables(const std::vector<InitTable>& tables) {
  const auto stays = [](const InitTable& table) { return !table.reason.empty(); };
  const auto left_out = static_cast<std::size_t>(std::ranges::count_if(tables, stays));
  std::cout << fmt::format("{} tables move, {} stay\n", tables.size() - left_out, left_out);
  std::size_t shown = 0;
  for (const InitTable& table : tables)
    if (stays(table) && shown++ < kShownTables) {
      const bool is_named = table.reason.contains(table.name.text());
      std::cout << as_comment((is_named ? "" : table.name.text() + ": ") + table.reason, "  ",
                              kShownColumns);
    }
  if (left_out > kShownTables)
    std::cout << fmt::format("  and {} more, each with its reason in the manifest\n",
                             left_out - kShownTables);
}

// A restore that broke off is no wish to leave them out.
void print_lacking(const InitChoice& choice, const std::string& file) {
  if (choice.lacking.empty()) return;
  std::vector<std::string> names;
  for (const TableName& name : choice.lacking) names.push_back(name.text());
  std::cout << fmt::format(
      "{} of the source's tables are not on the target, though others are: {}.\n"
      "  If a restore broke off: drop what it made, and run lockstep init again, which prints it.\n"
      "  Else make them there and run lockstep init again, or write `skip: true` for them in {}.\n",
      names.size(), some_of(names), file);
}

void print_steps(const FirstContact& contact) {
  if (contact.steps.empty())
    std::cout << (contact.is_whole ? "\nBoth servers are ready: nothing has to be run on them.\n"
                                   : "\nBeside those tables nothing has to be run.\n");
  else
    std::cout << "\nRun these, one after the other; each block of SQL is for psql as it stands, in "
                 "the database that its\nheading names.\n";
  std::size_t number = 0;
  for (const InitStep& step : contact.steps) {
    std::cout << fmt::format("\n== {}. {}\n", ++number, step.who);
    for (const std::string& line : step.lines) std::cout << line << "\n";
  }
  const std::string file = contact.out.string();
  std::cout << fmt::format("\n== Then, here\nlockstep validate {0}\nlockstep run {0}\n", file);
}

Result<ExitCode> init(const InitCommand& command) {
  LOCKSTEP_ASSIGN(FirstContact contact, begin_contact(command));
  const auto asked = [&](const char* side, const std::string& conninfo, const std::string& role) {
    return InitAsked{side, conninfo, role, beside(contact.out, secret_name(contact.name, side))};
  };
  LOCKSTEP_ASSIGN(InitServer source, look_at(asked("source", command.source, command.reader)));
  LOCKSTEP_ASSIGN(InitServer target, look_at(asked("target", command.target, command.writer)));
  LOCKSTEP_ASSIGN(const InitChoice choice,
                  choose_tables(source, target, contact.name, contact.out.string()));
  if (print_problems(choice)) return ExitCode::Config;
  if (choice.moved.empty()) {
    print_tables(choice.tables);
    print_lacking(choice, contact.out.string());
    return fail(Reaction::Halt, "no table can be moved; nothing was written", ExitCode::Config);
  }
  contact.text = manifest_text({contact.name,
                                {source.settings(), secret_of(source, contact.name, "source")},
                                {target.settings(), secret_of(target, contact.name, "target")},
                                choice.tables});
  LOCKSTEP_TRY(know_file(contact, command));
  LOCKSTEP_ASSIGN(contact.steps,
                  steps_to_prepare(source, target, choice, {command.owner, !command.dry_run}));
  if (command.dry_run)
    std::cout << "this would be " << contact.out.string() << ":\n\n" << contact.text << "\n";
  else
    LOCKSTEP_TRY(write_files(contact, source, target));
  print_tables(choice.tables);
  print_lacking(choice, contact.out.string());
  contact.is_whole = choice.lacking.empty();
  print_steps(contact);
  return ExitCode::Ok;
}

}  // namespace

ExitCode init_command(const InitCommand& command) {
  const auto done = init(command);
  return done ? *done : complain(done.error());
}

void hide_passwords(int count, char** arguments) {
  for (char* const argument : std::span(arguments, static_cast<std::size_t>(count)).subspan(1)) {
    const std::string_view text = argument;
    const std::string_view option = text.substr(0, text.find('=') + 1);
    const bool joined = option == "--source=" || option == "--target=";
    const std::string value(joined ? text.substr(option.size()) : text);
    if (holds_password(value))
      std::fill_n(argument + (text.size() - value.size()), value.size(), '*');
  }
}

}  // namespace lockstep
