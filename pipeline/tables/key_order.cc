#include "pipeline/tables/key_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

namespace lockstep {
namespace {

bool is_among(TypeKind kind, std::initializer_list<TypeKind> kinds) {
  return std::ranges::find(kinds, kind) != kinds.end();
}

bool is_number_type(const Type& type) {
  return is_among(type.kind, {TypeKind::Int2, TypeKind::Int4, TypeKind::Int8, TypeKind::Numeric});
}
bool is_text_type(const Type& type) {
  return is_among(type.kind, {TypeKind::Text, TypeKind::Varchar});
}

// Whether values of the type within those of another are ordered by a collation, and by another one
// than the column's.
bool hides_collation(const Type& within, const Type& type) {
  const bool own = is_among(type.kind, {TypeKind::Citext, TypeKind::Jsonb});
  const bool text = is_text_type(type) || type.kind == TypeKind::Bpchar;
  return own || (text && within.kind != TypeKind::Array);
}

bool same_labels(const Type& a, const Type& b) {
  return std::ranges::equal(a.members, b.members, {}, &Member::name, &Member::name);
}

// Of the parts of two types; "": they are ordered alike.
std::string differs_inside(const Type& source, const Type& target) {
  if (source.inner.size() != target.inner.size()) return "its types are made of other parts";
  for (std::size_t i = 0; i < source.inner.size(); ++i) {
    const Type& from = source.inner[i];
    const Type& to = target.inner[i];
    if (from.kind != to.kind) return "its types are made of other types";
    if (from.kind == TypeKind::Enum && !same_labels(from, to))
      return "the labels of " + from.identity + " stand in another order or are others";
    if (hides_collation(source, from))
      return "the collation of texts within " + source.identity + " is not looked at";
    if (std::string why = differs_inside(from, to); !why.empty()) return why;
  }
  return {};
}

std::string differs_in_order(const Column& source, const Column& target) {
  const Type& from = source.type;
  const Type& to = target.type;
  const bool alike = from.kind == to.kind || (is_number_type(from) && is_number_type(to)) ||
                     (is_text_type(from) && is_text_type(to));
  if (!alike) return fmt::format("{} on the source and {} on the target", from.sql, to.sql);
  if (source.order != target.order)
    return fmt::format("in the order of {} on the source and of {} on the target", source.order,
                       target.order);
  if (from.kind == TypeKind::Enum && !same_labels(from, to))
    return "the labels of " + from.identity + " stand in another order or are others";
  return differs_inside(from, to);
}

}  // namespace

std::string why_two_orders(const TableMap& map) {
  for (const std::size_t i : map.key) {
    const Column& source = map.source_column(i);
    if (const std::string why = differs_in_order(source, map.target_column(i)); !why.empty())
      return fmt::format("its keys stand in two orders: {} is {}", source.name, why);
  }
  return {};
}

}  // namespace lockstep
