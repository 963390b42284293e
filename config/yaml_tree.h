// YamlNode: a YAML document as a plain tree that knows where everything stood.
//
// The only place with yaml-cpp.  Its own node type loses what the manifest must report: duplicate
// keys, the place of a key, whether a scalar was quoted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/problem.h"

namespace lockstep {

enum class YamlKind : std::uint8_t { Null, Scalar, List, Map };

struct YamlEntry;

struct YamlNode {
  YamlKind kind = YamlKind::Null;
  std::string text;  // Of a scalar.
  bool quoted = false;
  Where where;
  std::vector<YamlNode> items;     // Of a list.
  std::vector<YamlEntry> entries;  // Of a map, as written, duplicates included.
};

struct YamlEntry {
  YamlNode key;
  YamlNode value;
};

struct YamlError {
  Where where;
  std::string text;
  std::string hint;
};

// Parses one document of at most kYamlNodesMax nodes, aliases expanded.
// Returns the root, or Null and the reason in `errors`.
inline constexpr std::size_t kYamlNodesMax = 100'000;
inline constexpr std::size_t kYamlDepthMax = 32;
YamlNode parse_yaml(const std::string& text, std::vector<YamlError>& errors);

}  // namespace lockstep
