#include "tests/sim/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kQueueBytes = std::size_t{1} << 30;  // Nothing ever blocks in one thread.
constexpr std::size_t kTakenBytes = 2000;

std::vector<const TableMap*> pointers(const std::vector<TableMap>& tables) {
  std::vector<const TableMap*> pointers;
  for (const TableMap& table : tables) pointers.push_back(&table);
  return pointers;
}

Unseen current_unseen_of(const Outside& outside, std::uint64_t last_epoch) {
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

}  // namespace

std::vector<TableMap> make_tables(const SimOptions& options) {
  std::vector<TableMap> tables;
  for (const FakeTableOptions& table : options.tables) {
    tables.push_back(fake_table(table));
    if (options.orders == Orders::Told) tables.back().target.columns[0].order = "the last bits";
  }
  return tables;
}

// What was decoded before is not delivered, so that the first snapshots must see all of it (P1).
void begin_migration(const SimOptions& options, const Outside& outside) {
  FakeSource& source = outside.source;
  source.flush(source.insert_lsn());
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

// A first start stores the tables as they are before anything is read.
std::vector<KnownFiles> Process::known_files() const {
  std::vector<KnownFiles> known;
  for (const TableMap& table : outside_.tables) {
    if (outside_.store.files(table.id).empty()) {
      const Definition definition = definition_of(outside_.source.definition(table.id));
      outside_.store.save_files(table.id,
                                files_text(outside_.source.files(table.id), 0, definition));
    }
    known.push_back(parse_files(outside_.store.files(table.id)).value());
  }
  return known;
}

// Kafka is asked for exactly the offset; a slot sends whole transactions again.
std::vector<Position> Process::resume() const {
  const Progress progress(options_.lanes, outside_.store.progress());
  std::vector<Position> start;
  for (const std::string& name : outside_.log.names()) {
    Position position = progress.resume_point(name);
    if (options_.mode == StreamMode::Direct) position.minor = 0;
    if (outside_.random.chance(300))
      position.major -= std::min<std::uint64_t>(position.major, outside_.random.below(4));
    start.push_back(position);
  }
  return start;
}

// As `prepare` fills them in.
RunOptions Process::run_options() {
  RunOptions run;
  run.lanes = options_.lanes;
  run.epoch = epoch_;
  run.until_synced = options_.until_synced;
  const Unseen unseen = current_unseen_of(outside_, last_epoch_);
  run.snapshot_floor = unseen.floor;
  run.unseen = unseen.xids;
  outside_.checkpoint.begin_incarnation({epoch_, unseen.floor, unseen.xids});
  run.progress = outside_.store.progress();
  if (options_.mode == StreamMode::Direct) run.shared_stream = outside_.log.names().front();
  run.marks = outside_.store.marks();
  for (const FakeTableOptions& table : options_.tables) {
    run.horizons.emplace_back(table.id, outside_.store.horizon(table.id));
    run.planner.order.push_back(table.id);
  }
  run.files = known_files();
  run.sweep.chunk_rows = options_.chunk_rows;
  run.sweep.piece_bytes = options_.piece_bytes;
  run.sweep.keys_max = 2;
  run.sweep.many_keys_max = 3;
  run.sweep.continuous = options_.sweep_continuous;
  run.sweep.every = options_.sweep_every;
  run.sweep.look_every = std::max(options_.sweep_every, std::chrono::seconds(1));
  run.sweep.share = 1;
  run.sweep.repairs = options_.repairs;
  run.sweep.repair_share_max = options_.repair_share_max;
  run.sweep.repairs_per_minute = options_.repairs_per_minute;
  run.sweep.doubts_max = options_.doubts_max;
  run.sweep.doubts_to_hold = options_.doubts_to_hold;
  run.sweep.sample_per_second = options_.sample_per_second;
  run.sweep.digests = options_.digests;
  run.sweep.part_rows = 2;
  run.sweep.digested_rows_max = 4 * options_.chunk_rows;
  run.sweep.digest_wait = milliseconds(0);
  run.sweep.hold_limit = milliseconds(options_.hold_limit_ms);
  run.sweep.held_max = 2;
  run.sweep.arrival_wait = milliseconds(0);
  // A stream that repeats itself takes rows back for a moment, which only looking again tells.
  run.sweep.confirmations = options_.mode == StreamMode::Direct ? 0 : 2;
  run.planner.chunk_rows_first = run.planner.chunk_rows_max = run.planner.chunk_rows_min =
      options_.chunk_rows;
  run.scanner.piece_bytes_max = run.scanner.piece_bytes_min = options_.piece_bytes;
  run.scanner.item_rows_max = options_.item_rows_max;
  run.debts.debts_max = options_.chunk_rows + 1;
  run.debts.piece_bytes = options_.piece_bytes;
  if (options_.looks_always)
    run.supervisor = {milliseconds(0), milliseconds(0), milliseconds(0),      milliseconds(0),
                      milliseconds(0), milliseconds(0), milliseconds(15'000), 2};
  run.queue_bytes_max = kQueueBytes;
  run.taken_bytes_max = kTakenBytes;
  run.item_changes_max = options_.item_changes_max;
  run.batch_rows_max = options_.batch_rows_max;
  run.recent_entries_max = options_.recent_entries_max;
  run.acknowledge_every = milliseconds(0);
  run.hold_stream = [this](std::string_view why) {
    if (exported() == nullptr) return false;
    exported()->held = exported()->held && why.empty();
    return exported()->held;
  };
  return run;
}

RunPorts Process::run_ports() {
  const auto target = [this] {
    return std::make_unique<FakeTarget>(outside_.store, outside_.zombies, outside_.chaos,
                                        connect());
  };
  std::vector<std::unique_ptr<Target>> lane_targets;
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane) {
    auto made = target();
    lane_targets_.push_back(made.get());
    lane_targets.push_back(std::move(made));
  }
  std::vector<ScanPorts> scans;
  for (std::uint32_t scan = 0; scan < options_.scanners; ++scan) {
    auto reader = std::make_unique<FakeReader>(outside_.source, outside_.chaos, exported());
    scans.push_back({std::move(reader), target()});
  }
  return {stream_,
          probe_,
          marker_probe_,
          proof_,
          ledger_,
          outside_.checkpoint,
          outside_.clock,
          events_,
          std::move(lane_targets),
          std::move(scans),
          {compare_source_, compare_target_, compare_target_, outside_.checkpoint.verified()},
          outside_.control,
          meters_};
}

Process::Process(const SimOptions& options, const Outside& outside)
    : options_(options),
      outside_(outside),
      last_epoch_(outside.store.epoch()),
      epoch_(outside.store.claim()),
      events_(outside.chaos),
      stream_(outside.log, outside.chaos, outside.random, resume(), exported()),
      probe_(outside.source, outside.chaos),
      marker_probe_(outside.source, outside.chaos),
      proof_(outside.log, outside.chaos),
      ledger_(outside.store, outside.chaos),
      compare_source_(outside.source, outside.chaos, nullptr),
      compare_target_(outside.store, outside.tables, outside.chaos, options.orders != Orders::One),
      run_(run_options(), pointers(outside.tables), run_ports()) {
  if (!options.alike) compare_target_.digest_otherwise();
  turns_.push_back({Actor::Source, 0});
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane) turns_.push_back({Actor::Lane, lane});
  for (std::uint32_t scan = 0; scan < options.scanners; ++scan)
    turns_.push_back({Actor::Reader, scan});
  turns_.push_back({Actor::Probe, 0});
  turns_.push_back({Actor::Supervisor, 0});
  turns_.push_back({Actor::Sweep, 0});
}

Result<Assembly::Turn> Process::step_run(Turn turn) {
  switch (turn.actor) {
    case Actor::Source:
      return run_.step_source(milliseconds(0));
    case Actor::Lane:
      return run_.step_lane(turn.index, milliseconds(0));
    case Actor::Reader:
      return run_.step_read(turn.index);
    case Actor::Chunk:
      return run_.step_chunk(turn.index);
    case Actor::Debts:
      return run_.step_debts();
    case Actor::Probe:
      return run_.step_probe();
    case Actor::Sweep:
      return run_.step_sweep();
    case Actor::Supervisor:
      break;
  }
  if (draining()) return Assembly::Turn::Over;  // The program's main thread waits for the others.
  LOCKSTEP_ASSIGN(reached_, run_.tick());
  return Assembly::Turn::Busy;
}

Status Process::step(Turn turn) {
  if (std::ranges::find(busy_, turn) != busy_.end()) return {};
  busy_.push_back(turn);
  const auto done = step_run(turn);
  std::erase(busy_, turn);
  std::erase(waiting_, turn);
  // What keeps the sweep from comparing says nothing of being synced.
  const bool counts = turn.actor != Actor::Sweep;
  if (counts && !done && done.error().reaction == Reaction::Retry) waiting_.push_back(turn);
  if (done && *done == Assembly::Turn::Over) over_.push_back(turn);
  if (draining() && busy_.empty()) end_stages();
  if (!done) return std::unexpected(done.error());
  return {};
}

void Process::sweep() {
  std::vector<TableId> all;
  for (const TableMap& table : outside_.tables) all.push_back(table.id);
  run_.sweep(std::move(all));
}

void Process::drain() {
  run_.draining();
  stage_ = 0;
  run_.end(Assembly::Part::Source);
}

// Goes to the next stage once every part of this one is over, as joining its threads tells.
void Process::end_stages() {
  constexpr Actor kActors[kStages] = {Actor::Source, Actor::Reader, Actor::Lane, Actor::Probe};
  while (stage_ < kStages) {
    const bool left = std::ranges::any_of(turns_, [&](const Turn& turn) {
      const Actor actor = turn.actor == Actor::Sweep ? Actor::Reader : turn.actor;
      return actor == kActors[*stage_] && std::ranges::find(over_, turn) == over_.end();
    });
    if (left) return;
    if (++*stage_ < kStages) run_.end(static_cast<Assembly::Part>(*stage_));
  }
  run_.acknowledge_last();
}

std::string Process::describe(Turn turn) const {
  constexpr std::string_view names[] = {"source",     "lane",  "reader", "probe",
                                        "supervisor", "sweep", "chunk",  "debts"};
  return fmt::format("{} {}", names[static_cast<std::size_t>(turn.actor)], turn.index);
}

}  // namespace lockstep
