// Fuzzes the manifest: it is taken, or refused with a problem that has words.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "tests/fuzz/target.h"

namespace lockstep {
namespace {

// A file without a name.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : file_(::memfd_create("manifest", 0)) {
    CHECK(file_ >= 0);
    CHECK(::write(file_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

}  // namespace

void fuzz::manifest(std::string_view input) {
  const MemoryFile file(input);
  const Parsed parsed = load_manifest(file.path());
  for (const Problem& problem : parsed.problems) CHECK(!problem.text.empty());
  CHECK(parsed.manifest.has_value() != has_errors(parsed.problems));
  if (parsed.manifest) static_cast<void>(check_supported(*parsed.manifest));
}

}  // namespace lockstep
