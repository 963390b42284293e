#include "daemon/completion.h"

#include <CLI/CLI.hpp>

namespace lockstep {
namespace {

std::string options_of(const CLI::App& verb) {
  std::string words;
  for (const CLI::Option* const option : verb.get_options())
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  return words;
}

std::string names_of(const CLI::App& app) {
  std::string words;
  for (const CLI::App* const verb : app.get_subcommands({})) words += verb->get_name() + " ";
  return words;
}

// `pattern`: of the second and third word of the command line.
std::string one_case(const std::string& pattern, const std::string& words) {
  return "    " + pattern + ") words=\"" + words + "\" ;;\n";
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* const verb : app.get_subcommands({})) {
    const std::string name = verb->get_name();
    for (const CLI::App* const below : verb->get_subcommands({}))
      cases += one_case("\"" + name + " " + below->get_name() + "\"", options_of(*below));
    cases += one_case("\"" + name + " \"*", options_of(*verb) + names_of(*verb));
  }
  return "# bash completion of lockstep: source <(lockstep completion bash)\n"
         "_lockstep() {\n"
         "  local word=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"
         "  case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n" +
         cases +
         "  esac\n"
         "  [ \"$COMP_CWORD\" -gt 1 ] || words=\"" +
         names_of(app) +
         "\"\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "  case \"$COMP_CWORD$word\" in\n"
         "    1*|*-*) ;;\n"
         "    *) COMPREPLY+=($(compgen -f -- \"$word\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _lockstep lockstep\n";
}

}  // namespace lockstep
