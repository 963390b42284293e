#include "pipeline/tables/type_oids.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "pipeline/model/row.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

bool has_parts(TypeKind kind) {
  return kind == TypeKind::Array || kind == TypeKind::Range || kind == TypeKind::Composite;
}

// regproc, regclass and their like: an OID in binary form, a name in text form.
bool is_object_name(const Type& type) {
  constexpr std::array<std::uint32_t, 11> kObjectNames{24,   2202, 2203, 2204, 2205, 2206,
                                                       3734, 3769, 4089, 4096, 4191};
  return std::ranges::find(kObjectNames, type.base_oid) != kObjectNames.end();
}

// Base types of extensions whose binary form is a contract of theirs between versions and servers,
// and holds no OID.
bool is_known_of_extension(const Type& type) {
  constexpr std::array<std::string_view, 14> kKnown{
      "cube: cube",        "ip4r: ip4",         "ip4r: ip4r",         "ip4r: ip6",
      "ip4r: ip6r",        "ip4r: ipaddress",   "ip4r: iprange",      "ltree: lquery",
      "ltree: ltxtquery",  "postgis: geometry", "postgis: geography", "vector: halfvec",
      "vector: sparsevec", "vector: vector"};
  constexpr std::string_view kExtension = "extension ";
  const std::string_view identity = type.base_identity;
  return identity.starts_with(kExtension) &&
         std::ranges::find(kKnown, identity.substr(kExtension.size())) != kKnown.end();
}

bool parts_travel(const Type& from, const Type& to) {
  if (from.inner.empty() || from.inner.size() != to.inner.size()) return false;
  if (!std::ranges::equal(from.members, to.members, {}, &Member::name, &Member::name)) return false;
  for (std::size_t i = 0; i < from.inner.size(); ++i) {
    const Type& a = from.inner[i];
    const Type& b = to.inner[i];
    // The server casts whole columns only.
    if (a.kind != b.kind || (!is_user_defined(a) && a.base_oid != b.base_oid)) return false;
    if (!binary_travels(a, b)) return false;
  }
  return true;
}

}  // namespace

bool is_user_defined(const Type& type) {
  return type.user_defined || type.base_oid >= kFirstUserOid;
}

bool binary_travels(const Type& from, const Type& to) {
  if (from.kind != to.kind) return false;
  if (has_parts(from.kind)) return parts_travel(from, to);
  if (from.kind != TypeKind::Other) return true;
  if (is_known_of_extension(from)) return from.base_identity == to.base_identity;
  // A base type of another extension may hold anything.
  return !is_user_defined(from) && !is_user_defined(to) && !is_object_name(from);
}

// Walks the parts of a value.  Every step fails for good once the value is too short for it.
class TypeOids::Cursor {
 public:
  Cursor(char* value, std::size_t size) : at_(value), left_(size) {}

  bool failed() const { return failed_; }
  bool done() const { return failed_ || left_ == 0; }

  char* take(std::size_t bytes) {
    failed_ = failed_ || bytes > left_;
    if (failed_) return nullptr;
    char* const taken = at_;
    at_ += bytes;
    left_ -= bytes;
    return taken;
  }
  std::uint32_t number() {
    const char* const bytes = take(sizeof(std::uint32_t));
    return bytes == nullptr ? 0 : read_be32({bytes, sizeof(std::uint32_t)});
  }
  // A value of another type than was planned for is no longer ours to translate.
  void replace(const Oid& oid) {
    char* const place = take(sizeof oid.target);
    failed_ = failed_ || read_be32({place, sizeof oid.target}) != oid.source;
    if (failed_) return;
    std::string bytes;
    append_be32(bytes, oid.target);
    std::ranges::copy(bytes, place);
  }
  // A length and a value of type `part`; NULL has no value.
  void part(const TypeOids& part) {
    const auto length = static_cast<std::int32_t>(number());
    if (length < 0) return;
    char* const value = take(static_cast<std::size_t>(length));
    if (value != nullptr) part.write(value, static_cast<std::size_t>(length));
  }

 private:
  char* at_;
  std::size_t left_;
  bool failed_ = false;
};

TypeOids::TypeOids(const Type& from, const Type& to) : kind_(from.kind) {
  if (from.kind != to.kind || !has_parts(kind_) || from.inner.size() != to.inner.size()) return;
  for (std::size_t i = 0; i < from.inner.size(); ++i) {
    oids_.push_back({from.inner[i].oid, to.inner[i].oid});
    parts_.emplace_back(from.inner[i], to.inner[i]);
    const bool named = kind_ != TypeKind::Range && from.inner[i].oid != to.inner[i].oid;
    same_ = same_ && !named && parts_.back().same();
  }
}

void TypeOids::write(char* value, std::size_t size) const {
  if (same_) return;
  Cursor cursor(value, size);
  switch (kind_) {
    case TypeKind::Array:
      return write_array(cursor);
    case TypeKind::Range:
      return write_range(cursor);
    default:
      return write_composite(cursor);
  }
}

// array_send: dimensions, whether there are NULLs, the element's type, length and lower bound of
// each dimension, elements.
void TypeOids::write_array(Cursor& cursor) const {
  constexpr std::uint32_t kDimensionsMax = 6;
  constexpr std::size_t kBoundsSize = 8;
  const std::uint32_t dimensions = std::min(cursor.number(), kDimensionsMax);
  cursor.number();
  cursor.replace(oids_.front());
  cursor.take(dimensions * kBoundsSize);
  while (!cursor.done()) cursor.part(parts_.front());
}

// range_send: flags, then the bounds that there are.
void TypeOids::write_range(Cursor& cursor) const {
  cursor.take(1);
  while (!cursor.done()) cursor.part(parts_.front());
}

// record_send: the number of attributes, then type, length and value of each.
void TypeOids::write_composite(Cursor& cursor) const {
  if (cursor.number() != oids_.size()) return;
  for (std::size_t i = 0; i < oids_.size() && !cursor.failed(); ++i) {
    cursor.replace(oids_[i]);
    cursor.part(parts_[i]);
  }
}

}  // namespace lockstep
