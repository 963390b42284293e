// The decoder's hold on simdjson: one value of a document as a Scalar, and the kind of any value.
#pragma once

#include <simdjson.h>

#include <string_view>

#include "pipeline/decode/carry.h"

namespace lockstep {

namespace ondemand = simdjson::ondemand;

// The kind of `value`, by its first character; the value is not consumed.
JsonKind kind_of(ondemand::value& value);

// Reads a value that has no children; of an array or object only the kind.  Returns false when it
// is broken: a bad escape, NUL in a string, a literal that is none.  The text lives as long as the
// document's buffers.
bool read_scalar(ondemand::value& value, Scalar& scalar);

// Whether the whole text is one valid document.  Reads all of it: for when something is wrong.
bool is_valid_json(std::string_view text);

// The key as it stands in the document, escapes included.  Borrows from it.
inline std::string_view raw_key(const ondemand::field& field) {
  const char* const begin = field.key().raw();
  const char* end = begin;
  // The document was checked: the quote is there.  Keys are short, so no memchr.
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace lockstep
