#include "config/manifest_connect.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

namespace lockstep {
namespace {

// libpq 15.
const std::vector<std::string>& libpq_keywords() {
  static const std::vector<std::string> keywords = {"host",
                                                    "hostaddr",
                                                    "port",
                                                    "dbname",
                                                    "user",
                                                    "password",
                                                    "passfile",
                                                    "require_auth",
                                                    "channel_binding",
                                                    "connect_timeout",
                                                    "options",
                                                    "application_name",
                                                    "fallback_application_name",
                                                    "keepalives",
                                                    "keepalives_idle",
                                                    "keepalives_interval",
                                                    "keepalives_count",
                                                    "tcp_user_timeout",
                                                    "gssencmode",
                                                    "sslmode",
                                                    "sslcompression",
                                                    "sslcert",
                                                    "sslkey",
                                                    "sslpassword",
                                                    "sslrootcert",
                                                    "sslcrl",
                                                    "sslcrldir",
                                                    "sslsni",
                                                    "requirepeer",
                                                    "ssl_min_protocol_version",
                                                    "ssl_max_protocol_version",
                                                    "krbsrvname",
                                                    "gsslib",
                                                    "service",
                                                    "target_session_attrs"};
  return keywords;
}

// What lockstep sets itself, because its exactness rests on it.
struct Reserved {
  std::string_view name;
  std::string_view reason;
};
constexpr std::array<Reserved, 10> kReservedKafka = {{
    {"enable.auto.commit", "offsets come from the target's progress"},
    {"enable.auto.offset.store", "offsets come from the target's progress"},
    {"auto.offset.reset", "an offset that is gone must stop the migration"},
    {"isolation.level", "it must be read_committed"},
    {"enable.partition.eof", "the end of a partition must be seen"},
    {"check.crcs", "broken records must be seen"},
    {"group.instance.id", "partitions are assigned by lockstep"},
    {"partition.assignment.strategy", "partitions are assigned by lockstep"},
    {"allow.auto.create.topics", "a missing topic must be seen"},
    {"max.poll.interval.ms", "not polling is how lockstep holds the broker back"},
}};

// librdkafka takes its protocol names in any case.
bool is_encrypted(std::string protocol) {
  std::transform(protocol.begin(), protocol.end(), protocol.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return protocol == "ssl" || protocol == "sasl_ssl";
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// Reads what one setting refers to.
class Resolver {
 public:
  Resolver(const ManifestContext& context, std::string what)
      : context_(context), what_(std::move(what)) {}

  Setting resolve(const YamlNode& value) {
    Setting setting;
    setting.where = value.where;
    if (value.kind == YamlKind::Scalar) {
      if (auto text = scalar_text(value, what_, context_.report)) {
        setting.value = Secret(std::move(*text));
      }
      return setting;
    }
    if (value.kind != YamlKind::Map || value.entries.size() != 1 ||
        value.entries[0].value.kind != YamlKind::Scalar) {
      context_.report.error(value.where, what_ + " must be text or one reference",
                            "{file: PATH}, {credential: NAME} or {env: NAME}");
      return setting;
    }
    const YamlEntry& entry = value.entries[0];
    setting.where = entry.value.where;
    refer(entry, setting);
    return setting;
  }

 private:
  void refer(const YamlEntry& entry, Setting& setting) {
    const std::string& kind = entry.key.text;
    const std::string& name = entry.value.text;
    if (name.empty() || name.find('\0') != std::string::npos) {
      context_.report.error(entry.value.where, what_ + " refers to nothing");
    } else if (kind == "file") {
      setting.reference = ReferenceKind::File;
      setting.referred = (context_.directory / name).lexically_normal().string();
      setting.file = setting.referred;
      read_file(setting);
    } else if (kind == "credential") {
      setting.reference = ReferenceKind::Credential;
      setting.referred = name;
      read_credential(setting);
    } else if (kind == "env") {
      setting.reference = ReferenceKind::Env;
      setting.referred = name;
      const char* const value = environment(name);
      if (value == nullptr) {
        miss(setting, fmt::format("{}: the variable {} is not set", what_, name), "");
      } else {
        setting.value = Secret(value);
      }
    } else {
      const std::string close = nearest(kind, {"file", "credential", "env"});
      context_.report.error(
          entry.key.where, fmt::format("{}: unknown reference {}", what_, kind),
          close.empty() ? "file, credential or env" : fmt::format("did you mean {}?", close));
    }
  }

  void read_credential(Setting& setting) {
    const char* const directory = environment("CREDENTIALS_DIRECTORY");
    if (setting.referred.find('/') != std::string::npos) {
      context_.report.error(setting.where, what_ + ": a credential's name holds no '/'");
    } else if (directory == nullptr) {
      miss(setting,
           fmt::format("{}: credential {} is not there: CREDENTIALS_DIRECTORY is not set", what_,
                       setting.referred),
           "LoadCredential= of the unit sets it");
    } else {
      setting.file = (std::filesystem::path(directory) / setting.referred).string();
      read_file(setting);
    }
  }

  void read_file(Setting& setting) {
    auto secret = read_secret(setting.file);
    if (secret) {
      setting.value = std::move(*secret);
    } else {
      miss(setting, what_ + ": " + secret.error().message,
           "relative paths start at the manifest's directory");
    }
  }

  void miss(Setting& setting, const std::string& why, const std::string& hint) {
    if (context_.secrets == Secrets::Needed)
      context_.report.error(setting.where, why, hint);
    else
      setting.missing = hint.empty() ? why : why + " (" + hint + ")";
  }

  const ManifestContext& context_;
  const std::string what_;
};

// A secret that everybody on this machine may read is none.
void warn_of_readers(const Setting& setting, const std::string& path, Report& report) {
  struct ::stat found{};
  if (setting.file.empty() || ::stat(setting.file.c_str(), &found) != 0) return;
  if ((found.st_mode & (S_IROTH | S_IWOTH)) == 0) return;
  report.warn(setting.where,
              fmt::format("{}.{}: every user of this machine may read {} (mode {:04o})", path,
                          setting.name, setting.file, found.st_mode & 07777U),
              "chmod 600 " + setting.file);
}

void warn_of_secrets(const std::vector<Setting>& settings, const std::string& path,
                     Report& report) {
  for (const Setting& setting : settings) {
    if (!is_sensitive(setting.name)) continue;
    warn_of_readers(setting, path, report);
    if (setting.reference != ReferenceKind::Literal || setting.value.empty()) continue;
    report.warn(setting.where, fmt::format("{}.{} stands in the file itself", path, setting.name),
                "refer to it: {file: PATH}, {credential: NAME} or {env: NAME}");
  }
}

void check_keywords(const Connect& connect, const std::string& path, Report& report) {
  for (const Setting& setting : connect.keywords) {
    if (setting.name == "client_encoding" || setting.name == "replication") {
      report.error(setting.where,
                   fmt::format("{}.{} is set by lockstep itself", path, setting.name),
                   "leave it out");
    } else if (!is_connect_keyword(setting.name)) {
      const std::string close = nearest(setting.name, libpq_keywords());
      report.error(setting.where, fmt::format("unknown key {}.{}", path, setting.name),
                   close.empty() ? "any connection keyword of libpq 15 may stand here"
                                 : fmt::format("did you mean {}?", close));
    }
  }
  if (connect.find("service") != nullptr) return;
  if (connect.find("host") == nullptr && connect.find("hostaddr") == nullptr) {
    report.error(connect.where, path + ".host is missing");
  }
  if (connect.find("dbname") == nullptr) report.error(connect.where, path + ".dbname is missing");
}

void check_values(const Connect& connect, const std::string& path, Report& report) {
  const Setting* const port = connect.find("port");
  if (port != nullptr && port->missing.empty()) {
    const bool is_port = std::all_of(port->value.reveal().begin(), port->value.reveal().end(),
                                     [](char c) { return (c >= '0' && c <= '9') || c == ','; });
    if (!is_port || port->value.empty()) {
      report.error(port->where, path + ".port must be a number");
    }
  }
  const std::vector<std::string> modes = {"disable", "allow",     "prefer",
                                          "require", "verify-ca", "verify-full"};
  const Setting* const mode = connect.find("sslmode");
  if (mode != nullptr && mode->missing.empty() &&
      std::find(modes.begin(), modes.end(), mode->value.reveal()) == modes.end()) {
    const std::string close = nearest(mode->value.reveal(), modes);
    report.error(mode->where,
                 path +
                     ".sslmode must be disable, allow, prefer, require, verify-ca "
                     "or verify-full",
                 close.empty() ? "" : fmt::format("did you mean {}?", close));
  }
}

}  // namespace

bool is_sensitive(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {"password",      "sslpassword",
                                                      "sasl.password", "ssl.key.password",
                                                      "ssl.key.pem",   "ssl.keystore.password"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
         name.ends_with(".secret") || name.ends_with("client.secret");
}

const Setting* Connect::find(std::string_view name) const {
  const auto found = std::find_if(keywords.begin(), keywords.end(),
                                  [&](const Setting& s) { return s.name == name; });
  return found == keywords.end() ? nullptr : &*found;
}

std::vector<std::pair<std::string, std::string>> Connect::revealed() const {
  std::vector<std::pair<std::string, std::string>> pairs;
  pairs.reserve(keywords.size());
  for (const Setting& setting : keywords) pairs.emplace_back(setting.name, setting.value.reveal());
  return pairs;
}

Result<std::vector<std::pair<std::string, std::string>>> Connect::read_anew() const {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Setting& setting : keywords) {
    if (!setting.missing.empty()) return fail(Reaction::Halt, setting.missing, ExitCode::Config);
    if (setting.file.empty()) continue;
    auto secret = read_secret(setting.file);
    if (!secret) return fail(std::move(secret).error().during(setting.name));
    pairs.emplace_back(setting.name, secret->reveal());
  }
  return pairs;
}

std::string Connect::display() const {
  const auto text = [&](std::string_view name) {
    const Setting* const setting = find(name);
    return setting == nullptr ? std::string() : setting->value.reveal();
  };
  if (find("service") != nullptr) return "service " + text("service");
  const std::string host = find("host") != nullptr ? text("host") : text("hostaddr");
  const std::string port = find("port") != nullptr ? ":" + text("port") : "";
  return host + port + "/" + text("dbname");
}

bool Connect::is_local() const {
  // hostaddr is where libpq goes; host is then only a name to verify.
  const Setting* const host = find("hostaddr") != nullptr ? find("hostaddr") : find("host");
  if (host == nullptr) return false;
  const auto hosts = split(host->value.reveal());
  return std::all_of(hosts.begin(), hosts.end(), is_local_host);
}

bool Connect::is_plain_text() const {
  if (is_local()) return false;
  const Setting* const mode = find("sslmode");
  if (mode == nullptr) return find("service") == nullptr;
  const std::string& value = mode->value.reveal();
  return value == "disable" || value == "allow" || value == "prefer";
}

const char* environment(const std::string& name) {
  return std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
}

bool is_local_host(std::string_view host) {
  return host.empty() || host.starts_with('/') || host.starts_with('@') || host == "localhost" ||
         (host.starts_with("127.") &&
          host.find_first_not_of("0123456789.") == std::string_view::npos) ||
         host == "::1";
}

std::vector<Setting> read_settings(const YamlNode& node, const std::string& path,
                                   const ManifestContext& context) {
  const Fields fields(node, path, context.report);  // Reports duplicates and a node that is no map.
  std::vector<Setting> settings;
  for (const YamlEntry& entry : node.entries) {
    if (entry.key.kind != YamlKind::Scalar) continue;
    Setting setting = Resolver(context, fields.name(entry.key.text)).resolve(entry.value);
    setting.name = entry.key.text;
    settings.push_back(std::move(setting));
  }
  return settings;
}

bool is_connect_keyword(std::string_view name) {
  return std::ranges::find(libpq_keywords(), name) != libpq_keywords().end();
}

void add_default_sslmode(Connect& connect) {
  if (connect.find("sslmode") != nullptr || connect.find("service") != nullptr ||
      connect.is_local())
    return;
  connect.keywords.push_back(
      {"sslmode", Secret("verify-full"), ReferenceKind::Literal, {}, connect.where});
}

Connect read_connect(const YamlNode& node, const std::string& path,
                     const ManifestContext& context) {
  Connect connect{read_settings(node, path, context), node.where};
  if (node.kind != YamlKind::Map) return connect;
  check_keywords(connect, path, context.report);
  check_values(connect, path, context.report);
  warn_of_secrets(connect.keywords, path, context.report);
  add_default_sslmode(connect);
  if (connect.is_plain_text()) {
    const Setting* const mode = connect.find("sslmode");
    context.report.warn(mode == nullptr ? node.where : mode->where,
                        path + " may send plain text to another machine",
                        "sslmode: verify-full, with sslrootcert");
  }
  return connect;
}

std::vector<Setting> read_kafka(const YamlNode& node, const std::string& path,
                                const ManifestContext& context) {
  auto settings = read_settings(node, path, context);
  if (node.kind != YamlKind::Map) return settings;
  const auto find = [&](std::string_view name) {
    return std::find_if(settings.begin(), settings.end(),
                        [&](const Setting& s) { return s.name == name; });
  };
  for (const Reserved& reserved : kReservedKafka) {
    if (const auto found = find(reserved.name); found != settings.end()) {
      context.report.error(
          found->where,
          fmt::format("{}.{} is set by lockstep itself: {}", path, reserved.name, reserved.reason),
          "leave it out");
    }
  }
  warn_of_secrets(settings, path, context.report);
  const auto brokers = find("bootstrap.servers");
  if (brokers == settings.end()) {
    context.report.error(node.where, path + ".bootstrap.servers is missing", "\"host:9092\"");
    return settings;
  }
  const auto protocol = find("security.protocol");
  const bool is_plain = protocol == settings.end() || !is_encrypted(protocol->value.reveal());
  const auto hosts = split(brokers->value.reveal());
  const bool is_local = std::all_of(hosts.begin(), hosts.end(), [](std::string_view host) {
    host = host.substr(0, host.rfind(':'));
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return is_local_host(host);
  });
  if (is_plain && !is_local) {
    context.report.warn(brokers->where, path + " sends plain text to another machine",
                        "security.protocol: ssl or sasl_ssl");
  }
  return settings;
}

}  // namespace lockstep
