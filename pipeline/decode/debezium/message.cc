#include "pipeline/decode/debezium/message.h"

#include <algorithm>
#include <cstring>

namespace lockstep {
namespace {

// A larger buffer is given back after the message that needed it.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

constexpr std::string_view kSchemaFirst = "{\"schema\":{";

}  // namespace

void MessageReader::load(std::string_view bytes) {
  const std::size_t needed = bytes.size() + simdjson::SIMDJSON_PADDING;
  if (needed > capacity_ || (capacity_ > kKeptBytes && needed <= kKeptBytes)) {
    if (capacity_ > kKeptBytes) parser_ = ondemand::parser();
    capacity_ = std::max(needed, std::size_t{4096});
    buffer_ = std::make_unique_for_overwrite<char[]>(capacity_);
  }
  size_ = bytes.size();
  std::memcpy(buffer_.get(), bytes.data(), size_);
  std::memset(buffer_.get() + size_, 0, simdjson::SIMDJSON_PADDING);
}

// REQUIRES: `bytes` lies in the buffer.
bool MessageReader::parse(std::string_view bytes) {
  const auto before = static_cast<std::size_t>(bytes.data() - buffer_.get());
  const simdjson::padded_string_view padded(bytes.data(), bytes.size(), capacity_ - before);
  return parser_.iterate(padded).get(document_) == simdjson::SUCCESS &&
         document_.get_object().get(root_) == simdjson::SUCCESS;
}

// Finds the two parts of the loaded message.  Returns false when it is not exactly those.
bool MessageReader::split(std::string& prefix) {
  std::string_view payload;
  schema_ = {};
  for (auto result : root_) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return false;
    const std::string_view key = raw_key(field);
    ondemand::object part;
    if (key != "schema" && key != "payload") return false;
    if (field.value().get_object().get(part) != simdjson::SUCCESS) return false;
    std::string_view& text = key == "schema" ? schema_ : payload;
    if (!text.empty() || part.raw_json().get(text) != simdjson::SUCCESS) return false;
  }
  if (schema_.empty() || payload.empty() || payload.data() < schema_.data()) return false;
  const auto begin = static_cast<std::size_t>(payload.data() - buffer_.get());
  prefix.assign(buffer_.get(), begin);
  return parse({payload.data(), size_ - begin - 1});
}

Opened MessageReader::open(std::string_view message, std::string& prefix) {
  if (!prefix.empty() && message.starts_with(prefix) && message.ends_with('}')) {
    message.remove_prefix(prefix.size());
    message.remove_suffix(1);
    load(message);
    return parse({buffer_.get(), size_}) ? Opened::KnownSchema : Opened::Broken;
  }
  load(message);
  if (!parse({buffer_.get(), size_})) return Opened::Broken;
  if (!message.starts_with(kSchemaFirst)) return Opened::Payload;
  if (split(prefix)) return Opened::NewSchema;
  // Not exactly the two parts: a payload with a field that happens to be called schema.
  return parse({buffer_.get(), size_}) ? Opened::Payload : Opened::Broken;
}

}  // namespace lockstep
