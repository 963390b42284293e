// Ranges whose rows stay where they are: both servers digest them, and rows are read only of
// buckets that differ.
//
//   whole range ─ differs ─> its buckets ─ differ ─> their rows ─> judged as all rows are
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

// Ranges that are digested in buckets, or read, after one that differed, or differed much.
constexpr std::uint32_t kRangesAfter = 8;
// Of the rows of a range: where more have to be read, it takes less to read them all.
constexpr std::uint64_t kMuchOf = 4;

std::uint64_t rows_of(const std::vector<BucketDigest>& digests) {
  return std::transform_reduce(digests.begin(), digests.end(), std::uint64_t{0}, std::plus(),
                               [](const BucketDigest& digest) { return digest.rows; });
}

std::vector<std::uint32_t> unequal_buckets(const std::vector<BucketDigest>& source,
                                           const std::vector<BucketDigest>& target) {
  std::vector<std::uint32_t> unequal;
  for (std::uint32_t i = 0; i < source.size(); ++i)
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
  if (table.compared && !table.compared->all_by_bytes()) return "a column has `compare: value`";
  if (table.compared && table.compared->translates()) return "its values hold OIDs of types";
  if (servers_agree_ == false) return "the two servers do not hash alike";
  return table.no_digests;
}

// How the range that is next is digested; nothing: its rows are read.
Result<std::optional<DigestForm>> Sweep::next_form(Table& table) {
  if (options_.digests) LOCKSTEP_TRY(ask_servers());
  if (!why_read(table).empty()) return std::optional<DigestForm>();
  if (table.read_whole > 0) {
    --table.read_whole;
    return std::optional<DigestForm>();
  }
  const bool bucketed = table.bucketed > 0;
  if (bucketed) --table.bucketed;
  return std::optional(
      DigestForm{.seed = table.seed, .buckets = bucketed ? options_.digest_buckets : 1});
}

Status Sweep::start_digest(DigestReader& reader, From side) {
  return reader.start_digest(tables_[work_.table]->compared->view(side), work_.range, *work_.form);
}

Result<Sweep::Step> Sweep::digest() {
  auto stepped = digest_both();
  if (!stepped) return give_up_digests(std::move(stepped).error());
  if (!work_.source_digest || !work_.target_digest) return *stepped;
  auto judged = judge_digests();
  if (!judged) return give_up_digests(std::move(judged).error());
  return judged;
}

Result<Sweep::Step> Sweep::digest_both() {
  const Compared& compared = *tables_[work_.table]->compared;
  bool working = false;
  if (!work_.source_digest) {
    LOCKSTEP_ASSIGN(work_.source_digest, ports_.source.read_digest(options_.digest_wait));
    if (work_.source_digest) {
      LOCKSTEP_TRY(ports_.source.check_shape(compared.view(From::Source)));
      steer(*tables_[work_.table]);
    }
    working = true;
  }
  if (work_.target == Side::Waiting && is_proven()) {
    LOCKSTEP_ASSIGN([[maybe_unused]] const OpenSnapshot snapshot, ports_.target.begin());
    LOCKSTEP_TRY(start_digest(ports_.target, From::Target));
    work_.target = Side::Reading;
  }
  if (work_.target == Side::Reading && !work_.target_digest) {
    LOCKSTEP_ASSIGN(work_.target_digest, ports_.target.read_digest(options_.digest_wait));
    if (work_.target_digest) LOCKSTEP_TRY(ports_.target.check_shape(compared.view(From::Target)));
    working = true;
  }
  return working ? Step::Working : Step::Waiting;
}

Result<Sweep::Step> Sweep::judge_digests() {
  Table& table = *tables_[work_.table];
  if (is_outdated() || too_many_on_target(rows_of(*work_.target_digest))) {
    finish();
    return Step::Working;
  }
  const std::uint64_t rows = rows_of(*work_.source_digest);
  const std::vector<std::uint32_t> unequal =
      unequal_buckets(*work_.source_digest, *work_.target_digest);
  if (unequal.empty()) {
    table.told.digested += rows;
    LOCKSTEP_TRY(end_range(table, rows, 0));
    finish();
    publish();
    return Step::Working;
  }
  table.bucketed = kRangesAfter;
  if (work_.form->buckets == 1 && rows >= options_.bucketed_rows_min)
    LOCKSTEP_TRY(digest_buckets());
  else
    LOCKSTEP_TRY(read_buckets(unequal));
  return Step::Working;
}

Status Sweep::digest_buckets() {
  work_.form->buckets = options_.digest_buckets;
  work_.source_digest.reset();
  work_.target_digest.reset();
  LOCKSTEP_TRY(start_digest(ports_.source, From::Source));
  return start_digest(ports_.target, From::Target);
}

// The rows of the buckets that differ, of both sides.
Status Sweep::read_buckets(const std::vector<std::uint32_t>& buckets) {
  Table& table = *tables_[work_.table];
  std::uint64_t to_read = 0;
  for (const std::uint32_t bucket : buckets) to_read += (*work_.source_digest)[bucket].rows;
  const std::uint64_t rows = rows_of(*work_.source_digest);
  if (to_read * kMuchOf > rows) table.read_whole = kRangesAfter;
  table.told.digested += rows - to_read;
  work_.digested = rows;
  const auto start = [&](DigestReader& reader, From side) {
    const TableMap& view = table.compared->view(side);
    return work_.form->buckets == 1 ? reader.start_range(view, work_.range)
                                    : reader.start_buckets(view, work_.range, *work_.form, buckets);
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
