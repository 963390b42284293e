// What the Debezium connector cannot do, whatever its settings are: it does not start, ends, or
// sends one thing for another.  Seen with 3.6; each is named before anything starts.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/wire/checks.h"
#include "daemon/validate/validate.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

constexpr std::size_t kShownMax = 5;

std::string shown_names(const std::vector<std::string>& names) {
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShownMax));
  std::string text = fmt::format("{}", fmt::join(names.begin(), end, ", "));
  if (names.size() > kShownMax) text += fmt::format(" and {} more", names.size() - kShownMax);
  return text;
}

// Whether a type, or what it is made of, is of the kind.
bool holds(const Type& type, TypeKind kind) {
  return type.kind == kind ||
         std::ranges::any_of(type.inner, [kind](const Type& inner) { return holds(inner, kind); });
}

// Names that the manifest gives.
void check_names(Validation& validation) {
  const Setting* const dbname = validation.manifest.source.connect.find("dbname");
  if (dbname != nullptr && dbname->value.reveal().find_first_of("/?%+") != std::string::npos)
    validation.findings.error(dbname->where,
                              "Debezium cannot connect to a database whose name holds / ? % or +",
                              "rename the database, or write stream: direct");
  // The server takes the name for a list of identifiers, and Debezium puts it into SQL as it is.
  const At<std::string>& publication = validation.manifest.source.publication;
  const bool plain =
      !publication.value.starts_with('"') && std::ranges::none_of(publication.value, [](char c) {
        return (c >= 'A' && c <= 'Z') || std::string_view(" \t\n\r\v\f,'").contains(c);
      });
  if (!plain)
    validation.findings.error(
        publication.where,
        fmt::format("Debezium cannot read a publication named {}", publication.value),
        "use a name without capital letters, white space, commas and quotes");
}

// Debezium takes it for a name that is quoted already, and reads what it says without quotes.
bool is_taken_for_quoted(std::string_view name) {
  return name.starts_with('"') ||
         (name.ends_with('"') && name.find_first_of(" \t\n\v\f\r.") != name.npos);
}

// What a table's values and names bring about.
class TableLimits {
 public:
  explicit TableLimits(Validation& validation) : validation_(validation) {}

  Status check() {
    for (const PlannedTable& table : validation_.plan.tables) collect(table);
    LOCKSTEP_ASSIGN(traps_, read_connector_traps(validation_.source.connection, oids_, types_));
    for (const PlannedTable& table : validation_.plan.tables) check_table(table);
    const Where where = validation_.source.where;
    if (!traps_.enums.empty())
      validation_.findings.error(
          where,
          fmt::format("Debezium does not start in a database with an enum without labels, or a "
                      "domain over an enum: {}",
                      shown_names(traps_.enums)),
          "drop it, or make the domain one over text with a CHECK; or write stream: direct");
    warn(intervals_, "an interval of 2^31 hours or more");
    warn(timetz_, "a timetz whose offset has seconds");
    return {};
  }

 private:
  void collect(const PlannedTable& table) {
    if (table.source.name.table.empty()) return;
    oids_.push_back(table.source.oid);
    for (const Column& column : table.source.columns) {
      collect(column.type);
      const std::string name = table.source.name.text() + "." + column.name;
      if (holds(column.type, TypeKind::Interval)) intervals_.push_back(name);
      if (column.type.kind == TypeKind::TimeTz) timetz_.push_back(name);
    }
  }

  void collect(const Type& type) {
    if (type.oid >= kFirstUserOid) types_.push_back(type.oid);
    for (const Type& inner : type.inner) collect(inner);
  }

  void check_table(const PlannedTable& table) {
    const TableSpec& spec = table.source;
    if (spec.name.table.empty()) return;
    const auto error = [&](const std::string& text, const std::string& hint) {
      validation_.findings.error(table.selected.rule->source.where, text,
                                 hint + ", leave the table out, or write stream: direct");
    };
    if (is_taken_for_quoted(spec.name.schema) || is_taken_for_quoted(spec.name.table))
      error(fmt::format("Debezium cannot read the name {}, for its quotation marks",
                        quoted(spec.name)),
            "rename it");
    if (const auto twins = traps_.twins.find(spec.oid); twins != traps_.twins.end())
      error(fmt::format("Debezium ends at {}: its columns {} differ only by case", spec.name.text(),
                        twins->second),
            "rename one of them");
    for (const Column& column : spec.columns) {
      const std::string other = namesake(column.type);
      if (other.empty()) continue;
      error(
          fmt::format("Debezium takes the type of {}.{}, {}, for another one of the same name, {}",
                      spec.name.text(), column.name, column.type.sql, other),
          "rename one of the types");
    }
  }

  std::string namesake(const Type& type) const {
    if (const auto found = traps_.namesakes.find(type.oid); found != traps_.namesakes.end())
      return found->second;
    for (const Type& inner : type.inner)
      if (std::string other = namesake(inner); !other.empty()) return other;
    return {};
  }

  void warn(const std::vector<std::string>& columns, std::string_view what) {
    if (columns.empty()) return;
    validation_.findings.warn(validation_.manifest.source.stream.where,
                              fmt::format("the Debezium connector ends for good at {}: it may "
                                          "stand in {}",
                                          what, shown_names(columns)),
                              "make sure that none is written, or write stream: direct");
  }

  Validation& validation_;
  ConnectorTraps traps_;
  std::vector<std::uint32_t> oids_;
  std::vector<std::uint32_t> types_;
  std::vector<std::string> intervals_;
  std::vector<std::string> timetz_;
};

}  // namespace

void check_connector_limits(Validation& validation) {
  check_names(validation);
  if (!validation.source.answered) return;
  const Status checked = TableLimits(validation).check();
  if (!checked) validation.findings.failed(validation.source.where, checked.error());
}

}  // namespace lockstep
