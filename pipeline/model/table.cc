#include "pipeline/model/table.h"

#include <algorithm>

#include "pipeline/base/result.h"

namespace lockstep {

bool refuses_null(const Type& type) {
  return std::ranges::find(type.checks, "NOT NULL", &CheckRule::text) != type.checks.end();
}

std::optional<std::pair<int, int>> numeric_limits(std::int32_t typmod) {
  constexpr std::int32_t kHeader = 4;         // VARHDRSZ, which every typmod of this kind carries.
  constexpr std::int32_t kScaleMask = 0x7ff;  // Eleven bits of two's complement, from PG 15 on.
  constexpr std::int32_t kScaleSign = 0x400;
  if (typmod < kHeader) return std::nullopt;
  const std::int32_t packed = typmod - kHeader;
  const int precision = (packed >> 16) & 0xffff;
  const int scale = ((packed & kScaleMask) ^ kScaleSign) - kScaleSign;
  return std::pair{precision, scale};
}

std::string quote_identifier(const std::string& name) {
  CHECK(name.find('\0') == std::string::npos);
  std::string quoted_name = "\"";
  for (const char c : name) {
    if (c == '"') quoted_name += '"';
    quoted_name += c;
  }
  return quoted_name += '"';
}

std::string quoted(const TableName& name) {
  return quote_identifier(name.schema) + "." + quote_identifier(name.table);
}

std::string own_rows(const TableSpec& spec) {
  return (spec.kind == RelationKind::PartitionedRoot ? "" : "ONLY ") + quoted(spec.name);
}

std::optional<std::size_t> TableSpec::find(const std::string& column) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return i;
  }
  return std::nullopt;
}

bool TableSpec::has_whole_images() const {
  return replica_identity == ReplicaIdentity::Full &&
         std::ranges::all_of(identities, [](const RowIdentity& identity) {
           return identity.kind == ReplicaIdentity::Full;
         });
}

std::vector<std::string> rival_keys(const TableSpec& spec) {
  std::vector<std::string> names;
  if (!spec.key.empty()) return names;
  for (const KeyIndex& key : spec.keys)
    if (!key.deferrable) names.push_back(key.name);
  return names;
}

bool can_be_published(const TableSpec& spec) {
  const bool inherits_key = spec.kind != RelationKind::PartitionedRoot ||
                            std::ranges::any_of(spec.keys, [](const KeyIndex& key) {
                              return key.primary && !key.deferrable;
                            });
  return inherits_key && std::ranges::all_of(spec.identities, &RowIdentity::usable);
}

}  // namespace lockstep
