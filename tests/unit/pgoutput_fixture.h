// Messages of pgoutput made by hand, byte by byte, as protocol version 1 describes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/decode/pgoutput/pgoutput.h"
#include "pipeline/model/row.h"

namespace lockstep::wal {

inline std::string be16(std::size_t value) {
  std::string out;
  append_be16(out, static_cast<std::uint16_t>(value));
  return out;
}
inline std::string be32(std::uint64_t value) {
  std::string out;
  append_be32(out, static_cast<std::uint32_t>(value));
  return out;
}
inline std::string be64(std::uint64_t value) {
  std::string out;
  append_be64(out, value);
  return out;
}
inline std::string text_z(std::string_view text) { return std::string(text) + '\0'; }

inline std::string begin(Lsn final_lsn, std::uint32_t xid, std::int64_t us_since_2000 = 0) {
  return "B" + be64(final_lsn) + be64(static_cast<std::uint64_t>(us_since_2000)) + be32(xid);
}
inline std::string commit(Lsn commit_lsn, Lsn end_lsn) {
  return "C" + std::string(1, '\0') + be64(commit_lsn) + be64(end_lsn) + be64(0);
}

struct Attribute {
  std::string name;
  std::uint32_t type = 0;
  bool in_identity = false;
  std::int32_t typmod = -1;
};
inline std::string relation(std::uint32_t oid, std::string_view table,
                            const std::vector<Attribute>& attributes, char identity = 'd') {
  std::string out = "R" + be32(oid) + text_z("public") + text_z(table) + identity;
  out += be16(attributes.size());
  for (const Attribute& attribute : attributes)
    out += std::string(1, attribute.in_identity ? '\1' : '\0') + text_z(attribute.name) +
           be32(attribute.type) + be32(static_cast<std::uint32_t>(attribute.typmod));
  return out;
}

// Values of a tuple.
inline std::string binary(std::string_view bytes) {
  return "b" + be32(bytes.size()) + std::string(bytes);
}
inline std::string text(std::string_view bytes) {
  return "t" + be32(bytes.size()) + std::string(bytes);
}
inline std::string int4(std::uint32_t value) { return binary(be32(value)); }
inline const std::string kNull = "n";
inline const std::string kUnchanged = "u";

inline std::string tuple(const std::vector<std::string>& values) {
  std::string out = be16(values.size());
  for (const std::string& value : values) out += value;
  return out;
}
using Values = std::vector<std::string>;
inline std::string insert(std::uint32_t oid, const Values& now) {
  return "I" + be32(oid) + "N" + tuple(now);
}
inline std::string update(std::uint32_t oid, const Values& now) {
  return "U" + be32(oid) + "N" + tuple(now);
}
inline std::string update(std::uint32_t oid, char form, const Values& before, const Values& now) {
  return "U" + be32(oid) + form + tuple(before) + "N" + tuple(now);
}
inline std::string remove(std::uint32_t oid, char form, const Values& before) {
  return "D" + be32(oid) + form + tuple(before);
}
inline std::string truncate(const std::vector<std::uint32_t>& oids, char options = '\0') {
  std::string out = "T" + be32(oids.size()) + options;
  for (const std::uint32_t oid : oids) out += be32(oid);
  return out;
}
inline std::string logical_message(std::string_view content) {
  return "M" + std::string(1, '\1') + be64(7) + text_z("lockstep") + be32(content.size()) +
         std::string(content);
}

}  // namespace lockstep::wal
