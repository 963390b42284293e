#include "pipeline/tables/compared.h"

#include <algorithm>
#include <utility>

#include "pipeline/base/result.h"

namespace lockstep {
namespace {

bool is_string(TypeKind kind) {
  return kind == TypeKind::Text || kind == TypeKind::Varchar || kind == TypeKind::Citext;
}

// What a column that is cast is read as on both sides: the target's type, but for strings, which
// the source may not know (citext), and which all have the bytes of text.
std::string common_type(const Type& target) {
  if (is_string(target.kind)) return "pg_catalog.text";
  const bool strings = target.kind == TypeKind::Array && !target.inner.empty() &&
                       is_string(target.inner.front().kind);
  return strings ? "pg_catalog.text[]" : target.base_sql;
}

TableMap source_view(const TableMap& map) {
  TableMap view = map;
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (map.columns[i].cast) view.columns[i].read_as = common_type(map.target_column(i).type);
  for (std::size_t& key : view.key) {
    if (!map.columns[key].cast) continue;
    view.columns.push_back(map.columns[key]);
    key = view.columns.size() - 1;
  }
  return view;
}

// Sides changed over, so that whoever reads a source reads the target.
TableMap target_view(const TableMap& map) {
  TableMap view = map;
  std::swap(view.source, view.target);
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    std::swap(view.columns[i].source, view.columns[i].target);
    if (map.columns[i].cast) view.columns[i].read_as = common_type(map.target_column(i).type);
  }
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    const std::size_t column = map.key[i];
    if (!map.columns[column].cast) continue;
    ColumnMap key = view.columns[column];
    const Type& type = map.source_column(column).type;
    key.read_as = key.plane == Plane::Text ? "" : type.base_sql;
    key.read_oid = type.base_oid;
    view.columns.push_back(std::move(key));
    view.key[i] = view.columns.size() - 1;
  }
  return view;
}

// The elements of an array that is in its SentForm.
void append_elements(std::string& out, CanonicalRule rule, std::string_view array) {
  constexpr std::size_t kHeader = 12;
  constexpr std::size_t kBounds = 8;
  constexpr std::size_t kDimensionsMax = 6;
  std::size_t at = kHeader;
  if (array.size() >= kHeader)
    at += kBounds * std::min<std::size_t>(read_be32(array), kDimensionsMax);
  if (array.size() < at) return append_value(out, array);
  out.append(array.substr(0, at));
  for (array.remove_prefix(at); array.size() >= 4;) {
    const std::uint32_t size = read_be32(array);
    array.remove_prefix(4);
    if (size > array.size()) {
      append_null(out);
    } else {
      append_canonical(out, rule, array.substr(0, size));
      array.remove_prefix(size);
    }
  }
}

// Of the compared cells of a column.
SentForm sent_form(const TableMap& map, std::size_t column) {
  return {map.target_column(column).type, map.columns[column].plane};
}

std::vector<SentForm> sent_forms(const TableMap& map) {
  std::vector<SentForm> forms;
  for (std::size_t i = 0; i < map.columns.size(); ++i) forms.push_back(sent_form(map, i));
  return forms;
}

void append_by_value(std::string& out, const TableMap& map, std::size_t column,
                     const SentForm& form, Cell cell) {
  const CanonicalRule rule = map.columns[column].compared;
  std::string sent;
  if (!form.same() && cell.presence == Presence::Value) {
    form.append(sent, cell.bytes);
    cell.bytes = sent;
  }
  if (rule == CanonicalRule::Bytes || cell.presence != Presence::Value)
    append_cell(out, cell);
  else if (map.target_column(column).type.kind == TypeKind::Array)
    append_elements(out, rule, cell.bytes);
  else
    append_canonical(out, rule, cell.bytes);
}

}  // namespace

Compared::Compared(const TableMap& map, std::uint64_t seed)
    : map_(map),
      seed_(seed),
      all_by_bytes_(std::ranges::all_of(
          map.columns,
          [](const ColumnMap& column) { return column.compared == CanonicalRule::Bytes; })),
      forms_(sent_forms(map)),
      as_sent_(all_by_bytes_ && std::ranges::all_of(forms_, &SentForm::same)),
      source_(source_view(map)),
      target_(target_view(map)),
      to_target_(map),
      key_to_source_(target_) {}

std::string_view Compared::cells(From side, std::string_view row, Scratch& scratch) const {
  if (view(side).columns.size() > map_.columns.size()) {
    CellReader reader(row);
    for (std::size_t i = 0; i < map_.columns.size(); ++i) static_cast<void>(reader.next());
    row = row.substr(0, row.size() - reader.rest().size());
  }
  return side == From::Source ? to_target_.row(row, scratch.translated) : row;
}

bool same_value(const TableMap& map, std::size_t column, const Cell& a, const Cell& b) {
  if (a == b) return true;
  const SentForm form = sent_form(map, column);
  std::string left;
  std::string right;
  append_by_value(left, map, column, form, a);
  append_by_value(right, map, column, form, b);
  return left == right;
}

std::string_view Compared::by_value(std::string_view cells, std::string& scratch) const {
  if (as_sent_) return cells;
  scratch.clear();
  CellReader reader(cells);
  for (std::size_t i = 0; i < map_.columns.size(); ++i)
    append_by_value(scratch, map_, i, forms_[i], reader.next());
  return scratch;
}

std::string_view Compared::source_key(From side, std::string_view row, Scratch& scratch) const {
  if (!extract_key(view(side), row, scratch.key)) return {};
  return side == From::Source ? std::string_view(scratch.key)
                              : key_to_source_.key(scratch.key, scratch.row);
}

std::string Compared::key(From side, std::string_view row, Scratch& scratch) const {
  return std::string(source_key(side, row, scratch));
}

bool Compared::digest(From side, std::string_view row, RowDigest& digest, Scratch& scratch) const {
  const std::string_view key = source_key(side, row, scratch);
  if (key.empty()) return false;
  digest.key = key_hash(map_, key);
  digest.row = hash128(by_value(cells(side, row, scratch), scratch.by_value), seed_);
  return true;
}

std::vector<std::string> unequal_columns(const TableMap& map, std::string_view source,
                                         std::string_view target) {
  std::vector<std::string> names;
  CellReader left(source);
  CellReader right(target);
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (!same_value(map, i, left.next(), right.next())) names.push_back(map.source_column(i).name);
  return names;
}

}  // namespace lockstep
