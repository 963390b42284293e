#include "pipeline/tables/sent_form.h"

#include <algorithm>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

constexpr std::uint32_t kXml = 142;
constexpr std::size_t kNumber = 4;

bool is_null(std::uint32_t size) { return static_cast<std::int32_t>(size) < 0; }

// Writes over what was appended at `at`.
void put_be32(std::string& out, std::size_t at, std::uint32_t number) {
  std::string bytes;
  append_be32(bytes, number);
  out.replace(at, bytes.size(), bytes);
}

}  // namespace

SentForm::SentForm(const Type& type, Plane plane) {
  if (type.kind == TypeKind::Other && type.base_oid == kXml) form_ = Form::Xml;
  if (plane == Plane::Binary) {
    if (type.kind == TypeKind::Array && type.inner.size() == 1) form_ = Form::Array;
    if (type.kind == TypeKind::Range && type.inner.size() == 1) form_ = Form::Range;
    if (type.kind == TypeKind::Composite) form_ = Form::Composite;
    for (const Type& inner : type.inner) parts_.emplace_back(inner, plane);
  }
  const bool same_parts = std::ranges::all_of(parts_, &SentForm::same);
  same_ = form_ != Form::Array && form_ != Form::Xml && same_parts;
}

void SentForm::append(std::string& out, std::string_view value) const {
  if (same_) {
    out.append(value);
    return;
  }
  switch (form_) {
    case Form::AsSent:
      out.append(value);
      return;
    case Form::Xml:
      value.remove_prefix(std::min(value.find_first_not_of('\n'), value.size()));
      out.append(value);
      return;
    case Form::Array:
      return append_array(out, value);
    case Form::Range:  // range_send: flags, then the bounds that there are.
      out.append(value.substr(0, 1));
      value.remove_prefix(std::min<std::size_t>(value.size(), 1));
      while (!value.empty()) parts_.front().append_part(out, value);
      return;
    case Form::Composite:
      return append_composite(out, value);
  }
}

// A length and a value; NULL has no value.
void SentForm::append_part(std::string& out, std::string_view& rest) const {
  const std::uint32_t size = rest.size() < kNumber ? 0 : read_be32(rest);
  const std::size_t bytes = is_null(size) ? 0 : size;
  if (rest.size() < kNumber || rest.size() - kNumber < bytes) {
    out.append(rest);
    rest = {};
    return;
  }
  out.append(rest.substr(0, kNumber));
  const std::size_t begin = out.size();
  if (!is_null(size)) {
    append(out, rest.substr(kNumber, bytes));
    put_be32(out, begin - kNumber, static_cast<std::uint32_t>(out.size() - begin));
  }
  rest.remove_prefix(kNumber + bytes);
}

// array_send: dimensions, whether there may be NULLs, the element's type, length and lower bound of
// each dimension, elements.
void SentForm::append_array(std::string& out, std::string_view value) const {
  constexpr std::size_t kHeader = 3 * kNumber;
  constexpr std::size_t kBounds = 2 * kNumber;
  constexpr std::size_t kDimensionsMax = 6;
  std::size_t header = kHeader;
  if (value.size() >= kHeader)
    header += kBounds * std::min<std::size_t>(read_be32(value), kDimensionsMax);
  if (value.size() < header) {
    out.append(value);
    return;
  }
  const std::size_t flag = out.size() + kNumber;
  out.append(value.substr(0, header));
  bool nulls = false;
  for (value.remove_prefix(header); !value.empty();) {
    nulls = nulls || (value.size() >= kNumber && is_null(read_be32(value)));
    parts_.front().append_part(out, value);
  }
  put_be32(out, flag, nulls ? 1 : 0);
}

// record_send: the number of attributes, then type, length and value of each.
void SentForm::append_composite(std::string& out, std::string_view value) const {
  const std::size_t head = std::min(value.size(), kNumber);
  const bool known = head == kNumber && read_be32(value) == parts_.size();
  out.append(value.substr(0, head));
  value.remove_prefix(head);
  for (std::size_t i = 0; known && i < parts_.size() && value.size() >= kNumber; ++i) {
    out.append(value.substr(0, kNumber));
    value.remove_prefix(kNumber);
    parts_[i].append_part(out, value);
  }
  out.append(value);
}

}  // namespace lockstep
