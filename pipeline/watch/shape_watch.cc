#include "pipeline/watch/shape_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace lockstep {
namespace {

// In front of files whose rows lack what an ALTER of the table brought.
constexpr std::string_view kCopyAgain = "again ";

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

std::string gone(const TableMap& table, const TableFile& file) {
  if (file.relation == table.source.oid) return "the source table was dropped";
  return fmt::format(
      "partition {} was detached or dropped on the source; its rows are still on the target: to "
      "keep them say `partitions: keep` for {} and start again; to be rid of them {}",
      name_of(file), table.text(), empty_it(table));
}

std::string away_for_a_while(const TableMap& table, const TableFile& file) {
  const char* const what =
      file.relation == table.source.oid
          ? "taken out of the publication, for a while at least, or the publication's options were "
            "changed"
          : "detached and put back";
  return fmt::format("{} was {}, on the source: what was written meanwhile may be in no stream; {}",
                     name_of(file), what, empty_it(table));
}

// The TRUNCATE of a whole table is in the stream; that of one partition is not, when it is
// published through its root.
std::string by_itself(const TableMap& table, const TableFile& file, const char* how) {
  return fmt::format(
      "partition {} was truncated or rewritten {}, and replication through the root does not tell "
      "which: {}; if you know that it was only rewritten (VACUUM FULL), say `partitions: keep` for "
      "{} instead",
      name_of(file), how, empty_it(table), table.text());
}

// Files of both lists that were replaced.
std::vector<const TableFile*> replaced(const TableFiles& old, const TableFiles& now) {
  std::vector<const TableFile*> files;
  for (const TableFile& file : now)
    if (const TableFile* const was = find(old, file.relation); was && was->node != file.node)
      files.push_back(&file);
  return files;
}

}  // namespace

std::string files_text(std::span<const TableFile> files, Lsn horizon) {
  std::string text = fmt::format("@{}", horizon);
  for (const TableFile& file : files) {
    text += fmt::format(" {}/{}/{}", file.relation, file.node, file.bond);
    if (file.columns != 0) text += fmt::format("/{}", file.columns);
  }
  return text;
}

std::string copy_again_text(std::string_view text) {
  const bool marked = text.starts_with(kCopyAgain);
  return std::string(marked ? "" : kCopyAgain) + std::string(text);
}

KnownFiles parse_files(std::string_view text) {
  KnownFiles known;
  known.copy_again = text.starts_with(kCopyAgain);
  if (known.copy_again) text.remove_prefix(kCopyAgain.size());
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto next = [&] {
    CHECK(at == end || *at == ' ');
    at += at < end ? 1 : 0;
  };
  if (text.starts_with('@')) {
    at = std::from_chars(at + 1, end, known.horizon.emplace()).ptr;
    next();
  }
  while (at < end) {
    TableFile file;
    at = std::from_chars(at, end, file.relation).ptr;
    CHECK(at < end && *at == '/');
    at = std::from_chars(at + 1, end, file.node).ptr;
    CHECK(at < end && *at == '/');
    at = std::from_chars(at + 1, end, file.bond).ptr;
    if (at < end && *at == '/') at = std::from_chars(at + 1, end, file.columns).ptr;
    next();
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
    tables_[id].files = std::move(known[id].files);
    tables_[id].horizon = known[id].horizon;
    if (!known[id].copy_again) continue;
    tables_[id].state = State::Noticed;
    tell_(shared_.tables[id]->text(), "its columns have changed");
  }
}

Result<bool> ShapeWatch::look() {
  std::vector<Lsn> horizons;
  for (TableId id = 0; id < tables_.size(); ++id)
    horizons.push_back(shared_.board.horizon(id).major);
  LOCKSTEP_ASSIGN(std::vector<TableFiles> now, probe_.files(shared_.tables));
  for (TableId id = 0; id < tables_.size(); ++id) {
    const TableStatus status = shared_.board.status(id);
    if (!status.stopped.empty()) continue;
    Table& table = tables_[id];
    if (!table.horizon) table.horizon = horizons[id];
    if (table.files != now[id]) {
      LOCKSTEP_ASSIGN(const Verdict verdict, judge(id, now[id]));
      if (verdict == Verdict::Stop) continue;
      if (verdict == Verdict::CopyAgain) {
        table.state = State::Noticed;
        before_.reset();
      }
      if (table.state == State::Settled) LOCKSTEP_TRY(settle(id, now[id], horizons[id]));
    } else if (table.state == State::Copying && status.backfill == BackfillState::Done) {
      LOCKSTEP_TRY(settle(id, now[id], horizons[id]));
    }
    table.files = std::move(now[id]);  // With their names.
  }
  return settled();
}

bool ShapeWatch::settled() const {
  for (TableId id = 0; id < tables_.size(); ++id)
    if (tables_[id].state != State::Settled && !shared_.board.stopped(id)) return false;
  return true;
}

Result<ShapeWatch::Verdict> ShapeWatch::judge(TableId id, const TableFiles& now) {
  const TableMap& map = *shared_.tables[id];
  const TableFiles& old = tables_[id].files;
  const bool root = map.source.kind == RelationKind::PartitionedRoot;
  const bool keeps = root && map.partitions == PartitionPolicy::Keep;
  const auto stop = [&](const std::string& why) {
    shared_.board.stop(id, why);
    return Verdict::Stop;
  };
  for (const TableFile& file : old) {
    const TableFile* const found = find(now, file.relation);
    const bool leaf = file.relation != map.source.oid;
    if (found == nullptr && !(keeps && leaf)) return stop(gone(map, file));
    if (found != nullptr && found->bond != file.bond) return stop(away_for_a_while(map, *found));
  }
  const std::vector<const TableFile*> other = replaced(old, now);
  if (root && !keeps && !other.empty()) {
    const auto leaves = static_cast<std::size_t>(std::ranges::count_if(
        old, [&](const TableFile& file) { return file.relation != map.source.oid; }));
    if (other.size() < leaves) return stop(by_itself(map, *other.front(), "by itself"));
    tables_[id].truncated = *other.front();  // Or each leaf by itself: the stream tells.
  }
  std::string why;
  for (const TableFile& file : old) {
    const TableFile* const found = find(now, file.relation);
    // None are known of files that an older lockstep stored.
    if (found != nullptr && file.columns != 0 && found->columns != file.columns)
      why = "its columns have changed";
  }
  if (!other.empty()) why = name_of(*other.front()) + " was rewritten or truncated";
  for (const TableFile& file : now) {
    if (find(old, file.relation) != nullptr) continue;
    // A partition that was created here has all its rows in the stream.
    LOCKSTEP_ASSIGN(const bool rows, probe_.has_rows(file.relation));
    if (rows) why = "partition " + name_of(file) + " was attached with rows";
  }
  if (why.empty()) return Verdict::Accept;
  if (tables_[id].state != State::Noticed) tell_(map.text(), why);
  return Verdict::CopyAgain;
}

Status ShapeWatch::settle(TableId id, const TableFiles& now, Lsn horizon) {
  LOCKSTEP_TRY(ledger_.save_files(id, files_text(now, horizon)));
  Table& table = tables_[id];
  table.state = State::Settled;
  table.truncated.reset();
  table.horizon = horizon;
  shared_.board.copying_again(id, false);
  return {};
}

Result<std::string> ShapeWatch::advance(const std::set<std::string>& paused) {
  bool noticed = false;
  for (TableId id = 0; id < tables_.size(); ++id)
    noticed = noticed || (tables_[id].state == State::Noticed && !shared_.board.stopped(id));
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
    if (table.state != State::Noticed) continue;
    if (table.truncated && shared_.board.horizon(id).major == table.horizon) {
      shared_.board.stop(id, by_itself(*shared_.tables[id], *table.truncated,
                                       "like all others, without a TRUNCATE of the whole table"));
      continue;
    }
    shared_.board.copying_again(id, true);
    shared_.board.forget_chunks(id);
    LOCKSTEP_TRY(ledger_.forget_chunks(id));
    table.state = State::Copying;
    table.horizon = shared_.board.horizon(id).major;  // Explains no later TRUNCATE.
  }
  return {};
}

}  // namespace lockstep
