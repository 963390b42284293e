// SentForm: the bytes that a server sends of a value, without what depends on how the value came to
// be there: equal rows have equal bytes then.
//
//   array   a slice keeps the note that there may be NULLs, and who receives the array forgets it
//   xml     a server leaves out one newline at the beginning each time that it sends a value
//
// Everything else is sent alike by whoever has it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// Constant after construction.
class SentForm {
 public:
  // Of values of `type` that are sent on that plane.
  SentForm(const Type& type, Plane plane);

  // Whether what is sent stays as it is.
  bool same() const { return same_; }
  // Appends the value.  One that is not as its type says stays as it is from there on.
  void append(std::string& out, std::string_view value) const;

 private:
  enum class Form : std::uint8_t { AsSent, Xml, Array, Range, Composite };
  void append_part(std::string& out, std::string_view& rest) const;
  void append_array(std::string& out, std::string_view value) const;
  void append_composite(std::string& out, std::string_view value) const;

  Form form_ = Form::AsSent;
  bool same_ = true;
  std::vector<SentForm> parts_;  // Array: of the element; Range: of a bound; Composite: of each.
};

}  // namespace lockstep
