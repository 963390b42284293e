#include "tests/sim/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kQueueBytes = std::size_t{1} << 30;  // Nothing ever blocks in one thread.

std::vector<std::unique_ptr<Recent>> make_recents(const SimOptions& options,
                                                  const Visibility& visibility) {
  std::vector<std::unique_ptr<Recent>> recents;
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
    recents.push_back(
        std::make_unique<Recent>(options.tables.size(), options.recent_entries_max, visibility));
  return recents;
}

std::vector<std::unique_ptr<LaneQueue>> make_queues(std::uint32_t lanes) {
  std::vector<std::unique_ptr<LaneQueue>> queues;
  for (std::uint32_t lane = 0; lane < lanes; ++lane)
    queues.push_back(std::make_unique<LaneQueue>(kQueueBytes));
  return queues;
}

std::vector<const TableMap*> pointers(const std::vector<TableMap>& tables) {
  std::vector<const TableMap*> pointers;
  for (const TableMap& table : tables) pointers.push_back(&table);
  return pointers;
}

PlannerOptions planner_options(const SimOptions& options) {
  PlannerOptions planner;
  planner.chunk_rows_first = planner.chunk_rows_max = planner.chunk_rows_min = options.chunk_rows;
  for (const FakeTableOptions& table : options.tables) planner.order.push_back(table.id);
  return planner;
}

RouterOptions router_options(const SimOptions& options, const StreamLog& log) {
  RouterOptions router;
  router.lanes = options.lanes;
  router.item_changes_max = options.item_changes_max;
  router.several_streams = [&log](TableId table) { return log.streams_of(table).size() > 1; };
  router.shared_stream = options.mode == StreamMode::Direct;
  return router;
}

DebtReaderOptions debt_options(const SimOptions& options) {
  DebtReaderOptions debts;
  debts.debts_max = options.chunk_rows + 1;
  debts.piece_bytes = options.piece_bytes;
  debts.attempts_max = 3;
  return debts;
}

}  // namespace

std::vector<TableMap> make_tables(const SimOptions& options) {
  std::vector<TableMap> tables;
  for (const FakeTableOptions& table : options.tables) tables.push_back(fake_table(table));
  return tables;
}

// What was decoded before is not delivered, so that the first snapshots must see all of it (P1).
void begin_migration(const SimOptions& options, const Outside& outside) {
  const FakeSource& source = outside.source;
  const Xid floor = source.snapshot().xmax - 1;
  outside.store.claim();
  for (StreamId stream = 0; stream < outside.log.names().size(); ++stream)
    for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
      outside.store.put_progress(
          0, 0, {outside.log.names()[stream], lane, outside.log.end(stream), 0, floor});
  if (!options.exported) {
    for (const TableMap& table : outside.tables)
      outside.store.put_horizon(table.id, {source.insert_lsn(), 0});
    return;
  }
  outside.exported = FakeExport{outside.log.snapshot(), {}, source.generation()};
  for (const TableMap& table : outside.tables)
    outside.exported->filenodes.push_back(source.filenode(table.id));
}

Unseen Process::current(const Outside& outside, std::uint64_t last_epoch) {
  const CheckpointState& state = outside.checkpoint.state();
  std::vector<LaneIntent> intents;
  for (const auto& [lane, intent] : state.intents) intents.push_back(intent);
  const auto unseen =
      current_unseen(state.incarnation, intents, last_epoch, outside.store.lane_batches());
  if (unseen) return *unseen;
  Unseen largest;
  for (const ProgressRow& row : outside.store.progress())
    largest.floor = std::max(largest.floor, row.max_xid);
  return largest;
}

// A first start stores the tables as they are before anything is read.
std::vector<KnownFiles> Process::known_files(const Outside& outside) {
  std::vector<KnownFiles> known;
  for (const TableMap& table : outside.tables) {
    if (outside.store.files(table.id).empty()) {
      const TableFile now{table.id + 1, outside.source.filenode(table.id), 0, {}};
      outside.store.save_files(table.id, files_text({&now, 1}, 0));
    }
    known.push_back(parse_files(outside.store.files(table.id)));
  }
  return known;
}

// Kafka is asked for exactly the offset; a slot sends whole transactions again.
std::vector<Position> Process::resume(const SimOptions& options, const Outside& outside,
                                      const Progress& progress) {
  std::vector<Position> start;
  for (const std::string& name : outside.log.names()) {
    Position position = progress.resume_point(name);
    if (options.mode == StreamMode::Direct) position.minor = 0;
    if (outside.random.chance(300))
      position.major -= std::min<std::uint64_t>(position.major, outside.random.below(4));
    start.push_back(position);
  }
  return start;
}

Process::Process(const SimOptions& options, const Outside& outside)
    : options_(options),
      outside_(outside),
      last_epoch_(outside.store.epoch()),
      epoch_(outside.store.claim()),
      tables_(pointers(outside.tables)),
      unseen_(current(outside, last_epoch_)),
      visibility_(unseen_.floor, unseen_.xids),
      recents_(make_recents(options, visibility_)),
      queues_(make_queues(options.lanes)),
      progress_(options.lanes, outside.store.progress()),
      board_(options.tables.size()),
      shared_{tables_,   visibility_, recents_,           queues_,
              progress_, board_,      outside.checkpoint, outside.clock},
      planner_(planner_options(options), board_),
      pacer_(0),
      stream_(outside.log, outside.chaos, outside.random, resume(options, outside, progress_)),
      router_(router_options(options, outside.log), shared_),
      probe_(outside.source, outside.chaos),
      debt_source_(outside.source, outside.chaos, exported()),
      debt_target_(outside.store, outside.zombies, outside.chaos, connect()),
      debt_reader_(debt_options(options), shared_, debt_source_, debt_target_),
      proof_(outside.log),
      ledger_(outside.store, outside.chaos),
      watch_(
          shared_, probe_, proof_, ledger_, [](const auto&, const auto&) {}, known_files(outside)) {
  outside_.checkpoint.begin_incarnation({epoch_, unseen_.floor, unseen_.xids});
  for (const FakeTableOptions& table : options.tables)
    board_.set_horizon(table.id, outside.store.horizon(table.id));
  planner_.restore(outside.store.marks());
  turns_.push_back({Actor::Source, 0});
  build_lanes();
  build_scanners();
  turns_.push_back({Actor::Debts, 0});
  turns_.push_back({Actor::Probe, 0});
  turns_.push_back({Actor::Watch, 0});
  busy_.assign(turns_.size(), false);
}

void Process::build_lanes() {
  for (std::uint32_t index = 0; index < options_.lanes; ++index) {
    LaneOptions lane;
    lane.index = index;
    lane.epoch = epoch_;
    lane.first_batch = outside_.store.last_batch(index);
    lane.batch_rows_max = options_.batch_rows_max;
    if (options_.mode == StreamMode::Direct) lane.shared_stream = outside_.log.names().front();
    lane_targets_.push_back(
        std::make_unique<FakeTarget>(outside_.store, outside_.zombies, outside_.chaos, connect()));
    lanes_.push_back(std::make_unique<Lane>(
        lane, shared_, *lane_targets_.back(),
        [&log = outside_.log](StreamId stream) { return log.names()[stream]; }));
    turns_.push_back({Actor::Lane, index});
  }
}

void Process::build_scanners() {
  for (std::uint32_t index = 0; index < options_.scanners; ++index) {
    ScannerOptions scanner;
    scanner.piece_bytes_max = scanner.piece_bytes_min = options_.piece_bytes;
    scanner.item_rows_max = options_.item_rows_max;
    readers_.push_back(std::make_unique<FakeReader>(outside_.source, outside_.chaos, exported()));
    scan_targets_.push_back(
        std::make_unique<FakeTarget>(outside_.store, outside_.zombies, outside_.chaos, connect()));
    scanners_.push_back(std::make_unique<Scanner>(scanner, shared_, planner_, pacer_,
                                                  *readers_.back(), *scan_targets_.back()));
    turns_.push_back({Actor::Scanner, index});
  }
}

Status Process::step_source() {
  if (exported() != nullptr && exported()->held && rule_on(Rule::HoldStream)) return {};
  for (TableId table = 0; table < tables_.size(); ++table)
    if (options_.mode == StreamMode::Kafka && board_.stopped(table))
      LOCKSTEP_TRY(stream_.pause_table(table));
  ChangeBatch batch;
  LOCKSTEP_TRY(stream_.poll(batch, milliseconds(0)));
  CHECK(router_.route(batch));
  for (StreamId stream = 0; stream < stream_.streams().size(); ++stream) {
    const Position least = progress_.resume_point(stream_.streams()[stream]);
    if (least > stream_.acknowledged(stream)) LOCKSTEP_TRY(stream_.acknowledge(stream, least));
  }
  return {};
}

Status Process::step_lane(std::uint32_t lane) {
  constexpr std::size_t kTaken = 2000;
  for (LaneItem& item : queues_[lane]->take(kTaken, milliseconds(0)))
    lanes_[lane]->add(std::move(item));
  LOCKSTEP_TRY(lanes_[lane]->step());
  return {};
}

Status Process::step_watch() {
  LOCKSTEP_ASSIGN(watch_settled_, watch_.look());
  std::set<std::string> paused;
  for (TableId table = 0; table < tables_.size(); ++table) {
    if (!board_.stopped(table)) continue;
    for (const StreamId stream : outside_.log.streams_of(table))
      paused.insert(outside_.log.names()[stream]);
  }
  LOCKSTEP_ASSIGN(const std::string awaited, watch_.advance(paused));
  // What the supervisor does.
  if (exported() != nullptr && (planner_.all_done() || !awaited.empty())) exported()->held = false;
  return {};
}

Result<bool> Process::step(std::size_t turn) {
  if (busy_[turn]) return false;
  busy_[turn] = true;
  const auto [actor, index] = turns_[turn];
  Status done;
  switch (actor) {
    case Actor::Source:
      done = step_source();
      break;
    case Actor::Lane:
      done = step_lane(index);
      break;
    case Actor::Scanner:
      if (auto step = scanners_[index]->step(); !step) done = fail(std::move(step).error());
      break;
    case Actor::Debts:
      if (auto step = debt_reader_.step(); !step) done = fail(std::move(step).error());
      break;
    case Actor::Probe:
      if (auto probed = probe_.probe())
        visibility_.probed(*probed);
      else
        done = fail(std::move(probed).error());
      break;
    case Actor::Watch:
      done = step_watch();
      break;
  }
  busy_[turn] = false;
  LOCKSTEP_TRY(std::move(done));
  return true;
}

std::string Process::describe(std::size_t turn) const {
  constexpr std::string_view names[] = {"source", "lane", "scanner", "debts", "probe", "watch"};
  return fmt::format("{} {}", names[static_cast<std::size_t>(turns_[turn].actor)],
                     turns_[turn].index);
}

std::string Process::why_not_quiet() {
  if (!stream_.at_end()) return "the stream is not at its end";
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane) {
    if (queues_[lane]->bytes() > 0) return fmt::format("lane {} has a queue", lane);
    if (!lanes_[lane]->drained()) return fmt::format("lane {} is not drained", lane);
  }
  if (!planner_.all_done()) return "chunks are left";
  if (!watch_settled_) return "a table was rewritten";
  for (const auto& scanner : scanners_)
    if (!scanner->idle()) return "a scanner is at work: " + scanner->waiting_for();
  if (!debt_reader_.idle()) return "debts are being read";
  return {};
}

bool Process::any_stopped() const {
  for (TableId table = 0; table < tables_.size(); ++table)
    if (board_.stopped(table)) return true;
  return false;
}

}  // namespace lockstep
