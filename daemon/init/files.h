// The files that `lockstep init` writes: secrets that nobody else may read, and the manifest.
#pragma once

#include <filesystem>
#include <string>

#include "config/secret.h"
#include "pipeline/base/result.h"

namespace lockstep {

// 192 random bits as text.  Halt where the system has none.
Result<Secret> make_password();

// Makes the file, mode 0600, its folder, mode 0700, and what lies above it.  REQUIRES: the file
// does not exist.
Status write_secret_file(const std::filesystem::path& path, const Secret& secret);

// Puts a whole file in place of whatever is there.
Status write_manifest_file(const std::filesystem::path& path, const std::string& text);

// A whole file.
Result<std::string> read_text_file(const std::filesystem::path& path);

}  // namespace lockstep
