#include "daemon/event_log.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "daemon/status_json.h"
#include "daemon/steering_api.h"
#include "pipeline/base/number.h"
#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::size_t kKeptInMemory = 1000;
constexpr std::uint64_t kLimitOfOneAnswer = 10'000;

json::object event_object(const ToldEvent& event) {
  json::object fields;
  for (const auto& [name, value] : event.fields) fields[name] = valid_utf8(value);
  return {{"id", event.id},
          {"at", time_text(event.at_us)},
          {"level", event.level},
          {"message", event.message},
          {"fields", std::move(fields)}};
}

// A number of the query or of a header; nothing: it is none.
std::optional<std::uint64_t> number_or(const std::string& text, std::uint64_t otherwise) {
  if (text.empty()) return otherwise;
  std::uint64_t number = 0;
  return parse_number(text, number) ? std::optional(number) : std::nullopt;
}

}  // namespace

std::string event_json(const ToldEvent& event) { return json::serialize(event_object(event)); }

std::string events_json(const std::vector<ToldEvent>& events) {
  json::array list;
  for (const ToldEvent& event : events) list.push_back(event_object(event));
  return json::serialize(json::object{{"events", std::move(list)}});
}

// One that cannot be stored is known to those who listen now; the same disk keeps lanes from
// committing, which they say.
void EventLog::add(const Events::Told& told) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  ToldEvent event{0,
                  std::chrono::duration_cast<std::chrono::microseconds>(now).count(),
                  std::string(told.level),
                  std::string(told.message),
                  {}};
  for (const auto& [name, value] : told.fields) event.fields.emplace_back(name, value);
  {
    const MutexLock lock(mutex_);  // In the order of their numbers.
    const auto id = store_.append_told(event);
    event.id = id ? *id : newest_.empty() ? 1 : newest_.back().id + 1;
    newest_.push_back(std::move(event));
    if (newest_.size() > kKeptInMemory) newest_.pop_front();
  }
  if (on_event_) on_event_();
}

Result<std::vector<ToldEvent>> EventLog::after(std::uint64_t id, std::size_t limit) const {
  const MutexLock lock(mutex_);
  const auto first =
      std::ranges::find_if(newest_, [&](const ToldEvent& event) { return event.id > id; });
  const auto found = static_cast<std::size_t>(newest_.end() - first);
  const bool all = !newest_.empty() && (newest_.front().id <= id + 1 || found >= limit);
  if (!all) return store_.read().load_told(id, limit);
  return std::vector<ToldEvent>(newest_.end() - static_cast<std::ptrdiff_t>(std::min(found, limit)),
                                newest_.end());
}

ControlResponse EventLog::answer(const ControlRequest& request) const {
  const auto from = number_or(request.last_event_id, 0);
  const auto behind = number_or(request.query_value("after"), from.value_or(0));
  const auto limit = number_or(request.query_value("limit"), 100);
  if (!from || !behind || !limit || *limit > kLimitOfOneAnswer)
    return problem(400, "after, limit (10000 at most) and Last-Event-ID are numbers");
  if (request.accept.find("text/event-stream") == std::string::npos) {
    const auto events = after(*behind, *limit);
    return events ? ControlResponse{200, events_json(*events)} : problem(events.error());
  }
  ControlResponse stream{200, ""};
  stream.more = [this, last = *behind]() mutable {
    std::string text;
    const auto events = after(last, kLimitOfOneAnswer);
    if (!events) return text;  // The disk; lanes say so.
    for (const ToldEvent& event : *events) {
      text += "id: " + std::to_string(event.id) + "\ndata: " + event_json(event) + "\n\n";
      last = event.id;
    }
    return text;
  };
  return stream;
}

}  // namespace lockstep
