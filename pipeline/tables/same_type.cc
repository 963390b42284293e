#include "pipeline/tables/same_type.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

bool has_label(const Type& type, const std::string& label) {
  return std::ranges::find(type.members, label, &Member::name) != type.members.end();
}

std::optional<TypeDifference> missing_label(const Type& source, const Type& target) {
  for (std::size_t i = 0; i < source.members.size(); ++i) {
    const std::string& label = source.members[i].name;
    if (has_label(target, label)) continue;
    // In its place stands one that the source does not know: it was renamed there.
    const bool renamed = source.members.size() == target.members.size() &&
                         !has_label(source, target.members[i].name);
    return TypeDifference{
        fmt::format("enum {} of the target lacks the source's label {}", target.base_sql,
                    quote_literal(label)),
        renamed ? fmt::format("ALTER TYPE {} RENAME VALUE {} TO {}; as its owner on the target",
                              target.base_sql, quote_literal(target.members[i].name),
                              quote_literal(label))
                : fmt::format("ALTER TYPE {} ADD VALUE {}; as its owner on the target",
                              target.base_sql, quote_literal(label))};
  }
  return std::nullopt;
}

std::string attribute(const Type& type, std::size_t i) {
  return i < type.inner.size() ? quote_identifier(type.members[i].name) + " " + type.inner[i].sql
                               : "absent";
}

std::optional<TypeDifference> inner_difference(const Type& source, const Type& target) {
  const bool composite = source.kind == TypeKind::Composite;
  const std::size_t count = std::max(source.inner.size(), target.inner.size());
  for (std::size_t i = 0; i < count; ++i) {
    const bool both = i < source.inner.size() && i < target.inner.size();
    const bool same = both && same_name(source.inner[i], target.inner[i]) &&
                      (!composite || source.members[i].name == target.members[i].name);
    if (same) {
      if (auto deeper = definition_difference(source.inner[i], target.inner[i])) return deeper;
      continue;
    }
    if (composite)
      return TypeDifference{
          fmt::format("attribute {} of {} is {} on the source and {} on the target", i + 1,
                      source.base_sql, attribute(source, i), attribute(target, i)),
          fmt::format("give {} of the target the source's attributes, in the source's order",
                      target.base_sql)};
    return TypeDifference{
        fmt::format("{} is made of {} on the source and of {} on the target", source.base_sql,
                    both ? source.inner[i].sql : "another type",
                    both ? target.inner[i].sql : "another type"),
        fmt::format("define {} of the target as the source does", target.base_sql)};
  }
  return std::nullopt;
}

}  // namespace

bool same_name(const Type& source, const Type& target) {
  return source.kind == target.kind && source.base_identity == target.base_identity &&
         source.typmod == target.typmod;
}

std::optional<TypeDifference> definition_difference(const Type& source, const Type& target) {
  return source.kind == TypeKind::Enum ? missing_label(source, target)
                                       : inner_difference(source, target);
}

}  // namespace lockstep
