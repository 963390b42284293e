// MessageReader: a Kafka record's key, value or header as a JSON object, with or without a schema
// part.
//
// With schemas.enable every message is {"schema":{...},"payload":{...}}.  The schema part is the
// same from message to message: what stands in front of the payload is kept by the caller, per
// stream, and a message that begins with the same bytes is not parsed there again.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "pipeline/decode/debezium/json.h"

namespace lockstep {

enum class Opened : std::uint8_t {
  Payload,      // root() is the payload.
  NewSchema,    // The same; schema() is a schema part not seen before.
  KnownSchema,  // The same; the schema part is the last one's, which was not read again.
  Broken,       // Not a JSON object, or not UTF-8.
};

// One thread.  Everything it hands out lives until the next open().
class MessageReader {
 public:
  MessageReader() = default;
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  // Copies `message` once and begins to read it.  `prefix` is what it left there the last time.
  Opened open(std::string_view message, std::string& prefix);

  ondemand::object& root() { return root_; }
  // Whether nothing follows the root.  REQUIRES: every field of it was taken.
  bool at_end() { return document_.current_location().error() == simdjson::OUT_OF_BOUNDS; }
  // The schema part as JSON text.  REQUIRES: open() answered NewSchema.
  std::string_view schema() const { return schema_; }

 private:
  void load(std::string_view bytes);
  bool parse(std::string_view bytes);
  bool split(std::string& prefix);

  ondemand::parser parser_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  ondemand::document document_;
  ondemand::object root_;
  std::string_view schema_;
};

}  // namespace lockstep
