#include "daemon/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

std::optional<double> number(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

std::string span_text(std::optional<double> seconds) {
  if (!seconds) return "unknown";
  if (*seconds < 120) return fmt::format("{:.1f} s", *seconds);
  if (*seconds < 7200) return fmt::format("{:.0f} min", *seconds / 60);
  if (*seconds < 172'800) return fmt::format("{:.1f} h", *seconds / 3600);
  return fmt::format("{:.0f} days", *seconds / 86'400);
}

std::string count_text(std::optional<double> count) {
  if (!count) return "?";
  if (*count < 100'000) return fmt::format("{:.0f}", *count);
  if (*count < 10'000'000) return fmt::format("{:.0f}k", *count / 1e3);
  return fmt::format("{:.1f}M", *count / 1e6);
}

std::string padded(std::string_view text, std::size_t width) {
  std::string shown = cut(text, width);
  shown.append(width - std::min(width, width_of(shown)), ' ');
  return shown;
}

std::string_view shape(std::string_view mood) {
  return mood == "well"      ? "●"
         : mood == "busy"    ? "▶"
         : mood == "held"    ? "="
         : mood == "trouble" ? "▲"
                             : "?";
}

// A point of the history.
struct Point {
  double at_ms = 0;
  std::optional<double> lag;
  std::optional<std::pair<double, double>> counts;  // Rows and events, where they are known.
};

std::vector<Point> points_of(const json::value& history) {
  std::vector<Point> points;
  if (!history.is_object()) return points;
  for (const json::value& one : history.at("points").as_array()) {
    const json::value& lag = one.at(1);
    Point point{one.at(0).to_number<double>(),
                lag.is_null() ? std::nullopt : std::optional(lag.to_number<double>()),
                std::nullopt};
    if (!one.at(2).is_null() && !one.at(3).is_null())
      point.counts = {one.at(2).to_number<double>(), one.at(3).to_number<double>()};
    points.push_back(std::move(point));
  }
  return points;
}

// Rows and events per second, of the last half minute, or of what there is of the present run.
std::optional<std::pair<double, double>> rates(const std::vector<Point>& points) {
  constexpr std::size_t kPoints = 15;
  if (points.empty() || !points.back().counts) return std::nullopt;
  const Point& to = points.back();
  const Point* from = &to;
  for (std::size_t back = 2; back <= std::min(points.size(), kPoints); ++back) {
    const Point& before = points[points.size() - back];
    if (!before.counts || before.counts->first > from->counts->first ||
        before.counts->second > from->counts->second)
      break;  // It counted anew from here on.
    from = &before;
  }
  const double seconds = (to.at_ms - from->at_ms) / 1000;
  if (seconds <= 0) return std::nullopt;
  return std::pair((to.counts->first - from->counts->first) / seconds,
                   (to.counts->second - from->counts->second) / seconds);
}

// The worst of each part of the hour; "?": not known.
std::string lag_line(const std::vector<Point>& points, std::size_t width) {
  constexpr std::array<std::string_view, 8> kBars{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (points.empty() || width < 20) return {};
  double most = 0;
  for (const Point& point : points) most = std::max(most, point.lag.value_or(0));
  const double top = std::max(most, 5.0);
  const std::string end =
      fmt::format(" {} long, max {}",
                  span_text((points.back().at_ms - points.front().at_ms) / 1000), span_text(most));
  const std::size_t cells = std::min(points.size(), width - std::min(width, width_of(end) + 4));
  std::string line = "lag ";
  for (std::size_t cell = 0; cell < cells; ++cell) {
    std::optional<double> worst = 0.0;
    for (std::size_t at = cell * points.size() / cells; at < (cell + 1) * points.size() / cells;
         ++at)
      worst =
          worst && points[at].lag ? std::optional(std::max(*worst, *points[at].lag)) : std::nullopt;
    line += worst ? kBars[static_cast<std::size_t>(std::lround(*worst / top * 7))] : "?";
  }
  return line + end;
}

std::string flow_text(const json::object& status, const std::vector<Point>& points) {
  const auto rate = rates(points);
  return fmt::format("lag {}  events {}/s  rows {}/s  queue {:.0f} KiB",
                     span_text(number(status, "lag_seconds")),
                     rate ? count_text(rate->second) : "?", rate ? count_text(rate->first) : "?",
                     number(status, "queue_bytes").value_or(0) / 1024);
}

std::string copy_text(const json::object& status, const json::value& history) {
  if (status.at("tables").as_array().empty()) return "copied: unknown";
  double done = 0;
  std::optional<double> total = 0.0;
  for (const json::value& table : status.at("tables").as_array()) {
    const auto expected = number(table.as_object(), "rows_expected");
    const auto rows = number(table.as_object(), "rows_done");
    if (!rows) return "copied: unknown";
    done += *rows;
    total = total && expected ? std::optional(*total + *expected) : std::nullopt;
  }
  std::string text = !total || *total <= 0
                         ? "copied " + count_text(done) + " rows of an unknown number"
                         : fmt::format("copied {} of ~{} rows, {:.1f} %", count_text(done),
                                       count_text(total), std::min(100.0, 100 * done / *total));
  const json::value* const eta =
      history.is_object() ? history.as_object().if_contains("eta") : nullptr;
  if (eta != nullptr && eta->is_object())
    text += fmt::format(", ETA {} to {}", span_text(number(eta->as_object(), "p50_seconds")),
                        span_text(number(eta->as_object(), "p90_seconds")));
  return text;
}

// What the source keeps for us, and what is slowed: headroom, not only lag.
std::string pressure_text(const json::object& status) {
  const json::value* const kept = status.if_contains("kept_wal");
  std::string text = "source's log kept for us: unknown";
  if (kept != nullptr && kept->is_object()) {
    const json::object& wal = kept->as_object();
    const auto limit = number(wal, "limit_mb");
    text = fmt::format("source's log kept for us: {:.1f} MiB", number(wal, "mb").value_or(0));
    if (limit) text += fmt::format(" of {:.0f}", *limit);
    if (number(wal, "full_in_seconds"))
      text += ", full in " + span_text(number(wal, "full_in_seconds"));
  }
  const json::value* const slow = status.if_contains("throttled");
  if (slow != nullptr && slow->is_object())
    for (const json::value& reason : slow->at("reasons").as_array())
      text += " | throttled: " + std::string(reason.as_string());
  return text;
}

int badness(const json::object& table) {
  if (text_of(table, "state") == "stopped" || number(table, "findings").value_or(0) > 0 ||
      number(table, "quarantined").value_or(0) > 0)
    return 0;
  const std::string state = text_of(table, "state");
  return state == "paused" ? 1 : state == "following" ? 3 : 2;
}

std::string table_line(const json::object& table, std::size_t width) {
  const double total = number(table, "rows_expected").value_or(0);
  const auto done = number(table, "rows_done");
  const std::string copied = done && total > 0
                                 ? fmt::format("{:.0f} %", std::floor(100 * *done / total))
                             : text_of(table, "state") == "following" ? "100 %"
                                                                      : "?";
  const auto age = number(table, "verified_age_seconds");
  const std::string end =
      fmt::format(" {:<9} {:>6} {:>6} {:>6} {:>7} {:>9}", text_of(table, "state"), copied,
                  count_text(number(table, "debts")), count_text(number(table, "quarantined")),
                  count_text(number(table, "findings")), age ? span_text(age) : "not whole");
  return padded(text_of(table, "table"), width - std::min(width, end.size())) + end;
}

// "14:03:00Z a table has stopped table=public.orders", the newest first.
void add_events(const json::value& events, ScreenSize size, std::vector<std::string>& lines) {
  if (!events.is_object() || lines.size() + 2 > size.rows) return;
  const json::array& all = events.at("events").as_array();
  if (!all.empty()) lines.push_back("events, the newest first");
  for (std::size_t at = all.size(); at > 0 && lines.size() < size.rows; --at) {
    const json::object& event = all[at - 1].as_object();
    const std::string when = text_of(event, "at");
    const std::string level = text_of(event, "level");
    const bool routine = level == "info";
    std::string line = when.substr(std::min(when.size(), when.find('T') + 1)) + " " +
                       (routine ? "" : level + ": ") + text_of(event, "message");
    for (const auto& [name, value] : event.at("fields").as_object())
      line += fmt::format(" {}={}", std::string_view(name), std::string_view(value.as_string()));
    // What somebody has to do something about is shown whole.
    std::ranges::move(wrapped(line, size.columns, routine ? 1 : 4), std::back_inserter(lines));
  }
}

}  // namespace

std::vector<std::string> top_screen(const json::object& status, const json::value& history,
                                    const json::value& events, ScreenSize size) {
  const std::vector<Point> points = points_of(history);
  const json::object& found = status.at("verdict").as_object();
  const std::string mood = text_of(found, "mood");
  std::vector<std::string> lines{
      fmt::format("lockstep {}  {}", text_of(status, "migration"), text_of(status, "phase"))};
  std::ranges::copy(
      wrapped(fmt::format("{} {}: {}", shape(mood), mood, text_of(found, "text")), size.columns, 3),
      std::back_inserter(lines));
  for (const std::string& line : {flow_text(status, points), lag_line(points, size.columns),
                                  copy_text(status, history), pressure_text(status)})
    if (!line.empty()) lines.push_back(line);
  constexpr std::string_view kHead = " state     copied   owed  aside unequal  compared";
  lines.push_back(padded("table", size.columns - std::min(size.columns, kHead.size())) +
                  std::string(kHead));
  std::vector<const json::object*> tables;
  for (const json::value& table : status.at("tables").as_array())
    tables.push_back(&table.as_object());
  std::ranges::sort(tables, {}, [](const json::object* table) {
    return std::pair(badness(*table), text_of(*table, "table"));
  });
  for (std::size_t at = 0; at < tables.size(); ++at) {
    if (lines.size() + 1 >= size.rows && at + 1 < tables.size()) {
      lines.push_back(fmt::format("and {} more: lockstep status", tables.size() - at));
      break;
    }
    lines.push_back(table_line(*tables[at], size.columns));
  }
  add_events(events, size, lines);
  if (lines.size() > size.rows) lines.resize(size.rows);
  for (std::string& line : lines) line = cut(line, size.columns);
  return lines;
}

std::string top_line(const json::object& status, const json::value& history) {
  const json::object& found = status.at("verdict").as_object();
  return fmt::format("{} {}: {} | {} | {}", text_of(status, "phase"), text_of(found, "mood"),
                     text_of(found, "text"), flow_text(status, points_of(history)),
                     copy_text(status, history));
}

}  // namespace lockstep
