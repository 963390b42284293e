#include "pipeline/watch/shape_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

// In front of files whose rows lack what an ALTER of the table brought.
constexpr std::string_view kCopyAgain = "again ";
// In front of files of a table that a heal has not gone through yet; then ":17 ", which tells it
// from others.
constexpr std::string_view kHeal = "heal";

const TableFile* find(const TableFiles& files, std::uint32_t relation) {
  const auto found = std::ranges::find(files, relation, &TableFile::relation);
  return found == files.end() ? nullptr : &*found;
}

std::string name_of(const TableFile& file) {
  return file.name.empty() ? fmt::format("(oid {})", file.relation) : file.name;
}

// Older events lie in the log before what was noticed: whoever deletes rows on the target now may
// get them back.  A copy that begins anew drops all events before it.
std::string empty_it(const TableMap& table) {
  return fmt::format("empty {} on the target and start again: it is copied anew",
                     table.target.name.text());
}

std::string gone(const TableFile& file) {
  return fmt::format("partition {} was detached or dropped on the source", name_of(file));
}

std::string keep_or_empty(const TableMap& table) {
  return fmt::format(
      "its rows are still on the target: to keep them say `partitions: keep` for {} and start "
      "again; to be rid of them {}",
      table.text(), empty_it(table));
}

// The manifest has changed since the heal began, which deletes rows that only the target has.
std::string keeps_what_a_heal_deletes(const TableMap& table) {
  return fmt::format(
      "{} is to be healed, and the manifest keeps rows of the target: take `existing: "
      "upsert` or `partitions: keep` out until it is, or {}",
      table.text(), empty_it(table));
}

std::string away_for_a_while(const TableMap& table, const TableFile& file) {
  const char* const what =
      file.relation == table.source.oid
          ? "taken out of the publication, for a while at least, or the publication's options were "
            "changed"
          : "detached and put back";
  return fmt::format("{} was {}, on the source: what was written meanwhile may be in no stream",
                     name_of(file), what);
}

// The TRUNCATE of a whole table is in the stream; that of one partition is not, when it is
// published through its root.
std::string by_itself(const TableFile& file, const char* how) {
  return fmt::format(
      "partition {} was truncated or rewritten {}, and replication through the root does not tell "
      "which",
      name_of(file), how);
}

std::string know_better(const TableMap& table) {
  return fmt::format(
      "{}; if you know that it was only rewritten (VACUUM FULL), say `partitions: keep` for {} "
      "instead",
      empty_it(table), table.text());
}

std::string attached(const TableMap& table, const std::string& root) {
  return fmt::format(
      "it was attached to {} on the source, which is moved, too, and its rows go there from now "
      "on: "
      "attach or empty {} on the target, say `skip: true` for {}, and start lockstep again",
      root, quoted(table.target.name), table.text());
}

std::string keeps_others(const TableMap& table) {
  return fmt::format(
      "its rows may have got other keys on the source without events, and which old keys are to go "
      "is not known, since {} may hold rows that the source lacks ({}): {}",
      quoted(table.target.name), table.existing ? "existing: upsert" : "partitions: keep",
      empty_it(table));
}

// Files of both lists that were replaced.
std::vector<const TableFile*> replaced(const TableFiles& old, const TableFiles& now) {
  std::vector<const TableFile*> files;
  for (const TableFile& file : now) {
    const TableFile* const was = find(old, file.relation);
    if (was != nullptr && was->node != 0 && was->node != file.node) files.push_back(&file);
  }
  return files;
}

}  // namespace

std::string files_text(std::span<const TableFile> files, Lsn horizon,
                       const Definition& definition) {
  std::string text = fmt::format("@{}", horizon);
  for (const TableFile& file : files)
    text += fmt::format(" {}/{}/{}", file.relation, file.node, file.bond);
  return text + "\n" + definition_text(definition);
}

std::string copy_again_text(std::string_view text) {
  const bool marked = text.starts_with(kCopyAgain);
  return std::string(marked ? "" : kCopyAgain) + std::string(text);
}

std::string heal_text(std::string_view text, std::uint64_t asked) {
  const bool again = text.starts_with(kCopyAgain);
  if (again) text.remove_prefix(kCopyAgain.size());
  if (text.starts_with(kHeal)) text.remove_prefix(std::min(text.find(' ') + 1, text.size()));
  return fmt::format("{}{}:{} {}", again ? kCopyAgain : "", kHeal, asked, text);
}

std::string ShapeWatch::Table::marked(std::string text) const {
  if (stored_heals) text = heal_text(text, *stored_heals);
  return stored_again ? copy_again_text(text) : text;
}

std::optional<KnownFiles> parse_files(std::string_view text) {
  KnownFiles known;
  known.copy_again = text.starts_with(kCopyAgain);
  if (known.copy_again) text.remove_prefix(kCopyAgain.size());
  if (text.starts_with(kHeal)) {
    text.remove_prefix(kHeal.size());
    const std::size_t space = std::min(text.find(' '), text.size());
    const char* const begin = text.data();
    std::uint64_t& asked = known.heals.emplace(0);
    if (space > 0) {  // Earlier versions had no number.
      const auto parsed = std::from_chars(begin + 1, begin + space, asked);
      if (*begin != ':' || parsed.ec != std::errc{} || parsed.ptr != begin + space)
        return std::nullopt;
    }
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  const std::size_t line = std::min(text.find('\n'), text.size());
  known.definition = parse_definition(text.substr(std::min(line + 1, text.size())));
  text = text.substr(0, line);
  const char* at = text.data();
  const char* const end = at + text.size();
  // Reads `before` and a number behind it.
  const auto number = [&](char before, auto& value) {
    if (at == end || *at != before) return false;
    const auto parsed = std::from_chars(at + 1, end, value);
    at = parsed.ptr;
    return parsed.ec == std::errc{};
  };
  const auto space = [&] { return *at++ == ' '; };
  if (text.starts_with('@') && !number('@', known.horizon.emplace())) return std::nullopt;
  // Files that an older lockstep stored begin without a horizon, and so without a space.
  if (at < end && known.horizon && !space()) return std::nullopt;
  while (at < end) {
    if (!known.files.empty() && !space()) return std::nullopt;
    TableFile file;
    const auto relation = std::from_chars(at, end, file.relation);
    at = relation.ptr;
    if (relation.ec != std::errc{} || !number('/', file.node) || !number('/', file.bond))
      return std::nullopt;
    std::uint64_t columns = 0;  // Earlier versions had them here.
    if (at < end && *at == '/' && !number('/', columns)) return std::nullopt;
    known.files.push_back(std::move(file));
  }
  return known;
}

ShapeWatch::ShapeWatch(Shared shared, SourceProbe& probe, StreamProof& proof, Ledger& ledger,
                       Tell tell, std::vector<KnownFiles> known)
    : shared_(shared),
      probe_(probe),
      ledger_(ledger),
      tell_(std::move(tell)),
      before_({probe, proof, shared.progress, shared.clock, [shared] { shared.flush_lanes(); }}),
      tables_(known.size()) {
  CHECK(known.size() == shared_.tables.size());
  for (TableId id = 0; id < known.size(); ++id) {
    Table& table = tables_[id];
    table.files = std::move(known[id].files);
    table.stored = table.files;
    table.stored_again = known[id].copy_again;
    table.stored_heals = known[id].heals;
    const TableMap& map = *shared_.tables[id];
    if (known[id].heals && (map.existing || map.partitions == PartitionPolicy::Keep))
      shared_.board.stop(id, keeps_what_a_heal_deletes(map));
    else if (known[id].heals)
      heal(id, "a comparison of all its rows was asked for");
    table.horizon = known[id].horizon;
    table.settled = std::move(known[id].definition);
    table.latest = definition_of(shared_.tables[id]->source);
    // What does not fit an older plan fits this one, which was made since; the rows may not.
    const auto change =
        definition_change(*shared_.tables[id], Side::Source, table.settled, table.latest);
    if (known[id].copy_again)
      notice(id, "its columns have changed");
    else if (!table.settled.empty() && change && change->consequence != Consequence::Harmless)
      notice(id, change->what);
  }
}

// Without a partition: of all its rows.
void ShapeWatch::notice(TableId id, const std::string& why, const TableFile* partition) {
  tables_[id].partition = partition == nullptr ? 0 : partition->relation;
  if (shared_.board.notice(id, why)) {
    const std::string table = shared_.tables[id]->text();
    if (partition == nullptr)
      tell_.news(News::CopiedAgain, table, why);
    else
      tell_.news(News::PartitionCopied, table, name_of(*partition));
  }
  before_.reset();
}

void ShapeWatch::miss(TableId id, const std::string& what, const std::string& stop) {
  if (!shared_.tables[id]->heals())
    shared_.board.stop(id, what + "; " + stop);
  else
    miss_if_healed(id, what);
}

void ShapeWatch::miss_if_healed(TableId id, const std::string& what) {
  if (shared_.tables[id]->heals()) heal(id, what);
}

// What was missed is told by the files that are there now, since the stored ones stay, and by who
// asked.
void ShapeWatch::heal(TableId id, const std::string& why) {
  const Table& table = tables_[id];
  const bool unknown = table.stored_heals == 0U;
  const Hash128 as = unknown ? Hash128() : hash128(table.seen, table.stored_heals.value_or(0));
  if (shared_.board.miss(id, why, as)) tell_.news(News::Heals, shared_.tables[id]->text(), why);
}

Result<bool> ShapeWatch::look() {
  std::vector<Lsn> horizons;
  for (TableId id = 0; id < tables_.size(); ++id)
    horizons.push_back(shared_.board.life(id).horizon.major);
  LOCKSTEP_ASSIGN(std::vector<TableFiles> now, probe_.files(shared_.tables));
  LOCKSTEP_TRY(look_at_definitions(now));
  LOCKSTEP_TRY(look_at_target());
  for (TableId id = 0; id < tables_.size(); ++id) {
    if (shared_.board.stopped(id)) continue;
    Table& table = tables_[id];
    if (!table.horizon) table.horizon = horizons[id];
    table.seen = files_text(now[id], 0, {});
    const TableFile* const root = find(now[id], shared_.tables[id]->source.oid);
    table.gap = root == nullptr ? "" : root->gap;
    LOCKSTEP_TRY(note_partitions(id, now[id]));
    LOCKSTEP_ASSIGN(const std::uint32_t came, take_in_turn(id, now[id]));
    const bool same = table.files == now[id];
    if (!same) LOCKSTEP_TRY(judge(id, now[id], came));
    const TableLife life = shared_.board.life(id);
    if (life.is_stopped()) continue;
    const bool copied = same && life.stage == Stage::CopyingAgain && life.copied;
    const bool healed = same && life.stage == Stage::Healing && life.is_whole();
    const bool harmless = life.is_settled() && (!same || table.settled != table.latest);
    if (copied && !life.is_whole()) {
      shared_.board.settle(id);  // The heal comes next, and what is stored stays older than it.
    } else if (copied || healed || harmless) {
      if (table.fresh) continue;  // Stored by the next look, if the definition still is as it is.
      // What is compared now misses what comes next.  Once all is told again it is healed anew.
      if (!table.gap.empty()) continue;
      LOCKSTEP_TRY(settle(id, now[id], horizons[id]));
      if (healed) tell_.news(News::Healed, shared_.tables[id]->text(), "");
    }
    table.files = std::move(now[id]);  // With their names.
  }
  return settled();
}

// Of those tables of which the catalog says that something is another way.
Status ShapeWatch::look_at_definitions(const std::vector<TableFiles>& now) {
  std::vector<const TableMap*> altered;
  for (TableId id = 0; id < tables_.size(); ++id) {
    Table& table = tables_[id];
    const TableFile* const root = find(now[id], shared_.tables[id]->source.oid);
    table.fresh = false;
    if (root == nullptr || root->version == table.version || shared_.board.stopped(id)) continue;
    altered.push_back(shared_.tables[id]);
  }
  if (altered.empty()) return {};
  LOCKSTEP_ASSIGN(const std::vector<TableSpec> specs, probe_.definitions(altered));
  for (const TableMap* map : altered) {
    tables_[map->id].version = find(now[map->id], map->source.oid)->version;
    const auto spec = std::ranges::find(specs, map->source.oid, &TableSpec::oid);
    if (spec != specs.end()) LOCKSTEP_TRY(judge_definition(map->id, *spec));
  }
  return {};
}

Status ShapeWatch::judge_definition(TableId id, const TableSpec& spec) {
  const TableMap& map = *shared_.tables[id];
  Table& table = tables_[id];
  const auto is_root = [&](const TableMap* other) { return other->source.name == *spec.root; };
  if (spec.root && !map.source.root && std::ranges::any_of(shared_.tables, is_root)) {
    shared_.board.stop(id, attached(map, spec.root->text()));
    return {};
  }
  Definition now = definition_of(spec);
  table.fresh = now != table.latest;
  const auto change = definition_change(map, Side::Source, table.latest, now);
  table.latest = std::move(now);
  if (change && change->consequence == Consequence::Stop)
    shared_.board.stop(id, change->what + ": " + change->next);
  if (change && change->consequence == Consequence::CopyAgain) notice(id, change->what);
  return judge_source(id, spec);
}

// What `validate` would refuse by now.  Changes that name other columns than the key may have been
// taken for others by the time that it is noticed: a later start has the table copied anew.
Status ShapeWatch::judge_source(TableId id, const TableSpec& spec) {
  const std::vector<MapProblem> problems = source_problems(spec);
  if (problems.empty() || shared_.board.stopped(id)) return {};
  const Table& table = tables_[id];
  const TableLife life = shared_.board.life(id);
  if (names_other_rows(spec) && life.is_settled() && !table.settled.empty()) {
    const Lsn horizon = table.horizon.value_or(life.horizon.major);
    LOCKSTEP_TRY(ledger_.save_files(
        id, table.marked(files_text(table.files, horizon, with_other_identity(table.settled)))));
  }
  shared_.board.stop(id, problems.front().text + ": " + problems.front().hint);
  return {};
}

Status ShapeWatch::look_at_target() {
  LOCKSTEP_ASSIGN(const std::vector<TargetChange> changes, ledger_.target_changes());
  for (const TargetChange& change : changes) {
    if (change.effect == TargetEffect::Stop)
      shared_.board.stop(change.table, change.why);
    else
      tell_.of_target(change);
  }
  return {};
}

bool ShapeWatch::settled() const {
  for (TableId id = 0; id < tables_.size(); ++id) {
    const TableLife life = shared_.board.life(id);
    if (life.is_stopped()) continue;
    if (life.is_doubtful() || !life.is_whole() || life.stage == Stage::Healing) return false;
    if (tables_[id].is_behind) return false;
  }
  return true;
}

// A partition is stored, as one whose rows are on the target in part, before anything of it is
// read: when it is gone by the next start, its rows are known to be left.
Status ShapeWatch::note_partitions(TableId id, const TableFiles& now) {
  Table& table = tables_[id];
  TableFiles stored = table.stored;
  for (TableFile file : now) {
    if (find(stored, file.relation) != nullptr) continue;
    file.node = 0;
    stored.push_back(std::move(file));
  }
  if (table.stored.empty() || stored.size() == table.stored.size()) return {};
  const Lsn horizon = table.horizon.value_or(shared_.board.life(id).horizon.major);
  LOCKSTEP_TRY(ledger_.save_files(id, table.marked(files_text(stored, horizon, table.settled))));
  table.stored = std::move(stored);
  return {};
}

// Returns the partition that came with rows and is to be copied next: one after another, and once
// all the rest is copied.  Others that did are marked in `now`: their rows may be read with those
// of the whole table, so that they are on the target in part.
Result<std::uint32_t> ShapeWatch::take_in_turn(TableId id, TableFiles& now) {
  Table& table = tables_[id];
  const TableLife life = shared_.board.life(id);
  std::uint32_t next = 0;
  table.is_behind = false;
  for (TableFile& file : now) {
    const TableFile* const was = find(table.files, file.relation);
    const bool known = was != nullptr && was->node != 0;
    if (known || file.relation == shared_.tables[id]->source.oid) continue;
    // Its first file has the number of its oid: rows that were in the stream may have gone with it.
    if (was == nullptr && !table.files.empty() && file.node != file.relation)
      miss_if_healed(id, "partition " + name_of(file) + " was truncated or rewritten once");
    if (file.born) continue;
    // What was attached empty has all its rows in the stream, too.
    LOCKSTEP_ASSIGN(const bool rows, probe_.has_rows(file.relation));
    if (!rows) continue;
    if (next == 0 && life.stage == Stage::Following) {
      next = file.relation;
    } else {
      file.node = 0;
      table.is_behind = true;
    }
  }
  return next;
}

Status ShapeWatch::judge(TableId id, const TableFiles& now, std::uint32_t came) {
  const TableMap& map = *shared_.tables[id];
  const TableFiles& old = tables_[id].files;
  const bool keeps = map.partitions == PartitionPolicy::Keep;
  const auto is_leaf = [&](const TableFile& file) { return file.relation != map.source.oid; };
  for (const TableFile& file : old) {
    const TableFile* const found = find(now, file.relation);
    const bool leaf = is_leaf(file);
    if (found == nullptr && !leaf) shared_.board.stop(id, "the source table was dropped");
    if (found == nullptr && leaf && !keeps) miss(id, gone(file), keep_or_empty(map));
    if (found != nullptr && found->bond != file.bond)
      miss(id, found->gap.empty() ? away_for_a_while(map, *found) : found->gap, empty_it(map));
    // What had been copied of it may not be what it is by now.
    if (found != nullptr && leaf && file.node == 0 && found->node != 0)
      miss_if_healed(id, "partition " + name_of(*found) + " was not copied to its end");
  }
  const std::vector<const TableFile*> other = replaced(old, now);
  const bool leaves_only =
      !other.empty() &&
      std::ranges::all_of(other, is_leaf,
                          [](const TableFile* file) -> const TableFile& { return *file; });
  if (leaves_only && !keeps) {
    const auto leaves = static_cast<std::size_t>(std::ranges::count_if(old, is_leaf));
    if (map.heals() || other.size() < leaves)
      miss(id, by_itself(*other.front(), "by itself"), know_better(map));
    // Or each leaf by itself: the stream tells.
    if (!map.heals()) tables_[id].truncated = *other.front();
  }
  if (shared_.board.stopped(id)) return {};
  const TableFile* const partition = find(now, came);
  if (!other.empty() && !(leaves_only && map.heals()))
    notice(id, name_of(*other.front()) + " was rewritten or truncated");
  else if (partition != nullptr)
    notice(id, "partition " + name_of(*partition) + " was attached with rows", partition);
  return {};
}

Status ShapeWatch::settle(TableId id, const TableFiles& now, Lsn horizon) {
  Table& table = tables_[id];
  LOCKSTEP_TRY(ledger_.save_files(id, files_text(now, horizon, table.latest)));
  table.stored = now;
  table.stored_again = false;
  table.stored_heals.reset();
  table.settled = table.latest;
  table.truncated.reset();
  table.horizon = horizon;
  shared_.board.settle(id);
  return {};
}

Result<std::string> ShapeWatch::advance(const std::set<std::string>& paused) {
  bool noticed = false;
  for (TableId id = 0; id < tables_.size(); ++id)
    noticed = noticed || shared_.board.life(id).stage == Stage::Noticed;
  if (!noticed) return std::string();
  LOCKSTEP_ASSIGN(const bool applied, before_.step(paused));
  if (!applied) return "the events before a table was rewritten: " + before_.waiting_for();
  LOCKSTEP_TRY(copy_again());
  return std::string();
}

// The board first: from then on no chunk that was read before is marked.  A mark that was on its
// way is harmless: the stored files stay the old ones until the whole table is copied again, so a
// restart begins it anew.
Status ShapeWatch::copy_again() {
  for (TableId id = 0; id < tables_.size(); ++id) {
    Table& table = tables_[id];
    const TableLife life = shared_.board.life(id);
    if (life.stage != Stage::Noticed) continue;
    if (table.truncated && life.horizon.major == table.horizon) {
      shared_.board.stop(id, by_itself(*table.truncated,
                                       "like all others, without a TRUNCATE of the whole table") +
                                 "; " + know_better(*shared_.tables[id]));
      continue;
    }
    const TableMap& map = *shared_.tables[id];
    const bool empties = key_may_mean_others(table.settled, table.latest);
    if (empties && (map.existing || map.partitions == PartitionPolicy::Keep)) {
      shared_.board.stop(id, keeps_others(map));
      continue;
    }
    // After a TRUNCATE no chunk holds the rest.
    const std::uint32_t partition = empties || !life.copied ? 0 : table.partition;
    shared_.board.copy_again(id, empties, partition);
    if (partition != 0) continue;  // The chunks hold all the rest.
    if (Status forgotten = ledger_.forget_chunks(id); !forgotten) {
      shared_.board.notice(id, life.reason);  // All of this once more: the marks are still there.
      return forgotten;
    }
    table.horizon = life.horizon.major;  // A TRUNCATE up to here explains no later one.
  }
  return {};
}

}  // namespace lockstep
