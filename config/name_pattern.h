// NamePattern: "public.orders", "public.*", '"Order Items".*': a table of the manifest.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "pipeline/model/table.h"

namespace lockstep {

// NAMEDATALEN - 1, in bytes.
inline constexpr std::size_t kIdentifierMax = 63;

// One of the two names.  A quoted one is exact; in a bare one * stands for any text and ? for one
// character.  Case counts in both: nothing is folded.
struct NamePart {
  std::string text;
  bool glob = false;

  bool matches(std::string_view name) const;
};

struct NamePattern {
  NamePart schema;
  NamePart table;

  bool is_glob() const { return schema.glob || table.glob; }
  bool matches(const TableName& name) const;
  TableName exact() const { return {schema.text, table.text}; }  // REQUIRES: !is_glob().
};

// Parses a pattern; the error is a sentence about `text`.
std::expected<NamePattern, std::string> parse_name_pattern(std::string_view text);

// The pattern that matches this table and no other: `public.orders`, `public."Order Items"`.
std::string exact_pattern(const TableName& name);

}  // namespace lockstep
