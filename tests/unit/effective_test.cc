// What `config diff` and a reload compare: nothing that counts is missed, no secret is shown.
#include "config/effective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/manifest.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A manifest with some tables and, at the target, a password.
Manifest made(const std::string& tables, const std::string& password = "secret") {
  std::string pattern = testing::TempDir() + "lockstep_effective_XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(pattern.data());
  std::ofstream(directory / "m.yaml")
      << "version: 1\nmigration: shop\nstate_dir: state\n"
         "source: {connect: {host: /tmp, dbname: a, user: a}}\n"
         "target: {connect: {host: /tmp, dbname: b, user: b, password: "
      << password << "}}\ntables:\n"
      << tables;
  Parsed parsed = load_manifest((directory / "m.yaml").string());
  for (const Problem& problem : parsed.problems)
    EXPECT_NE(problem.severity, Severity::Error) << problem.print();
  std::filesystem::remove_all(directory);
  EXPECT_TRUE(parsed.manifest);
  if (parsed.manifest) parsed.manifest->state_dir.value = "state";
  return parsed.manifest ? *std::move(parsed.manifest) : Manifest();
}

std::vector<std::string> changes(const Manifest& before, const Manifest& after) {
  std::vector<std::string> lines;
  for (const ConfigChange& one : config_changes(effective_config(before), effective_config(after)))
    lines.push_back(one.key + ": " + one.before + " -> " + one.after);
  return lines;
}

// The later of two rules that match a table wins: their order counts.
TEST(ConfigChanges, TheOrderOfTheTablesCounts) {
  const std::string all = "  - source: public.*\n";
  const std::string some = "  - {source: 'public.a*', skip: true}\n";
  const std::string one = "  - source: public.b\n";
  EXPECT_THAT(changes(made(all + some), made(all + some)), IsEmpty());
  EXPECT_THAT(
      changes(made(all + some), made(some + all)),
      ElementsAre(R"(tables.order: "public.* before public.a*" -> "public.a* before public.*")"));
  // Of a rule that came or went the others' order says nothing.
  EXPECT_THAT(changes(made(all + some), made(all + one + some)),
              ElementsAre(R"(tables[public.b].source:  -> "public.b")"));
  EXPECT_THAT(changes(made(all + one + some), made(all + some)),
              ElementsAre(R"(tables[public.b].source: "public.b" -> )"));
  EXPECT_THAT(
      changes(made(all + some + one), made(one + all)),
      ElementsAre(R"(tables[public.a*].skip: true -> )",
                  R"(tables[public.a*].source: "public.a*" -> )",
                  R"(tables.order: "public.* before public.b" -> "public.b before public.*")"));
}

TEST(ConfigChanges, ASecretThatStandsInTheFileIsComparedAndNotShown) {
  const Manifest before = made("  - source: public.*\n");
  const Manifest after = made("  - source: public.*\n", "other");
  EXPECT_THAT(changes(before, after), IsEmpty());
  EXPECT_THAT(secret_changes(literal_secrets(before), literal_secrets(before)), IsEmpty());
  const auto found = secret_changes(literal_secrets(before), literal_secrets(after));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().key, "target.connect.password");
  EXPECT_EQ(found.front().before + found.front().after, "******");
}

}  // namespace
}  // namespace lockstep
