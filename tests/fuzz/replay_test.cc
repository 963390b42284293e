// Every target over its corpus.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/fuzz/target.h"

namespace lockstep {
namespace {

struct Target {
  const char* name;
  void (*run)(std::string_view input);
};

class FuzzCorpus : public testing::TestWithParam<Target> {};

TEST_P(FuzzCorpus, HoldsItsProperties) {
  const auto folder =
      std::filesystem::path(LOCKSTEP_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam().name;
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    SCOPED_TRACE(entry.path());
    GetParam().run(text.str());
    ++inputs;
  }
  EXPECT_GT(inputs, 0);
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpus,
                         testing::Values(Target{"codec", fuzz::codec},
                                         Target{"debezium", fuzz::debezium},
                                         Target{"pgoutput", fuzz::pgoutput},
                                         Target{"manifest", fuzz::manifest}),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace lockstep
