#include "config/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <tuple>

namespace lockstep {
namespace {

const char* severity_text(Severity severity) {
  return severity == Severity::Error ? "error" : "warning";
}

bool is_error(const Problem& problem) { return problem.severity == Severity::Error; }

}  // namespace

std::string Problem::print() const {
  const std::string tail = hint.empty() ? "" : " (" + hint + ")";
  return fmt::format("{}:{}:{}: {}: {}{}", file, where.line, where.column, severity_text(severity),
                     text, tail);
}

bool has_errors(std::span<const Problem> problems) {
  return std::any_of(problems.begin(), problems.end(), is_error);
}

void sort_problems(std::vector<Problem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.where, a.severity) < std::tie(b.where, b.severity);
  });
}

boost::json::object problems_json(std::span<const Problem> problems) {
  boost::json::array list;
  for (const Problem& problem : problems) {
    list.push_back(boost::json::object{{"file", problem.file},
                                       {"line", problem.where.line},
                                       {"column", problem.where.column},
                                       {"severity", severity_text(problem.severity)},
                                       {"text", problem.text},
                                       {"hint", problem.hint}});
  }
  const auto errors = std::count_if(problems.begin(), problems.end(), is_error);
  const auto warnings = static_cast<std::int64_t>(problems.size()) - errors;
  return {{"problems", std::move(list)}, {"errors", errors}, {"warnings", warnings}};
}

}  // namespace lockstep
