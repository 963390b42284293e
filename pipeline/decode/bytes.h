// Values that are bytes in a textual dress: base64, UUIDs, addresses, bit strings, LSNs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/decode/carry.h"

namespace lockstep {

// Appends what standard base64 with padding encodes.  Returns false, with `out` unchanged, when
// `text` is not that.
bool append_base64(std::string& out, std::string_view text);
// The same, when the bytes are to be text: valid UTF-8 without NUL.
bool append_base64_text(std::string& out, std::string_view text);
std::string to_base64(std::string_view bytes);

// Whether `text` could be the output of binary.handling.mode=hex: base64 that looks like
// hexadecimal digits throughout is not to be trusted.
bool looks_like_hex(std::string_view text);

// Each appends the send() form of one value.
Carry append_uuid(std::string& out, std::string_view text);
Carry append_inet(std::string& out, std::string_view text, bool cidr);
Carry append_macaddr(std::string& out, std::string_view text, std::size_t bytes);
Carry append_pg_lsn(std::string& out, std::string_view text);
Carry append_xid8(std::string& out, std::string_view text);
// A bit(length) from Debezium's little-endian bytes, whose zero bytes at the high end are left out.
Carry append_bits(std::string& out, std::string_view little_endian, std::int32_t length);

}  // namespace lockstep
