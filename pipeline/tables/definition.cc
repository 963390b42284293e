#include "pipeline/tables/definition.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "pipeline/tables/table_checks.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr const char* kOtherIdentity = "other";

void add_type(Definition& facts, const Type& type) {
  if (type.members.empty()) {
    for (const Type& inner : type.inner) add_type(facts, inner);
    return;
  }
  if (!facts.emplace(fmt::format("type {}", type.base_oid), type.base_sql).second) return;
  for (std::size_t i = 0; i < type.members.size(); ++i) {
    const Member& member = type.members[i];
    if (type.inner.empty()) {
      facts[fmt::format("label {} {}", type.base_oid, member.id)] = member.name;
      continue;
    }
    const std::string attribute = fmt::format("attribute {} {}", type.base_oid, member.id);
    facts[attribute] = fmt::format("{} {}", type.inner[i].oid, type.inner[i].typmod);
    facts[attribute + " name"] = member.name;
    add_type(facts, type.inner[i]);
  }
}

std::string_view word(std::string_view text, std::size_t n) {
  for (; n > 0; --n) text.remove_prefix(std::min(text.size(), text.find(' ') + 1));
  return text.substr(0, text.find(' '));
}

// Escaped, so that neither a fact's end nor its middle is found inside of it.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '\n') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (!escape)
      out += text[i];
    else
      out += text[++i] == 'n' ? '\n' : text[i];
  }
  return out;
}

std::set<std::string> words(std::string_view text) {
  std::set<std::string> all;
  while (!text.empty()) {
    const std::string_view first = word(text, 0);
    all.emplace(first);
    text.remove_prefix(std::min(text.size(), first.size() + 1));
  }
  return all;
}

// Whether old rows of a table may have been named by another index between the two.  To make an
// index the identity, and to make it that no more, changes the index's row of the catalog and the
// table's; a grant, a rewrite or a new index change one of them.
bool may_have_named_others(const std::string& before, const std::string& now) {
  if (before.empty() || now.empty() || word(before, 0) == word(now, 0)) return false;
  const std::set<std::string> old = words(before.substr(before.find(' ') + 1));
  std::vector<std::string> changed;
  std::ranges::set_symmetric_difference(old, words(now.substr(now.find(' ') + 1)),
                                        std::back_inserter(changed));
  // The index that is, or was, the identity at one of both is expected among them.
  const std::string was(word(before, 1));
  const std::string is(word(now, 1));
  return std::ranges::any_of(changed, [&](const std::string& index) {
    const std::string id = index.substr(0, index.find(':'));
    return was == is || (id != was && id != is);
  });
}

// The table whose old rows may have been named by another index meanwhile.
std::optional<std::string> named_otherwise(const Definition& before, const Definition& now) {
  for (const auto& [key, value] : before) {
    const auto found = now.find(key);
    if (word(key, 0) == "naming" && found != now.end() &&
        may_have_named_others(value, found->second))
      return std::string(word(key, 1));
  }
  return std::nullopt;
}

// One comparison; the gravest change is kept.
class Comparison {
 public:
  Comparison(const TableMap& map, Side side, const Definition& before, const Definition& now)
      : map_(map), before_(before), now_(now), on_source_(side == Side::Source) {}

  std::optional<DefinitionChange> run() && {
    if (find(before_, "identity") == kOtherIdentity)
      add(Consequence::CopyAgain, "its replica identity was another one for a while", "");
    if (on_source_) compare_naming();
    compare_key();
    std::set<std::string> keys;
    for (const auto& [key, value] : before_) keys.insert(key);
    for (const auto& [key, value] : now_) keys.insert(key);
    for (const std::string& key : keys) {
      const std::string_view kind = word(key, 0);
      if (find(before_, key) == find(now_, key)) continue;
      if (kind == "column") compare_column(key);
      if (kind == "label") compare_label(key);
      if (kind == "attribute") compare_attribute(key);
    }
    return std::move(gravest_);
  }

 private:
  static const std::string* find_fact(const Definition& facts, const std::string& key) {
    const auto found = facts.find(key);
    return found == facts.end() ? nullptr : &found->second;
  }
  static std::string find(const Definition& facts, const std::string& key) {
    const std::string* const value = find_fact(facts, key);
    return value == nullptr ? std::string() : *value;
  }
  const std::string& either(const std::string& key) const {
    const std::string* const value = find_fact(before_, key);
    return value != nullptr ? *value : now_.at(key);
  }

  void add(Consequence consequence, const std::string& what, std::string next) {
    if (gravest_ && gravest_->consequence >= consequence) return;
    gravest_ = {consequence, what + (on_source_ ? " on the source" : " on the target"),
                std::move(next)};
  }
  // The next step, where both sides must agree again.
  std::string alike(const std::string& on_target) const {
    return (on_source_ ? on_target : "put that right") +
           ", and start lockstep again: the table is copied again";
  }
  std::string target() const { return quoted(map_.target.name); }

  void compare_key() {
    const std::string before = find(before_, "key");
    const std::string now = find(now_, "key");
    if (before == now || before.empty()) return;
    const std::string name = quote_identifier(find(before_, "key name"));
    if (const std::string rivals = find(now_, "keys"); !rivals.empty() && on_source_)
      return add(Consequence::Stop,
                 fmt::format("its key {} is one of several unique keys now ({})", name, rivals),
                 "say which of them names its rows: " +
                     choose_by_identity(map_.source, find(before_, "key name")) +
                     ", and start lockstep again");
    if (now.empty())
      return add(Consequence::Stop, fmt::format("its key {} was dropped", name),
                 "rows cannot be told apart without one: give it back to the table, and start "
                 "lockstep again: the table is copied again");
    if (word(before, 1) != word(now, 1))
      return add(Consequence::Stop, "its key is over other columns now",
                 alike(fmt::format("give {} the same key", target())));
    // Where the identity is the whole row, duplicates may have come and gone while there was none.
    const bool guarded = find(before_, "identity") != "full" && find(now_, "identity") != "full";
    if (on_source_ && !guarded)
      add(Consequence::CopyAgain, "its key was dropped and made again", "");
  }

  void compare_naming() {
    const auto relation = named_otherwise(before_, now_);
    if (!relation) return;
    const auto table =
        std::ranges::find_if(map_.source.identities, [&](const RowIdentity& identity) {
          return std::to_string(identity.relation) == *relation;
        });
    const bool known = table != map_.source.identities.end();
    add(Consequence::CopyAgain,
        fmt::format("the replica identity of {} may have been another one for a while",
                    known ? table->table.text() : "a partition"),
        "");
  }

  // Of the target, columns that we do not write are no concern of ours.
  bool concerns_us(std::string_view attnum) const {
    if (on_source_) return true;
    const auto is_it = [&](std::size_t at) {
      return std::to_string(map_.target.columns[at].attnum) == attnum;
    };
    return std::ranges::any_of(map_.columns, is_it, &ColumnMap::target) ||
           std::ranges::any_of(map_.constants, is_it, &Constant::target);
  }

  // A column that the target computes as the source does has to go on with it.
  bool is_computed(std::string_view attnum) const {
    return std::ranges::any_of(map_.computed, [&](const auto& columns) {
      return std::to_string(map_.target.columns[columns.second].attnum) == attnum;
    });
  }

  void compare_column(const std::string& key) {
    const std::string attnum(word(key, 1));
    const std::string_view aspect = word(key, 2);
    const std::string column = "column " + attnum;
    const std::string* const before = find_fact(before_, column);
    const std::string* const now = find_fact(now_, column);
    const bool stays = before != nullptr && now != nullptr;
    if (!concerns_us(attnum) && !(stays && is_computed(attnum) && word(*now, 2) == "plain")) return;
    const std::string name = quote_identifier(either(column + " name"));
    if (before == nullptr)
      return add(Consequence::Stop, "column " + name + " was added",
                 alike(fmt::format("add it to {}, or put it under columns.drop", target())));
    if (now == nullptr)
      return add(Consequence::Stop, "column " + name + " was dropped",
                 alike(fmt::format("drop it from {}, too", target())));
    if (aspect == "name")
      return add(Consequence::Stop,
                 fmt::format("column {} was renamed to {}", name, quote_identifier(now_.at(key))),
                 alike(fmt::format("rename it in {}, or put it under columns.rename", target())));
    if (aspect == "collation")
      return add(Consequence::Stop, "column " + name + " has another collation now",
                 alike(fmt::format("give it the same one in {}", target())));
    if (aspect == "expression") {
      // Where only one of both has it, it was not stored yet, or the column itself tells.
      if (before_.contains(key) && now_.contains(key))
        add(Consequence::Stop, "column " + name + " is generated by another expression now",
            alike(fmt::format("generate it by the same one in {}", target())));
      return;
    }
    if (word(*before, 2) == word(*now, 2))
      return add(Consequence::Stop, "column " + name + " has another type now",
                 alike(fmt::format("give it the same one in {}", target())));
    if (word(*now, 2) == "plain")
      return add(
          Consequence::Stop, "column " + name + " is not generated any more",
          alike(fmt::format("ALTER TABLE {} ALTER COLUMN {} DROP EXPRESSION", target(), name)));
    add(Consequence::Stop, "column " + name + " is generated now",
        alike(fmt::format("define it alike in {}", target())));
  }

  void compare_label(const std::string& key) {
    const std::string type = either("type " + std::string(word(key, 1)));
    const std::string* const before = find_fact(before_, key);
    const std::string* const now = find_fact(now_, key);
    if (now == nullptr) return;  // With its type, whose column tells.
    const std::string label = quote_literal(*now);
    if (before == nullptr)
      return add(Consequence::Harmless, fmt::format("enum {} got the label {}", type, label), "");
    const std::string rename =
        fmt::format("ALTER TYPE {} RENAME VALUE {} TO {}", type, quote_literal(*before), label);
    add(Consequence::Stop,
        fmt::format("label {} of enum {} was renamed to {}", quote_literal(*before), type, label),
        alike(rename + " on the target"));
  }

  void compare_attribute(const std::string& key) {
    const std::string id(word(key, 1));
    // A type that only one of both has is told by its column.
    if (!before_.contains("type " + id) || !now_.contains("type " + id)) return;
    const std::string type = either("type " + id);
    const std::string attribute = fmt::format("attribute {} {}", id, word(key, 2));
    const std::string name = quote_identifier(either(attribute + " name"));
    const bool was = before_.contains(attribute);
    const bool is = now_.contains(attribute);
    if (was && is && word(key, 3) == "name")
      return add(Consequence::Harmless, fmt::format("attribute {} of {} was renamed", name, type),
                 "");
    const char* const how = !was ? "added" : !is ? "dropped" : "given another type";
    add(Consequence::Stop, fmt::format("attribute {} of {} was {}", name, type, how),
        alike(fmt::format("ALTER TYPE {} on the target, too", type)));
  }

  const TableMap& map_;
  const Definition& before_;
  const Definition& now_;
  const bool on_source_;
  std::optional<DefinitionChange> gravest_;
};

}  // namespace

Definition definition_of(const TableSpec& spec) {
  Definition facts;
  for (const Column& column : spec.columns) {
    const std::string key = fmt::format("column {}", column.attnum);
    facts[key] = fmt::format("{} {} {}", column.type.oid, column.type.typmod,
                             column.generated ? "generated" : "plain");
    facts[key + " name"] = column.name;
    if (!column.collation.empty()) facts[key + " collation"] = column.collation;
    if (!column.expression_id.empty()) facts[key + " expression"] = column.expression_id;
    add_type(facts, column.type);
  }
  for (const RowIdentity& identity : spec.identities)
    if (!identity.naming.empty())
      facts[fmt::format("naming {}", identity.relation)] = identity.naming;
  facts["identity"] = spec.replica_identity == ReplicaIdentity::Full ? "full" : "key";
  if (const std::vector<std::string> rivals = rival_keys(spec); !rivals.empty())
    facts["keys"] = fmt::format("{}", fmt::join(rivals, ", "));
  if (spec.key.empty()) return facts;
  std::vector<std::int16_t> attnums;
  for (const std::size_t i : spec.key) attnums.push_back(spec.columns[i].attnum);
  facts["key"] = fmt::format("{} {}", spec.key_id, fmt::join(attnums, ","));
  facts["key name"] = spec.key_index;
  return facts;
}

std::string definition_text(const Definition& definition) {
  std::string text;
  for (const auto& [key, value] : definition)
    text += fmt::format("{}={}\n", escaped(key), escaped(value));
  return text;
}

Definition parse_definition(std::string_view text) {
  Definition facts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t middle = std::min(line.find('='), line.size());
    facts[unescaped(line.substr(0, middle))] =
        middle < line.size() ? unescaped(line.substr(middle + 1)) : std::string();
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return facts;
}

std::optional<DefinitionChange> definition_change(const TableMap& map, Side side,
                                                  const Definition& before, const Definition& now) {
  return Comparison(map, side, before, now).run();
}

Definition with_other_identity(Definition definition) {
  definition["identity"] = kOtherIdentity;
  return definition;
}

bool key_may_mean_others(const Definition& before, const Definition& now) {
  const auto identity = before.find("identity");
  if (identity != before.end() && identity->second == kOtherIdentity) return true;
  if (named_otherwise(before, now)) return true;
  const auto was = before.find("key");
  const auto is = now.find("key");
  return was == before.end() || is == now.end() || was->second != is->second;
}

}  // namespace lockstep
