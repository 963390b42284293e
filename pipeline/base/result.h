// Result: how every fallible call of lockstep answers, and what its caller must do about an error.
//
// An Error is named after the reaction it asks for (Reaction), since that is all a caller decides.
// Connectors classify once (SQLSTATE, rd_kafka_resp_err_t); everyone above switches on the reaction
// and adds, with Error::during(), what it was doing.  A layer either handles an error or returns
// it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep {

enum class Reaction : std::uint8_t {
  Retry,      // Transient: the same call may succeed later (lost connection, deadlock, disk full).
  Reject,     // This row can never succeed: set it aside (a debt, then quarantine) and carry on.
  StopTable,  // This table cannot go on (column drift, unreadable key); the others can.
  Halt,       // Going on could harm the target or lose data: stop everything, keep the checkpoint.
  Cancel,     // We were asked to stop: unwind quietly.
};

// Exit codes of the program; the contract of the manifest document.
enum class ExitCode : std::uint8_t {
  Ok = 0,
  Failed = 1,
  Different = 2,
  Incomplete = 3,
  Usage = 64,
  BadData = 65,
  Unreachable = 69,
  Invariant = 70,
  Io = 74,
  Temporary = 75,
  Permission = 77,
  Config = 78,
};

struct [[nodiscard]] Error {
  Reaction reaction = Reaction::Halt;
  std::string message;                // One sentence: what happened, to what, what to do.
  ExitCode exit = ExitCode::BadData;  // Used only if this error ends the program.
  std::string code;                   // SQLSTATE or librdkafka error name, "" when neither.

  // Returns this error with `doing` in front of its message: "while reading orders: ...".
  Error during(std::string_view doing) && {
    message.insert(0, std::string(doing) + ": ");
    return std::move(*this);
  }
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Reaction reaction, std::string message) {
  return std::unexpected(Error{reaction, std::move(message), ExitCode::BadData, {}});
}
inline std::unexpected<Error> fail(Reaction reaction, std::string message, ExitCode exit) {
  return std::unexpected(Error{reaction, std::move(message), exit, {}});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr,
               "lockstep: invariant broken: %s (%s:%d); restart resumes from the checkpoint\n",
               condition, file, line);
  std::abort();
}

}  // namespace lockstep

// A programmer's mistake, never something the outside world controls: prints and aborts, in every
// build.  Restart from the checkpoint is the recovery.
#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::lockstep::check_failed(#condition, __FILE__, __LINE__))

// Returns the error of a Status or Result to the caller.
#define LOCKSTEP_TRY(expression)                                           \
  do {                                                                     \
    if (auto lockstep_status = (expression); !lockstep_status.has_value()) \
      return ::std::unexpected(::std::move(lockstep_status).error());      \
  } while (false)

#define LOCKSTEP_CONCAT_INNER(a, b) a##b
#define LOCKSTEP_CONCAT(a, b) LOCKSTEP_CONCAT_INNER(a, b)

// LOCKSTEP_ASSIGN(const Rows rows, read()): declares `rows`, or returns the error to the caller.
#define LOCKSTEP_ASSIGN(declaration, expression) \
  LOCKSTEP_ASSIGN_INNER(LOCKSTEP_CONCAT(lockstep_result_, __LINE__), declaration, expression)
#define LOCKSTEP_ASSIGN_INNER(result, declaration, expression)                    \
  auto result = (expression);                                                     \
  if (!result.has_value()) return ::std::unexpected(::std::move(result).error()); \
  declaration = ::std::move(result).value()
