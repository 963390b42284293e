// A manifest full of planted mistakes: one run names every one of them, at its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/manifest.h"

namespace lockstep {
namespace {

constexpr const char* kMistakes = R"(version: 2
migration: Shop-EU
state_dir: ""
colour: blue
source:
  connect:
    hots: db1
    dbname: shop
    port: high
    sslmode: verify-ful
    password: {file: missing}
    user: {envv: NAME}
    client_encoding: LATIN1
  stream: debezium
  slot: Has Blanks
  debezium:
    topic_prefix: "a b"
    format: avro
    kafka: {auto.offset.reset: earliest}
    connect: {url: "https://connect:8083"}
    snapshot_events: ignore
    settings:
      time.precision.mode: connect
      binary.handling.mode: base64
      max.bach.size: 1
target:
  connect: {host: localhost, dbname: shop}
  lanes: many
  schema: pg_lockstep
backfill: {workers: 0, chunk_rows: 1.5}
keyless: maybe
existing: [refuse]
debt_attempts: 5
debt_attempts: 6
tables:
  - target: public.x
  - source: orders
  - source: public.a
    skip: perhaps
  - source: public.a
    columns: {rename: {a: c, b: c}, drop: c}
  - source: public.*
    target: public.one
    lanes: two
    partitions: forget
)";

// Line of each mistake, in order; a line may hold several.
const std::vector<int> kLines = {1,  2,  3,  4,  7,  7,  9,  10, 11, 12, 13, 15, 17,
                                 18, 19, 19, 20, 20, 21, 23, 24, 25, 28, 29, 30, 30,
                                 31, 32, 34, 36, 37, 39, 40, 41, 41, 43, 44, 45};

TEST(ManifestMistakes, AreAllReportedInOneRun) {
  char pattern[] = "/tmp/lockstep_mistakes_XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(pattern);
  std::ofstream(directory / "m.yaml") << kMistakes;
  const Parsed parsed = load_manifest((directory / "m.yaml").string());
  std::filesystem::remove_all(directory);
  std::vector<int> lines;
  for (const Problem& problem : parsed.problems) {
    lines.push_back(problem.where.line);
    EXPECT_EQ(problem.severity, Severity::Error) << problem.print();
    EXPECT_GT(problem.where.column, 0) << problem.print();
  }
  EXPECT_EQ(lines, kLines) << testing::PrintToString([&] {
    std::string all = "\n";
    for (const Problem& problem : parsed.problems) all += problem.print() + "\n";
    return all;
  }());
  EXPECT_FALSE(parsed.manifest.has_value());
}

}  // namespace
}  // namespace lockstep
