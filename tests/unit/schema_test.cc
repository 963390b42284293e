// What the manifest's schema takes is what the loader takes, and what `config print` writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <string>

#include "config/effective.h"
#include "config/manifest.h"

namespace lockstep {
namespace {

namespace json = boost::json;

class SchemaTest : public testing::Test {
 public:
  ~SchemaTest() override { std::filesystem::remove(path_); }

 protected:
  // A manifest with `more` in it, as it was loaded; nothing: it has errors.
  std::optional<Manifest> load(const std::string& more) {
    std::ofstream(path_) << R"(version: 1
migration: shop
state_dir: state
source: {connect: {host: /tmp, dbname: shop, user: u}, wal_limit: {mb: )"
                         << megabytes_ << R"(}}
target: {connect: {host: /tmp, dbname: shop, user: u}}
tables: [{source: public.*}]
)" << more;
    return load_manifest(path_.string()).manifest;
  }
  const json::value& at(const std::string& pointer) { return schema_.at_pointer(pointer); }
  bool matches(const std::string& pointer, const std::string& text) {
    return std::regex_match(text, std::regex(std::string(at(pointer + "/pattern").as_string())));
  }

  std::string megabytes_ = "0";
  const std::filesystem::path path_ = std::filesystem::temp_directory_path() /
                                      ("lockstep-schema-" + std::to_string(::getpid()) + ".yaml");
  const json::value schema_ = [] {
    std::ifstream file(LOCKSTEP_SOURCE_DIR "/config/manifest.schema.json");
    return json::parse(std::string{std::istreambuf_iterator<char>(file), {}});
  }();
};

TEST_F(SchemaTest, TimesAreThoseThatTheLoaderTakes) {
  EXPECT_EQ(at("/properties/reconcile/properties/every/$ref"), "#/$defs/time");
  for (const char* text :
       {"0s", "1s", "007d", "366d", "367d", "400d", "8784h", "8785h", "527040m", "527041m",
        "31622400s", "31622401s", "99999999s", "1", "s", "-1s", "1w", "24h"})
    EXPECT_EQ(load("reconcile: {every: " + std::string(text) + "}").has_value(),
              matches("/$defs/time", text))
        << text;
}

TEST_F(SchemaTest, ALimitOfTheLogHasAMost) {
  const std::int64_t most =
      at("/properties/source/properties/wal_limit/properties/mb/maximum").as_int64();
  megabytes_ = std::to_string(most);
  EXPECT_TRUE(load(""));
  megabytes_ = std::to_string(most + 1);
  EXPECT_FALSE(load(""));
}

// It may have more digits than a number has, so that it is printed as text.
TEST_F(SchemaTest, AToleranceIsTakenAsItIsPrinted) {
  const std::string pointer = "/properties/aggregates/items/properties/tolerance";
  for (const char* text :
       {"0", "0.01", "1e-9", "0.1234567890123456789012345", "-1", "x", "1e1234"}) {
    const auto manifest = load(
        "aggregates: [{name: n, source: SELECT 1, target: SELECT 1, "
        "tolerance: " +
        std::string(text) + "}]\n");
    EXPECT_EQ(manifest.has_value(), matches(pointer, text)) << text;
    if (!manifest) continue;
    const json::value printed = effective_config(*manifest).at("aggregates").at(0).at("tolerance");
    EXPECT_EQ(printed, text);
    EXPECT_NE(std::ranges::find(at(pointer + "/type").as_array(), json::value("string")),
              at(pointer + "/type").as_array().end());
  }
}

}  // namespace
}  // namespace lockstep
