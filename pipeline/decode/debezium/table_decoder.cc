#include "pipeline/decode/debezium/table_decoder.h"

#include <algorithm>
#include <numeric>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

std::vector<std::size_t> all_columns(const TableMap& table) {
  std::vector<std::size_t> columns(table.columns.size());
  std::iota(columns.begin(), columns.end(), std::size_t{0});
  return columns;
}

}  // namespace

ObjectReader::ObjectReader(const TableMap& table, const std::vector<std::size_t>& cells,
                           const DecodeSettings& settings)
    : table_(table), columns_(cells), spans_(cells.size()) {
  for (const Column& column : table.source.columns) by_name_.emplace(column.name, kSkip);
  for (std::size_t cell = 0; cell < cells.size(); ++cell) {
    codecs_.emplace_back(table, cells[cell], settings);
    by_name_[table.source_column(cells[cell]).name] = static_cast<std::int32_t>(cell);
  }
}

// Returns the cell of a field, and remembers it for the next object.
std::int32_t ObjectReader::find(ondemand::field& field, std::size_t position,
                                std::string_view raw) {
  std::string_view name;
  if (field.unescaped_key().get(name) != simdjson::SUCCESS) return kUnknown;
  const auto found = by_name_.find(std::string(name));
  if (found == by_name_.end()) return kUnknown;
  // A row has at most every column; what repeats fields beyond that is broken anyway.
  if (position >= by_name_.size()) return found->second;
  if (slots_.size() <= position) slots_.resize(position + 1);
  slots_[position] = {std::string(raw), found->second};
  return found->second;
}

void ObjectReader::note(Carry carry, std::size_t cell, ReadOutcome& outcome) const {
  switch (carry) {
    case Carry::Value:
    case Carry::Null:
      return;
    case Carry::Unavailable:
      outcome.complete = false;
      return;
    case Carry::Doubtful:
      outcome.complete = false;
      if (outcome.debt == DebtReason::None) outcome.debt = DebtReason::Doubtful;
      return;
    case Carry::Unreadable:
      outcome.complete = false;
      if (outcome.debt != DebtReason::Unreadable) {
        outcome.column = table_.source_column(columns_[cell]).name;
      }
      outcome.debt = DebtReason::Unreadable;
      return;
    case Carry::Refused: {
      const Column& column = table_.source_column(columns_[cell]);
      const Type& type = column.type.inner.empty() ? column.type : column.type.inner[0];
      outcome.kind = ReadOutcome::Kind::Refused;
      outcome.column = column.name;
      outcome.setting = refused_setting(type.kind);
      return;
    }
  }
}

// Puts cells that came in another order, or not at all, where they belong.
void ObjectReader::reorder(std::string& out, std::size_t begin, ReadOutcome& outcome) {
  std::string ordered;
  ordered.reserve(out.size() - begin + 4 * spans_.size());
  for (const Span& span : spans_) {
    if (span.size > 0) {
      ordered.append(out, span.begin, span.size);
      continue;
    }
    append_unavailable(ordered);
    outcome.complete = false;
    if (outcome.debt == DebtReason::None) outcome.debt = DebtReason::Doubtful;
  }
  out.replace(begin, std::string::npos, ordered);
}

ReadOutcome ObjectReader::read(ondemand::object& object, CodecScratch& scratch, std::string& out) {
  ReadOutcome outcome;
  std::ranges::fill(spans_, Span{});
  const std::size_t begin = out.size();
  std::size_t position = 0;
  std::size_t next = 0;
  bool in_order = true;
  for (auto result : object) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) {
      outcome.kind = ReadOutcome::Kind::Broken;
      return outcome;
    }
    const bool expected = position < slots_.size() &&
                          field.key().unsafe_is_equal(std::string_view(slots_[position].raw_key));
    std::int32_t cell = expected ? slots_[position].cell : kUnknown;
    if (!expected) {
      const std::string_view raw = raw_key(field);
      cell = find(field, position, raw);
      if (cell == kUnknown) {
        outcome.kind = ReadOutcome::Kind::UnknownColumn;
        outcome.column = raw;
        return outcome;
      }
    }
    ++position;
    if (cell == kSkip) continue;
    const auto index = static_cast<std::size_t>(cell);
    if (spans_[index].size > 0) {
      outcome.kind = ReadOutcome::Kind::Broken;
      return outcome;
    }
    const std::size_t cell_begin = out.size();
    const Carry carry = codecs_[index].encode(field.value(), scratch, out);
    spans_[index] = {cell_begin, out.size() - cell_begin};
    in_order = in_order && index == next++;
    note(carry, index, outcome);
    if (outcome.kind == ReadOutcome::Kind::Refused) return outcome;
  }
  if (!in_order || next != spans_.size()) reorder(out, begin, outcome);
  return outcome;
}

TableDecoder::TableDecoder(const TableMap& table, const DecodeSettings& settings)
    : table_(table),
      rows_(table, all_columns(table), settings),
      keys_(table, table.key, settings) {}

}  // namespace lockstep
