#include "daemon/init/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

namespace lockstep {
namespace {

std::unexpected<Error> io_failed(const char* doing, const std::filesystem::path& path, int error) {
  return fail(
      Reaction::Halt,
      fmt::format("cannot {} {}: {}", doing, path.string(), std::generic_category().message(error)),
      error == EACCES || error == EPERM || error == EROFS ? ExitCode::Permission : ExitCode::Io);
}

Status write_all(int file, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_failed("write", path, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file) != 0) return io_failed("write", path, errno);
  return {};
}

// Makes a file that is not there yet.
Status write_new(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) return io_failed("create", path, errno);
  Status written = write_all(file, text, path);
  if (::close(file) != 0 && written) written = io_failed("write", path, errno);
  if (!written) ::unlink(path.c_str());
  return written;
}

}  // namespace

Result<Secret> make_password() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, 24> bytes{};
  if (::getentropy(bytes.data(), bytes.size()) != 0)
    return fail(Reaction::Halt, "the system has no random numbers for a password", ExitCode::Io);
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  return Secret(std::move(text));
}

Status write_secret_file(const std::filesystem::path& path, const Secret& secret) {
  const std::filesystem::path folder = path.parent_path();
  std::error_code failed;
  std::filesystem::create_directories(folder.parent_path(), failed);
  if (failed && !folder.parent_path().empty())
    return io_failed("make the folder", folder.parent_path(), failed.value());
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    return io_failed("make the folder", folder, errno);
  return write_new(path, secret.reveal() + "\n", S_IRUSR | S_IWUSR);
}

Status write_manifest_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path beside = path.string() + ".new";
  if (::unlink(beside.c_str()) != 0 && errno != ENOENT)
    return io_failed("replace", beside, errno);  // Of an init that died.
  LOCKSTEP_TRY(write_new(beside, text, 0644));
  if (::rename(beside.c_str(), path.c_str()) != 0) return io_failed("write", path, errno);
  return {};
}

Result<std::string> read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return io_failed("read", path, EACCES);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return io_failed("read", path, EIO);
  return text;
}

}  // namespace lockstep
