// FakeEvents: what the program tells its operators, kept for tests.
#pragma once

#include <string>
#include <vector>

#include "pipeline/ports/events.h"
#include "tests/fakes/chaos.h"

namespace lockstep {

class FakeEvents final : public Events {
 public:
  explicit FakeEvents(Chaos& chaos) : chaos_(chaos) {}

 private:
  void write(int, std::string_view message, const Fields& fields) override {
    if (!chaos_.tracing()) return;
    std::string line = "event: " + std::string(message);
    for (const auto& [name, value] : fields) line += " " + std::string(name) + "=" + value;
    chaos_.tell(line);
  }

  Chaos& chaos_;
};

}  // namespace lockstep
