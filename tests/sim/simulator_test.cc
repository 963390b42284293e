// The whole pipeline on fakes: whatever happens, once it is quiet the target equals the source.
//
// LOCKSTEP_SIM_SEEDS   how many seeds (default 2000; `./run test --long`: 100000)
// LOCKSTEP_SIM_FIRST   the first one (default 1)
// LOCKSTEP_SIM_SEED    this one only, with a trace on stderr
#include "tests/sim/simulator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace lockstep {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void expect_equal(std::uint64_t seed, bool trace) {
  SCOPED_TRACE("LOCKSTEP_SIM_SEED=" + std::to_string(seed));
  Simulator simulator(draw_options(seed));
  if (trace) simulator.print_trace();
  EXPECT_EQ(simulator.run(), "");
}

TEST(Simulator, TargetEqualsSourceWhateverHappens) {
  if (const std::uint64_t seed = from_environment("LOCKSTEP_SIM_SEED", 0); seed != 0)
    return expect_equal(seed, true);
  const std::uint64_t first = from_environment("LOCKSTEP_SIM_FIRST", 1);
  const std::uint64_t seeds = from_environment("LOCKSTEP_SIM_SEEDS", 2000);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) expect_equal(seed, false);
}

TEST(Simulator, SameSeedSameRun) {
  Simulator first(draw_options(7));
  Simulator second(draw_options(7));
  EXPECT_EQ(first.run(), second.run());
  EXPECT_EQ(first.steps(), second.steps());
}

}  // namespace
}  // namespace lockstep
