// TypeOids: where binary values hold the OIDs of types, which differ between two servers.
//
// The header of an array names its element's type, a composite value the type of each attribute;
// ranges hold bounds that may be either.  The planner asks whether a type travels so; translate
// writes the target's OIDs over the source's, which changes no length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// Whether the type, or what a domain stands for, is none of PostgreSQL's own.
bool is_user_defined(const Type& type);

// Whether the target understands the binary form of `from` as `to`, the OIDs of types apart.  Not
// where the parts differ, nor where a value is itself an OID (regclass), nor where nobody knows.
bool binary_travels(const Type& from, const Type& to);

// The OIDs that values of one type need on the target.
class TypeOids {
 public:
  // REQUIRES: binary_travels(from, to), or nothing that holds OIDs.
  TypeOids(const Type& from, const Type& to);

  // Whether every value goes as it is.
  bool same() const { return same_; }
  // Writes the target's OIDs into `value`.  A value of another form is left alone: the target
  // refuses it.
  void write(char* value, std::size_t size) const;

 private:
  struct Oid {
    std::uint32_t source;
    std::uint32_t target;
  };
  class Cursor;
  void write_array(Cursor& cursor) const;
  void write_range(Cursor& cursor) const;
  void write_composite(Cursor& cursor) const;

  TypeKind kind_;
  bool same_ = true;
  std::vector<Oid> oids_;  // Of the parts.
  std::vector<TypeOids> parts_;
};

}  // namespace lockstep
