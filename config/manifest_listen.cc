#include "config/manifest_listen.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

bool is_address(const std::string& text) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

bool is_host(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

void read_hosts(const YamlNode& list, ListenSection& listen, Report& report) {
  constexpr const char* kForm = "hosts: [metrics.example.org]";
  if (list.kind != YamlKind::List)
    return report.error(list.where, "listen.hosts must be a list of names", kForm);
  for (const YamlNode& item : list.items) {
    const auto name = scalar_text(item, "listen.hosts", report);
    if (name && !is_host(*name))
      report.error(item.where, fmt::format("listen.hosts: '{}' is not a host's name", *name),
                   "lower case, without a port");
    else if (name)
      listen.hosts.push_back(*name);
  }
}

}  // namespace

ListenSection read_listen(const YamlNode& node, Report& report) {
  ListenSection listen;
  Fields fields(node, "listen", report);
  listen.where = node.where;
  if (auto address = fields.text("address")) {
    if (!is_address(address->value))
      report.error(address->where,
                   fmt::format("listen.address: '{}' is not an address", address->value),
                   "127.0.0.1, ::1, or another one of this machine");
    listen.address = std::move(address->value);
  }
  listen.page = fields.flag("page", false).value;
  constexpr std::uint64_t kPortMax = 65'535;
  listen.port = static_cast<std::uint16_t>(fields.number("port", {0, 0, kPortMax}).value);
  if (listen.port != 0 && listen.address != "::1" && !listen.address.starts_with("127."))
    report.warn(
        listen.where,
        fmt::format("whoever reaches {}:{} reads names of tables, figures{} without a password",
                    listen.address, listen.port,
                    listen.page ? ", operators' reasons and servers' messages" : ""),
        "keep it behind a firewall, or on 127.0.0.1");
  if (const YamlNode* const hosts = fields.find("hosts")) read_hosts(*hosts, listen, report);
  fields.finish();
  return listen;
}

}  // namespace lockstep
