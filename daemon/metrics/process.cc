#include "daemon/metrics/process.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace lockstep {
namespace {

// Numbers of /proc/self/stat behind the command's name, which may hold anything; see proc(5).
struct ProcessStat {
  double user_ticks = 0;
  double system_ticks = 0;
  double begun_ticks = 0;  // Since the machine was started.
  double virtual_bytes = 0;
  double resident_pages = 0;
};

std::optional<ProcessStat> read_stat() {
  constexpr std::size_t kUser = 11;  // Field 14 of proc(5), where field 3 comes first here.
  constexpr std::size_t kBegun = 19;
  constexpr std::size_t kResident = 21;
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == text.npos) return std::nullopt;
  std::istringstream rest(text.substr(name_end + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  if (fields.size() <= kResident) return std::nullopt;
  const auto number = [&](std::size_t field) {
    return std::strtod(fields[field].c_str(), nullptr);
  };
  return ProcessStat{number(kUser), number(kUser + 1), number(kBegun), number(kBegun + 1),
                     number(kResident)};
}

double clock_seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::optional<double> open_files() {
  std::error_code failed;
  const std::filesystem::directory_iterator files("/proc/self/fd", failed);
  if (failed) return std::nullopt;
  return static_cast<double>(std::distance(begin(files), end(files))) - 1;  // Not our own look.
}

std::optional<double> files_max() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

void add_process(MetricFamilies& families) {
  families.add("process_open_fds", open_files());
  families.add("process_max_fds", files_max());
  const std::optional<ProcessStat> stat = read_stat();
  if (!stat) return;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  families.add("process_cpu_seconds_total", (stat->user_ticks + stat->system_ticks) / ticks);
  // Asked once: later the clock may be another one, and the process has not begun anew.
  static const double kBegun =
      clock_seconds(CLOCK_REALTIME) - clock_seconds(CLOCK_BOOTTIME) + stat->begun_ticks / ticks;
  families.add("process_start_time_seconds", kBegun);
  families.add("process_virtual_memory_bytes", stat->virtual_bytes);
  families.add("process_resident_memory_bytes",
               stat->resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
}

}  // namespace lockstep
