// Definition: what a table is made of, as one value, and what a difference between two means.
//
//   catalog -> TableSpec -> definition_of() -> compared by ShapeWatch with the one that the rows
//                                              stem from; stored with the table's mapping
//
// Names alone would not do: a label may be renamed, a column stop to be generated, a key be dropped
// and made again, and no event tells.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// Facts by what they are about, both in a form of their own: "column 3" -> "23 -1 - id".  All of
// them name things of one server by number, so that a change of a name is seen as one.
using Definition = std::map<std::string, std::string>;

Definition definition_of(const TableSpec& spec);

// As the bookkeeping stores it, and the reverse; empty: not known.
std::string definition_text(const Definition& definition);
Definition parse_definition(std::string_view text);

// What a difference means for a table whose rows were copied before it.
enum class Consequence : std::uint8_t {
  Harmless,   // For its rows and for its events.
  CopyAgain,  // Its rows are not those that were copied; its plan still holds.
  Stop,       // Its plan does not fit any more.
};

enum class Side : std::uint8_t { Source, Target };

struct DefinitionChange {
  Consequence consequence = Consequence::Stop;
  std::string what;  // "column \"v\" was dropped on the source".
  std::string next;  // What an operator can do about it; may be empty.
};

// The gravest change from `before`, which the plan `map` was made for or an earlier one, to `now`;
// nothing where all is as it was.
std::optional<DefinitionChange> definition_change(const TableMap& map, Side side,
                                                  const Definition& before, const Definition& now);

// The same definition, of rows some of whose changes did not say which row they meant.
Definition with_other_identity(Definition definition);

// Whether rows may have got other keys without an event: a type that is changed with USING has the
// key's index made anew; and under another identity, also one that was there for a while only, an
// update tells no old key.
bool key_may_mean_others(const Definition& before, const Definition& now);

}  // namespace lockstep
