#include "pipeline/base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

#include "pipeline/base/result.h"

namespace lockstep {
namespace {

constexpr std::string_view kFailpoints =
    "prepare_before_claim\n"
    "prepare_after_claim\n"
    "prepare_after_slot\n"
    "prepare_after_positions\n"
    "source_after_poll\n"
    "lane_before_intent\n"
    "lane_after_intent\n"
    "lane_before_commit\n"
    "lane_after_commit\n"
    "chunk_after_snapshot\n"
    "copy_before_commit\n"
    "copy_after_commit\n"
    "chunk_before_mark\n"
    "chunk_after_mark\n"
    "debt_before_settle\n"
    "truncate_before_commit\n"
    "truncate_after_commit\n"
    "drain_before_exit\n";

struct Armed {
  std::string name;
  long hit = 1;
  bool stop = false;
};

Armed read_environment() {
  Armed armed;
  const char* text = std::getenv("LOCKSTEP_FAILPOINT");
  if (text == nullptr) return armed;
  armed.name = text;
  if (const auto colon = armed.name.find(':'); colon != std::string::npos) {
    const std::string rest = armed.name.substr(colon + 1);
    armed.name.resize(colon);
    armed.hit = std::strtol(rest.c_str(), nullptr, 10);
    armed.stop = rest.find(":stop") != std::string::npos;
  }
  return armed;
}

}  // namespace

void failpoint(std::string_view name) {
  static const Armed armed = read_environment();
  if (armed.name.empty() || armed.name != name) return;
  static std::atomic<long> hits{0};  // Only counts; no other memory depends on its order.
  if (hits.fetch_add(1, std::memory_order_relaxed) + 1 != armed.hit) return;
  if (armed.stop)
    ::raise(SIGSTOP);
  else
    ::_exit(86);
}

std::string_view failpoint_names() { return kFailpoints; }

}  // namespace lockstep
