#include "pipeline/decode/bytes.h"

#include <arpa/inet.h>
#include <simdjson.h>

#include <algorithm>
#include <array>

#include "pipeline/base/number.h"
#include "pipeline/model/row.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoSextet = 0xFF;

constexpr std::array<std::uint8_t, 256> sextets() {
  std::array<std::uint8_t, 256> table{};
  table.fill(kNoSextet);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}
constexpr std::array<std::uint8_t, 256> kSextets = sextets();

std::uint8_t sextet(char c) { return kSextets[static_cast<std::uint8_t>(c)]; }

constexpr std::array<std::int8_t, 256> hex_digits() {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < 10; ++i) table[std::size_t{'0'} + i] = static_cast<std::int8_t>(i);
  for (std::size_t i = 10; i < 16; ++i) {
    table[std::size_t{'a'} + i - 10] = static_cast<std::int8_t>(i);
    table[std::size_t{'A'} + i - 10] = static_cast<std::int8_t>(i);
  }
  return table;
}
constexpr std::array<std::int8_t, 256> kHexDigits = hex_digits();

int hex_digit(char c) { return kHexDigits[static_cast<std::uint8_t>(c)]; }

// Appends the byte that two hexadecimal digits write.
bool append_hex_byte(std::string& out, std::string_view digits) {
  const int high = hex_digit(digits[0]);
  const int low = hex_digit(digits[1]);
  if (high < 0 || low < 0) return false;
  out.push_back(static_cast<char>(high * 16 + low));
  return true;
}

}  // namespace

bool append_base64(std::string& out, std::string_view text) {
  if (text.size() % 4 != 0) return false;
  if (text.empty()) return true;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::size_t begin = out.size();
  out.resize(begin + text.size() / 4 * 3);
  char* to = out.data() + begin;
  std::uint32_t wrong = 0;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::array<std::uint32_t, 4> parts{};
    const std::size_t used = i + 4 == text.size() ? 4 - padding : 4;
    for (std::size_t k = 0; k < used; ++k) parts[k] = sextet(text[i + k]);
    wrong |= (parts[0] | parts[1] | parts[2] | parts[3]) & 0xC0;
    const std::uint32_t bits = parts[0] << 18 | parts[1] << 12 | parts[2] << 6 | parts[3];
    *to++ = static_cast<char>(bits >> 16);
    *to++ = static_cast<char>(bits >> 8);
    *to++ = static_cast<char>(bits);
  }
  // The bits that padding cuts off must be zero, or two texts would stand for the same bytes.
  for (std::size_t i = 0; i < padding; ++i)
    wrong |= static_cast<std::uint8_t>(out.end()[-1 - static_cast<std::ptrdiff_t>(i)]);
  out.resize(wrong != 0 ? begin : out.size() - padding);
  return wrong == 0;
}

bool append_base64_text(std::string& out, std::string_view text) {
  const std::size_t begin = out.size();
  if (!append_base64(out, text)) return false;
  const std::string_view bytes = std::string_view(out).substr(begin);
  return simdjson::validate_utf8(bytes.data(), bytes.size()) &&
         bytes.find('\0') == std::string_view::npos;
}

std::string to_base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < left ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out.push_back(k <= left ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=');
    }
  }
  return out;
}

bool looks_like_hex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

Carry append_uuid(std::string& out, std::string_view text) {
  if (text.size() != 36) return Carry::Unreadable;
  for (std::size_t i = 0; i < text.size();) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return Carry::Unreadable;
      continue;
    }
    if (!append_hex_byte(out, text.substr(i, 2))) return Carry::Unreadable;
    i += 2;
  }
  return Carry::Value;
}

Carry append_inet(std::string& out, std::string_view text, bool cidr) {
  constexpr char kFamily4 = 2;
  constexpr char kFamily6 = 3;
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  // inet_pton wants a terminated string.
  std::array<char, INET6_ADDRSTRLEN + 1> terminated{};
  if (host.size() >= terminated.size()) return Carry::Unreadable;
  std::ranges::copy(host, terminated.begin());
  const bool is6 = host.find(':') != std::string_view::npos;
  const std::size_t size = is6 ? 16 : 4;
  std::array<char, 16> address{};
  if (::inet_pton(is6 ? AF_INET6 : AF_INET, terminated.data(), address.data()) != 1) {
    return Carry::Unreadable;
  }
  std::uint32_t bits = static_cast<std::uint32_t>(size * 8);
  if (slash != std::string_view::npos) {
    std::uint32_t given = 0;
    if (!parse_number(text.substr(slash + 1), given) || given > bits) return Carry::Unreadable;
    bits = given;
  }
  out.push_back(is6 ? kFamily6 : kFamily4);
  out.push_back(static_cast<char>(bits));
  out.push_back(cidr ? '\1' : '\0');
  out.push_back(static_cast<char>(size));
  out.append(address.data(), size);
  return Carry::Value;
}

Carry append_macaddr(std::string& out, std::string_view text, std::size_t bytes) {
  if (text.size() != bytes * 3 - 1) return Carry::Unreadable;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    if (!append_hex_byte(out, text.substr(i, 2))) return Carry::Unreadable;
    if (i + 2 < text.size() && text[i + 2] != ':') return Carry::Unreadable;
  }
  return Carry::Value;
}

Carry append_pg_lsn(std::string& out, std::string_view text) {
  const Result<Lsn> lsn = parse_lsn(text);
  if (!lsn.has_value()) return Carry::Unreadable;
  append_be64(out, *lsn);
  return Carry::Value;
}

Carry append_xid8(std::string& out, std::string_view text) {
  std::uint64_t xid = 0;
  if (!parse_number(text, xid)) return Carry::Unreadable;
  append_be64(out, xid);
  return Carry::Value;
}

Carry append_bits(std::string& out, std::string_view little_endian, std::int32_t length) {
  if (length <= 0) return Carry::Doubtful;
  const auto bits = static_cast<std::size_t>(length);
  const std::size_t bytes = (bits + 7) / 8;
  append_be32(out, static_cast<std::uint32_t>(bits));
  const std::size_t begin = out.size();
  out.resize(begin + bytes);
  for (std::size_t i = 0; i < little_endian.size() * 8; ++i) {
    if ((static_cast<std::uint8_t>(little_endian[i / 8]) >> (i % 8) & 1) == 0) continue;
    if (i >= bits) return Carry::Unreadable;
    // Bit i counts from the right end; PostgreSQL fills bytes from the left.
    const std::size_t left = bits - 1 - i;
    char& byte = out[begin + left / 8];
    byte = static_cast<char>(static_cast<std::uint8_t>(byte) | (0x80U >> (left % 8)));
  }
  return Carry::Value;
}

}  // namespace lockstep
