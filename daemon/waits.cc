#include "daemon/waits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iostream>

namespace lockstep {
namespace {

constexpr std::size_t kWaitsShown = 3;

void add_pause(std::vector<std::string>& waits, const Pauses& pauses, std::string_view name,
               const std::string& manifest) {
  if (const auto found = pauses.find(name); found != pauses.end())
    waits.push_back(held_text(found->first, found->second, manifest));
}

// Why rows of the table are not compared yet, or their comparison does not end; "": no reason.
std::string table_wait(const RunTableStatus& table, const Pauses& pauses,
                       const std::string& manifest) {
  const TableLife& life = table.counts.life;
  if (life.is_stopped() || !table.stopped.empty()) return {};  // It is left out, and says so.
  const std::string next = "; next: lockstep status " + manifest + " says how far that is";
  if (life.stage == Stage::Healing)
    return fmt::format("{} is being healed, and its comparison ends with that{}", table.table,
                       next);
  if (life.is_comparable()) return {};
  const auto backfill = pauses.find(part_text(Scope::Backfill));
  if (backfill != pauses.end())
    return fmt::format("{} is not copied yet, and {}", table.table,
                       held_text(backfill->first, backfill->second, manifest));
  return fmt::format("{} is not copied yet ({} rows so far){}", table.table, table.counts.rows_done,
                     next);
}

}  // namespace

std::string held_text(std::string_view name, const Pause& pause, const std::string& manifest) {
  std::string option;
  if (const auto table = table_of_held(name))
    option = fmt::format(" --table '{}'", *table);
  else if (name != kAbort)
    option = fmt::format(" --scope {}", name);
  return fmt::format("{}; next: lockstep resume {}{}", pause_text(name, pause), manifest, option);
}

std::vector<std::string> repair_waits(const Pauses& pauses, const std::string& manifest) {
  std::vector<std::string> waits;
  for (const std::string_view name : {kAbort, part_text(Scope::Apply), part_text(Scope::Reconcile)})
    add_pause(waits, pauses, name, manifest);
  return waits;
}

std::vector<std::string> comparison_waits(const Pauses& pauses, const RunStatus& status,
                                          const std::vector<std::string>& tables,
                                          const std::string& manifest) {
  std::vector<std::string> waits = repair_waits(pauses, manifest);
  for (const RunTableStatus& table : status.tables) {
    if (std::ranges::find(tables, table.table) == tables.end()) continue;
    if (std::string wait = table_wait(table, pauses, manifest); !wait.empty())
      waits.push_back(std::move(wait));
  }
  for (const std::string& line : status.trouble)
    waits.push_back(fmt::format("{}; next: lockstep status {}", line, manifest));
  return waits;
}

std::string joined_waits(const std::vector<std::string>& waits) {
  std::string text;
  for (std::size_t i = 0; i < std::min(waits.size(), kWaitsShown); ++i)
    text += (i == 0 ? "" : "; ") + waits[i];
  if (waits.size() > kWaitsShown) text += fmt::format("; and {} more", waits.size() - kWaitsShown);
  return text;
}

std::string abort_left(const Pauses& pauses, const std::string& manifest) {
  const auto abort = pauses.find(kAbort);
  return abort == pauses.end() ? ""
                               : held_text(abort->first, abort->second, manifest) + " ends that";
}

Status refuse_while_held(const Pauses& pauses, const std::string& manifest) {
  for (const std::string_view name : {kAbort, part_text(Scope::Apply)})
    if (const auto found = pauses.find(name); found != pauses.end())
      return fail(Reaction::Halt, held_text(found->first, found->second, manifest) + " first",
                  ExitCode::Temporary);
  return {};
}

void PrepareWait::waits(const std::string& reason, Time now) {
  if (!shown(now)) since_ = now;
  reason_ = reason;
  tries_.reset();
}

void PrepareWait::tries(Time now) { tries_ = now; }

std::optional<PrepareWait::Shown> PrepareWait::shown(Time now) const {
  constexpr std::chrono::seconds kTryMax{30};
  if (reason_.empty() || (tries_ && now - *tries_ > kTryMax)) return std::nullopt;
  return Shown{reason_, std::chrono::duration<double>(now - since_).count()};
}

std::optional<std::string> WaitNotice::due(const std::string& what, Time now) {
  constexpr std::chrono::seconds kSoonOver{1};
  constexpr std::chrono::minutes kAgain{1};
  std::string words = what;
  std::erase_if(words, [](char c) { return c >= '0' && c <= '9'; });
  if (words != last_) {
    last_ = std::move(words);
    since_ = now;
    told_.reset();
  }
  if (what.empty() || now - since_ < kSoonOver) return std::nullopt;
  if (told_ && now - *told_ < kAgain) return std::nullopt;
  told_ = now;
  return "waits: " + what;
}

void WaitNotice::tell(const std::string& what) {
  if (const auto text = due(what, std::chrono::steady_clock::now())) std::cerr << *text << '\n';
}

}  // namespace lockstep
