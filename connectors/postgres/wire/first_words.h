// The first words of a statement, for people, without the values that stand in it.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// Up to the first value or comment, 60 bytes at most, on one line: "UPDATE public.orders SET total
// =".
std::string first_words(std::string_view statement);

}  // namespace lockstep
