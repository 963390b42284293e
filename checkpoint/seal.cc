#include "checkpoint/seal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "checkpoint/codec.h"
#include "checkpoint/state_lock.h"

namespace lockstep {
namespace {

constexpr std::string_view kHeader = "lockstep seal 1 ";

std::string seal_path(const std::string& directory) { return directory + "/seal"; }

// Takes 16 hexadecimal digits and the character behind them off the front of `text`.
bool take_word(std::string_view& text, std::uint64_t& word) {
  if (text.size() < 17) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 16, word, 16);
  text.remove_prefix(17);
  return error == std::errc() && end == text.data() - 1;
}

// Writes `text` to a new file and on to the disk.
Status write_file(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return fail(state_error("making " + path, errno));
  const ssize_t written = ::write(file, text.data(), text.size());
  int error_number = written < 0 ? errno : ENOSPC;
  bool good = written == static_cast<ssize_t>(text.size());
  if (good && ::fsync(file) != 0) {
    good = false;
    error_number = errno;
  }
  ::close(file);
  if (!good) return fail(state_error("writing " + path, error_number));
  return {};
}

}  // namespace

bool is_rare(std::string_view key) {
  if (key.empty()) return false;
  const auto kind = static_cast<RecordKind>(key.front());
  return kind != RecordKind::Intent && kind != RecordKind::Evidence && !is_forgettable(key);
}

void Fingerprint::toggle(std::string_view key, std::string_view value) {
  const Hash128 record = hash128(value, hash128(key, 0).low);
  hash_.low ^= record.low;
  hash_.high ^= record.high;
}

Result<Fingerprint> fingerprint_of(const Database& database) {
  Fingerprint fingerprint;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    if (is_rare(key)) fingerprint.toggle(key, value);
    return {};
  };
  LOCKSTEP_TRY(database.scan("", add));
  return fingerprint;
}

Status write_seal(const std::string& directory, const Seal& seal) {
  const std::string path = seal_path(directory);
  const std::string text =
      fmt::format("{}{:016x} {:016x} {:016x} {:016x}\n", kHeader, seal.before.low, seal.before.high,
                  seal.after.low, seal.after.high);
  LOCKSTEP_TRY(write_file(path + ".new", text));
  if (std::rename((path + ".new").c_str(), path.c_str()) != 0)
    return fail(state_error("renaming " + path + ".new", errno));
  return sync_directory(directory);
}

Result<Seal> read_seal(const std::string& directory) {
  const std::string path = seal_path(directory);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno != ENOENT) return fail(state_error("opening " + path, errno));
  if (file < 0) return fail(Reaction::Halt, "the file 'seal' is missing");
  std::array<char, 128> buffer{};
  const ssize_t size = ::read(file, buffer.data(), buffer.size());
  const int error_number = errno;
  ::close(file);
  if (size < 0) return fail(state_error("reading " + path, error_number));
  std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  Seal seal;
  const bool ours = text.starts_with(kHeader);
  text.remove_prefix(ours ? kHeader.size() : text.size());
  if (!take_word(text, seal.before.low) || !take_word(text, seal.before.high) ||
      !take_word(text, seal.after.low) || !take_word(text, seal.after.high) || !text.empty())
    return fail(Reaction::Halt, "the file 'seal' is damaged");
  return seal;
}

}  // namespace lockstep
