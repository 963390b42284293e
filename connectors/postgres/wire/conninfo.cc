#include "connectors/postgres/wire/conninfo.h"

#include <memory>

namespace lockstep {
namespace {

struct OptionsDeleter {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
struct TextDeleter {
  void operator()(char* text) const noexcept { PQfreemem(text); }
};

std::string text_of(const char* text) { return text == nullptr ? std::string() : text; }

bool is_plain(const std::string& value) {
  return !value.empty() && value.find_first_of(" \t\n\r\f\v'\\=") == std::string::npos;
}

}  // namespace

Result<ConnectKeywords> parse_conninfo(const std::string& text) {
  char* said = nullptr;
  const std::unique_ptr<PQconninfoOption, OptionsDeleter> options(
      PQconninfoParse(text.c_str(), &said));
  const std::unique_ptr<char, TextDeleter> message(said);  // It quotes pieces of the text.
  if (options == nullptr)
    return fail(
        Reaction::Halt,
        "this is neither postgres://USER@HOST:PORT/DATABASE nor key=value .. as libpq takes "
        "them (in a URI, characters such as @ : / and % of a password are written %40 %3A "
        "%2F %25)",
        ExitCode::Usage);
  ConnectKeywords keywords;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option)
    if (option->val != nullptr) keywords.emplace_back(option->keyword, option->val);
  return keywords;
}

std::string conninfo_text(const ConnectKeywords& keywords) {
  std::string text;
  for (const auto& [name, value] : keywords) {
    text += (text.empty() ? "" : " ") + name + "=";
    if (is_plain(value)) {
      text += value;
      continue;
    }
    text += '\'';
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += '\\';
      text += c;
    }
    text += '\'';
  }
  return text;
}

Reached reached(PostgresConnection& connection) {
  PGconn* const raw = connection.raw();
  return {text_of(PQhost(raw)), text_of(PQport(raw)), text_of(PQdb(raw)), text_of(PQuser(raw)),
          PQconnectionUsedPassword(raw) == 1 ? text_of(PQpass(raw)) : std::string()};
}

Result<std::string> password_verifier(PostgresConnection& connection, const std::string& role,
                                      const std::string& password) {
  const std::unique_ptr<char, TextDeleter> verifier(
      PQencryptPasswordConn(connection.raw(), password.c_str(), role.c_str(), "scram-sha-256"));
  if (verifier == nullptr)
    return fail(Reaction::Halt, "libpq cannot make a SCRAM verifier for role " + role,
                ExitCode::Failed);
  return std::string(verifier.get());
}

}  // namespace lockstep
