// Ranges whose rows stay where they are: both servers digest them, part by part, and rows are read
// only of the parts that differ, which are judged as all rows are.
//
// Where the target orders keys in another way digests are of no use: its parts have other rows.
//
// A digest is of the same two snapshots as the rows, and as late as the proof (V3): equal digests
// say of a range what equal rows would.
#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "pipeline/reconcile/sweep.h"

namespace lockstep {
namespace {

using From = Compared::From;

// Ranges that are read after one that differed much.
constexpr std::uint32_t kRangesAfter = 8;
// Of the rows of a range: where more have to be read, it takes less to read them all,
constexpr std::uint64_t kMuchOf = 4;
// and where fewer have to be, the next range may have more rows than one that is read.
constexpr std::uint64_t kFewOf = 16;
// Of a partitioned table.
constexpr std::size_t kLeavesOfPart = 8;
// Rows come and go.
constexpr std::chrono::seconds kAheadKept{10};

std::uint64_t rows_in(const std::vector<PartDigest>& digests) {
  return std::transform_reduce(digests.begin(), digests.end(), std::uint64_t{0}, std::plus(),
                               [](const PartDigest& digest) { return digest.rows; });
}

std::vector<std::size_t> unequal_parts(const std::vector<PartDigest>& source,
                                       const std::vector<PartDigest>& target) {
  std::vector<std::size_t> unequal;
  for (std::size_t i = 0; i < source.size(); ++i)
    if (source[i] != target[i]) unequal.push_back(i);
  return unequal;
}

}  // namespace

// Asked once: a server that digests otherwise later makes digests differ, and rows are read.
Status Sweep::ask_servers() {
  if (servers_agree_) return {};
  LOCKSTEP_ASSIGN(const std::string source, ports_.source.digest_probe());
  LOCKSTEP_ASSIGN(const std::string target, ports_.target.digest_probe());
  servers_agree_ = !source.empty() && source == target;
  return {};
}

// Why rows of the table are read though the servers could digest them; "": they do.
std::string Sweep::why_read(const Table& table) const {
  if (!options_.digests) return "reconcile.digests is off";
  if (!table.orders.empty()) return table.orders;
  if (table.ranges.two_orders()) return "the target had far more rows than the source in a range";
  if (table.compared && !table.compared->all_by_bytes()) return "a column has `compare: value`";
  if (table.compared && table.compared->translates()) return "its values hold OIDs of types";
  if (servers_agree_ == false) return "the two servers do not hash alike";
  return table.no_digests;
}

// How the range that is next is digested, but for its parts; nothing: its rows are read.
Result<std::optional<DigestForm>> Sweep::next_form(Table& table) {
  if (options_.digests) LOCKSTEP_TRY(ask_servers());
  if (!why_read(table).empty()) return std::optional<DigestForm>();
  if (table.read_whole > 0) {
    --table.read_whole;
    return std::optional<DigestForm>();
  }
  DigestForm form{.seed = table.seed};
  for (std::size_t i = 0; i < table.map.columns.size(); ++i)
    form.may_be_null.push_back(!table.map.source_column(i).not_null);
  return std::optional(std::move(form));
}

// What cut_in_parts() asks the servers for.  A part of a partitioned table is looked up in each of
// its leaves, so that many of them make fewer parts.
Sweep::Cutting Sweep::cutting_of(const Table& table, const Coverage::Due& due,
                                 std::uint64_t rows) const {
  const std::size_t most =
      std::min(options_.parts_max, ChunkReader::kKeyCellsMax / table.map.key.size());
  const std::uint64_t part_rows =
      options_.part_rows *
      std::max<std::uint64_t>(1, table.map.source.leaves.size() / kLeavesOfPart);
  Cutting cutting{.range = due.range};
  cutting.every = std::min(rows, std::max(part_rows, 2 * rows / most + 1));
  cutting.parts = rows / cutting.every;
  cutting.wanted = due.known ? 2 * cutting.parts : cutting.parts;
  cutting.asked_at = shared_.clock.now();
  return cutting;
}

// While the target has still to digest a range the source has nothing to do but this.  Keys of an
// older snapshot divide a range as well as others.
Status Sweep::look_ahead(Table& table) {
  if (!std::exchange(work_.looked_ahead, true)) {
    table.ahead.reset();
    if (!(table.asked || table.heals()) || table.read_whole > 0) return {};
    const std::uint64_t rows = rows_wanted(table);
    if (const auto due = table.ranges.due(due_before(table), rows))
      work_.ahead = cutting_of(table, *due, rows);
  }
  if (!work_.ahead) return {};
  LOCKSTEP_ASSIGN(auto bounds, ask_bounds(*work_.ahead));
  if (!bounds) return {};
  table.ahead = std::exchange(work_.ahead, std::nullopt);
  table.ahead->bounds = std::move(*bounds);
  return {};
}

// Nothing: they have not come yet.
Result<std::optional<std::vector<std::string>>> Sweep::ask_bounds(const Cutting& cutting) {
  if (!std::exchange(work_.bounds_asked, true)) {
    const TableMap& view = tables_[work_.table]->compared->view(From::Source);
    LOCKSTEP_TRY(ports_.source.start_bounds(view, cutting.range, cutting.every, cutting.wanted));
  }
  LOCKSTEP_ASSIGN(auto bounds, ports_.source.read_bounds(options_.digest_wait));
  work_.bounds_asked = !bounds.has_value();
  return bounds;
}

// What the source answered before; one of a while ago no longer says how many rows there are.
bool Sweep::known_ahead(Table& table, Cutting& cutting) const {
  std::optional<Cutting> ahead = std::exchange(table.ahead, std::nullopt);
  if (!ahead || ahead->range != cutting.range || ahead->every != cutting.every ||
      cutting.asked_at - ahead->asked_at >= kAheadKept)
    return false;
  if (ahead->wanted < cutting.wanted && ahead->bounds.size() == ahead->wanted) return false;
  cutting.bounds = std::move(ahead->bounds);
  cutting.bounds.resize(std::min(cutting.bounds.size(), cutting.wanted));
  return true;
}

// As cut(), with the bounds of the range's parts.
Result<Sweep::Step> Sweep::cut_in_parts() {
  Table& table = *tables_[work_.table];
  Cutting& cutting = *work_.cutting;
  if (work_.bounds_asked || !known_ahead(table, cutting)) {
    LOCKSTEP_ASSIGN(auto bounds, ask_bounds(cutting));
    if (!bounds) return Step::Working;
    cutting.bounds = std::move(*bounds);
  }
  if (cutting.bounds.size() == cutting.wanted) {
    cutting.cut = std::move(cutting.bounds[cutting.parts - 1]);
    cutting.bounds.resize(cutting.parts - 1);
  }
  work_.form->bounds = std::move(cutting.bounds);
  return take_range(std::move(cutting.cut));
}

Status Sweep::start_digest(DigestReader& reader, From side) {
  return reader.start_digest(tables_[work_.table]->compared->view(side), work_.range, *work_.form);
}

Result<Sweep::Step> Sweep::digest() {
  auto stepped = digest_both();
  if (!stepped) return give_up_digests(std::move(stepped).error());
  if (!work_.source_digest || !work_.target_digest || work_.ahead) return *stepped;
  auto judged = judge_digests();
  if (!judged) return give_up_digests(std::move(judged).error());
  return judged;
}

Result<Sweep::Step> Sweep::digest_both() {
  Table& table = *tables_[work_.table];
  const Compared& compared = *table.compared;
  bool working = false;
  if (!work_.source_digest) {
    LOCKSTEP_ASSIGN(work_.source_digest, ports_.source.read_digest(options_.digest_wait));
    if (work_.source_digest) {
      LOCKSTEP_TRY(ports_.source.check_shape(compared.view(From::Source)));
      steer(table, rows_in(*work_.source_digest));
    }
    working = true;
  }
  if (work_.target == Side::Waiting && is_proven()) {
    LOCKSTEP_TRY(begin_target());
    LOCKSTEP_TRY(start_digest(ports_.target, From::Target));
    work_.target = Side::Reading;
  }
  if (work_.target == Side::Reading) {
    if (work_.source_digest) LOCKSTEP_TRY(look_ahead(table));
    if (!work_.target_digest) {
      LOCKSTEP_ASSIGN(work_.target_digest, ports_.target.read_digest(options_.digest_wait));
      if (work_.target_digest) LOCKSTEP_TRY(ports_.target.check_shape(compared.view(From::Target)));
    }
    working = true;
  }
  return working ? Step::Working : Step::Waiting;
}

Result<Sweep::Step> Sweep::judge_digests() {
  Table& table = *tables_[work_.table];
  if (is_outdated()) {
    finish();
    return Step::Working;
  }
  if (rows_in(*work_.target_digest) > kRowsOfRange * rows_max(table)) return split_orders();
  const std::uint64_t rows = rows_in(*work_.source_digest);
  const std::vector<std::size_t> unequal =
      unequal_parts(*work_.source_digest, *work_.target_digest);
  if (unequal.empty()) {
    table.told.digested += rows;
    LOCKSTEP_TRY(end_range(table, rows, 0));
    finish();
    publish();
    return Step::Working;
  }
  LOCKSTEP_TRY(read_parts(unequal));
  return Step::Working;
}

// The rows of the parts that differ, of both sides; of many of them in ranges that have fewer.
Status Sweep::read_parts(const std::vector<std::size_t>& parts) {
  Table& table = *tables_[work_.table];
  const std::uint64_t rows = rows_in(*work_.source_digest);
  std::uint64_t to_read = 0;
  std::uint64_t of_target = 0;
  for (const std::size_t part : parts) {
    to_read += (*work_.source_digest)[part].rows;
    of_target += (*work_.target_digest)[part].rows;
  }
  const std::uint64_t most = std::max(to_read, of_target);
  if (to_read * kMuchOf > rows) table.read_whole = kRangesAfter;
  if (most * kFewOf > rows) table.chunk_rows = std::min(table.chunk_rows, options_.chunk_rows);
  if (most > options_.chunk_rows && work_.rows_wanted > options_.chunk_rows) {
    table.chunk_rows = options_.chunk_rows;
    finish();
    return {};
  }
  table.told.digested += rows - to_read;
  work_.digested = rows;
  const auto start = [&](DigestReader& reader, From side) {
    const TableMap& view = table.compared->view(side);
    return parts.size() == work_.form->parts()
               ? reader.start_range(view, work_.range)
               : reader.start_parts(view, work_.range, *work_.form, parts);
  };
  LOCKSTEP_TRY(start(ports_.source, From::Source));
  LOCKSTEP_TRY(start(ports_.target, From::Target));
  source_rows_.clear();
  target_rows_.clear();
  state_ = State::Both;
  return {};
}

// What keeps a server from digesting rows need not keep it from sending them.
Result<Sweep::Step> Sweep::give_up_digests(Error error) {
  if (error.reaction == Reaction::Retry || error.reaction == Reaction::Cancel)
    return give_up(std::move(error));
  tables_[work_.table]->no_digests = std::move(error.message);
  finish();
  return Step::Working;
}

}  // namespace lockstep
