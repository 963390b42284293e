// Whether a type of the source and one of the target are the same type.
//
// The name alone is no proof: a composite type may have its attributes in another order, a range
// another bound.  table_cast.cc asks before it looks for a cast.
#pragma once

#include <optional>
#include <string>

#include "pipeline/model/table.h"

namespace lockstep {

struct TypeDifference {
  std::string what;  // "attribute 1 of public.pair is a integer on the source and ...".
  std::string hint;
};

// Whether both have one name, wherever an extension is installed; domains are their base types.
bool same_name(const Type& source, const Type& target);
// The first difference between the definitions of two types of one name: what of the source's type
// the target's could not hold, or would take for something else.  A label that only the target has
// is none.
std::optional<TypeDifference> definition_difference(const Type& source, const Type& target);

}  // namespace lockstep
