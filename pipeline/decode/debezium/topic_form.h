// How Debezium writes a name into a topic's.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// What Kafka does not allow becomes '_', one per UTF-16 unit: a character of four UTF-8 bytes is
// two of them, any other is one.
std::string topic_form(std::string_view name);

}  // namespace lockstep
