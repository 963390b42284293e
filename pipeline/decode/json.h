// The decoder's hold on simdjson: one value of a document as a Scalar, and the kind of any value.
#pragma once

#include <simdjson.h>

#include "pipeline/decode/carry.h"

namespace lockstep {

namespace ondemand = simdjson::ondemand;

// The kind of `value`, by its first character; the value is not consumed.
JsonKind kind_of(ondemand::value& value);

// Reads a value that has no children; of an array or object only the kind.  Returns false when it
// is broken: a bad escape, NUL in a string, a literal that is none.  The text lives as long as the
// document's buffers.
bool read_scalar(ondemand::value& value, Scalar& scalar);

// The key as it stands in the document, escapes included.  Borrows from it.
std::string_view raw_key(const ondemand::field& field);

}  // namespace lockstep
