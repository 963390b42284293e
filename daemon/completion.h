// Completion of the command line for bash, made from the verbs themselves.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace lockstep {

// A script for bash: source <(lockstep completion bash).
std::string bash_completion(const CLI::App& app);

}  // namespace lockstep
