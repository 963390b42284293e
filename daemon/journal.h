// JournalEvents: events as entries of systemd's journal, with fields to search by.
//
//   journalctl MIGRATION=shop TABLE=public.orders
//
// Each field of an event becomes one of the entry, in capitals; MESSAGE_ID is one for each kind of
// event, the hash of its fixed sentence.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "pipeline/ports/events.h"

namespace lockstep {

// Safe for concurrent use.
class JournalEvents : public Events {
 public:
  // `manifest`: its path, for next steps.
  JournalEvents(std::string migration, std::string manifest);

  // Whether our standard error is a stream of the journal, as $JOURNAL_STREAM says
  // (systemd.exec(5)).
  static bool listens();
  // The 32 hex digits of an event's kind.
  static std::string message_id(std::string_view message);

 private:
  void write(int level, std::string_view message, const Fields& fields) override;

  const std::string migration_;
};

// Events for who reads them: the journal, a terminal (logfmt), else JSON lines.
std::unique_ptr<Events> open_events(const std::string& migration, const std::string& manifest);

}  // namespace lockstep
