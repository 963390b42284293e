// The whole pipeline on fakes: whatever happens, once it is quiet the target equals the source.
//
// LOCKSTEP_SIM_SEEDS   how many seeds (default 2000; `./run test --long`: 100000)
// LOCKSTEP_SIM_FIRST   the first one (default 1)
// LOCKSTEP_SIM_SEED    this one only, with a trace on stderr
#include "tests/sim/simulator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace lockstep {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A CHECK aborts: the seed must be known even then.
volatile std::sig_atomic_t seed_under_way = 0;

extern "C" void tell_seed(int) {
  char text[] = "LOCKSTEP_SIM_SEED=0000000000\n";
  auto seed = static_cast<unsigned long>(seed_under_way);
  for (std::size_t digit = sizeof text - 3; text[digit] != '='; --digit, seed /= 10)
    text[digit] = static_cast<char>('0' + seed % 10);
  static_cast<void>(!::write(STDERR_FILENO, text, sizeof text - 1));
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

void expect_equal(std::uint64_t seed, bool trace) {
  SCOPED_TRACE("LOCKSTEP_SIM_SEED=" + std::to_string(seed));
  seed_under_way = static_cast<std::sig_atomic_t>(seed);
  Simulator simulator(draw_options(seed));
  if (trace) simulator.print_trace();
  EXPECT_EQ(simulator.run(), "");
}

TEST(Simulator, TargetEqualsSourceWhateverHappens) {
  if (const std::uint64_t seed = from_environment("LOCKSTEP_SIM_SEED", 0); seed != 0)
    return expect_equal(seed, true);
  std::signal(SIGABRT, tell_seed);
  const std::uint64_t first = from_environment("LOCKSTEP_SIM_FIRST", 1);
  const std::uint64_t seeds = from_environment("LOCKSTEP_SIM_SEEDS", 2000);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) expect_equal(seed, false);
}

// Both sides are read alike beside writers who never pause; run() judges what was read.
TEST(Simulator, ManyLooksAtBothSidesCount) {
  std::size_t looks = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimOptions options = draw_options(seed);
    options.mode = StreamMode::Direct;
    options.steps = 3000;
    options.lost = options.kill = options.drain = options.source_crash = options.stop_table = 0;
    options.rewrite = options.attach = options.lose_partition = options.refused = 0;
    options.truncate = options.doubtful = options.pause = 0;
    options.until_synced = false;
    options.moment = 500;
    Simulator simulator(options);
    EXPECT_EQ(simulator.run(), "") << seed;
    looks += simulator.looks();
  }
  EXPECT_GT(looks, 100U);
  RecordProperty("looks", std::to_string(looks));
}

TEST(Simulator, SameSeedSameRun) {
  Simulator first(draw_options(7));
  Simulator second(draw_options(7));
  EXPECT_EQ(first.run(), second.run());
  EXPECT_EQ(first.steps(), second.steps());
}

}  // namespace
}  // namespace lockstep
