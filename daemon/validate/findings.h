// Findings: what `validate` has found so far; every check adds to them and none ends the others.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "config/manifest.h"
#include "config/problem.h"
#include "daemon/resync.h"
#include "pipeline/base/result.h"

namespace lockstep {

// One thread.
class Findings {
 public:
  static constexpr const char* kNoPrivilege = "42501";  // We are in, and lack a grant.

  // Begins with what reading the file found.
  Findings(std::string file, std::vector<Problem> of_file)
      : file_(std::move(file)), problems_(of_file), of_file_(std::move(of_file)) {}

  void error(Where where, std::string text, std::string hint = {}) {
    if (asks_for_resync(hint)) hint += ": " + resync_hint(file_);
    problems_.push_back({file_, where, Severity::Error, std::move(text), std::move(hint)});
  }
  void warn(Where where, std::string text, std::string hint = {}) {
    problems_.push_back({file_, where, Severity::Warning, std::move(text), std::move(hint)});
  }
  void add(std::vector<Problem> problems) {
    std::ranges::move(problems, std::back_inserter(problems_));
  }
  // A question that got no answer: a server that is away makes the program exit 69.
  void failed(Where where, const Error& why) {
    if (why.exit == ExitCode::Unreachable || why.reaction == Reaction::Retry)
      away_.push_back(why.message);
    login_refused_ =
        login_refused_ || (why.exit == ExitCode::Permission && why.code != kNoPrivilege);
    error(where, why.message);
  }

  // Whether the file itself has an error at `where`: what stands there cannot be relied on.
  bool spoiled(Where where) const {
    return std::ranges::any_of(of_file_, [&](const Problem& problem) {
      return problem.where == where && problem.severity == Severity::Error;
    });
  }

  // What those said that did not answer.
  const std::vector<std::string>& away() const { return away_; }
  // Whether a server knows our role or its password not.
  bool login_refused() const { return login_refused_; }
  // By place.
  std::vector<Problem> take() && {
    sort_problems(problems_);
    return std::move(problems_);
  }

 private:
  const std::string file_;
  std::vector<Problem> problems_;
  const std::vector<Problem> of_file_;
  std::vector<std::string> away_;
  bool login_refused_ = false;
};

}  // namespace lockstep
