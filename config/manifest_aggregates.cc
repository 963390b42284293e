#include "config/manifest_aggregates.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <utility>

namespace lockstep {
namespace {

constexpr const char* kExample =
    "- {name: revenue, source: \"SELECT sum(total) FROM public.orders\", target: \"...\"}";

// One statement without the semicolon that may end it.
At<std::string> read_sql(Fields& fields, std::string_view key, Report& report) {
  auto sql = fields.require_text(key, "one SELECT that returns one row");
  if (!sql) return {"", fields.where()};
  constexpr std::string_view kEnd = "; \t\r\n";
  const std::size_t last = sql->value.find_last_not_of(kEnd);
  sql->value.resize(last == std::string::npos ? 0 : last + 1);
  if (sql->value.empty()) report.error(sql->where, fields.name(key) + " is empty");
  return std::move(*sql);
}

std::string read_tolerance(Fields& fields, Report& report) {
  const auto tolerance = fields.text("tolerance");
  if (!tolerance) return {};
  static const std::regex kNumber("[0-9]{1,30}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?");
  if (std::regex_match(tolerance->value, kNumber)) return tolerance->value;
  report.error(tolerance->where, fields.name("tolerance") + " must be a number, 0 or more",
               "the largest difference of a column that is still equal: 0.01");
  return {};
}

std::optional<ManifestAggregate> read_aggregate(const YamlNode& node, const std::string& path,
                                                std::chrono::seconds every, Report& report) {
  const std::size_t before = report.errors();
  Fields fields(node, path, report);
  ManifestAggregate aggregate;
  aggregate.where = node.where;
  constexpr std::size_t kNameMax = 100;
  if (auto name = fields.require_text("name", "a name for people")) {
    if (name->value.empty() || name->value.size() > kNameMax)
      report.error(name->where, fmt::format("{}.name must have 1 to {} bytes", path, kNameMax));
    aggregate.name = std::move(*name);
  }
  aggregate.source = read_sql(fields, "source", report);
  aggregate.target = read_sql(fields, "target", report);
  aggregate.tolerance = read_tolerance(fields, report);
  aggregate.every = fields.duration("every", every).value;
  fields.finish();
  return report.errors() == before ? std::optional(std::move(aggregate)) : std::nullopt;
}

}  // namespace

std::vector<ManifestAggregate> read_aggregates(const YamlNode& node, std::chrono::seconds every,
                                               Report& report) {
  std::vector<ManifestAggregate> aggregates;
  if (node.kind != YamlKind::List) {
    report.error(node.where, "aggregates must be a list", kExample);
    return aggregates;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    auto read = read_aggregate(node.items[i], fmt::format("aggregates[{}]", i), every, report);
    if (!read) continue;
    const auto same = std::ranges::find(
        aggregates, read->name.value, [](const ManifestAggregate& one) { return one.name.value; });
    if (same != aggregates.end())
      report.error(
          read->name.where,
          fmt::format("aggregates[{}].name: '{}' stands here a second time", i, read->name.value),
          fmt::format("the first is in line {}", same->name.where.line));
    aggregates.push_back(std::move(*read));
  }
  return aggregates;
}

}  // namespace lockstep
