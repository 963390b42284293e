// FakeStream: the source's log as a ChangeSource delivers it: Kafka's partitions, or one slot.
//
// StreamLog is what lives outside our process (the topics); FakeStream reads it and dies with us.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/key.h"
#include "pipeline/ports/proof.h"
#include "pipeline/ports/source.h"
#include "tests/fakes/chaos.h"
#include "tests/fakes/fake_reader.h"
#include "tests/fakes/fake_source.h"
#include "tests/fakes/random.h"

namespace lockstep {

enum class StreamMode : std::uint8_t { Kafka, Direct };

// What is wrong with the way from the source's log to us, while our own positions look well.
enum class StreamFault : std::uint8_t {
  None,
  SkipTransaction,       // Nothing of a transaction comes.
  AdvanceOnKeepalive,    // A position is told that lies behind what was not delivered.
  DropAtSharedPosition,  // Of two events at one position the first comes alone.
  Reorder,               // The changes of a transaction come last first.
  StopEarly,             // Nothing comes any more, and that is no error.
};

// The topics' partitions, or the slot.  Outlives our process.
class StreamLog {
 public:
  // `partitions`: of each table's topic; with Direct there is one stream for all.
  StreamLog(StreamMode mode, const FakeSource& source, std::vector<std::uint32_t> partitions);

  struct Record {
    Position next;
    std::vector<Change> events;  // More than one: the halves of a key change at one position.
  };

  // Puts the next committed transaction into the stream.  Returns false when none is decodable.
  bool decode(bool offset_hole);
  // The connector starts again and repeats the last `transactions`.  Kafka only.
  void repeat(std::size_t transactions);
  // A snapshot event for a row: says nothing but "read this key again".
  void emit_reread(TableId table, int id);

  // From the next transaction on.
  void set_fault(StreamFault fault) { fault_ = fault; }
  StreamFault fault() const { return fault_; }

  StreamMode mode() const { return mode_; }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Record>& records(StreamId stream) const { return streams_[stream].records; }
  // Everything of the stream lies before it.
  Position end(StreamId stream) const { return streams_[stream].end; }
  // Sees what is decoded and nothing else, visible yet or not: what a new slot exports.
  Snapshot snapshot() const;
  bool decoded_all() const;
  // Whether everything committed up to `lsn` is decoded; then it is never repeated.
  bool confirm(Lsn lsn);
  std::set<StreamId> streams_of(TableId table) const;
  const TableMap& map(TableId table) const { return source_.map(table); }
  std::uint32_t partitions(TableId table) const { return partitions_[table]; }

 private:
  struct Stream {
    std::vector<Record> records;
    Position end;
  };

  void owe_other_half(const Change& other, Record& half) const;
  void append(const LoggedTransaction& transaction, Position before, bool offset_hole);
  StreamId stream_of(const Change& change) const;

  const StreamMode mode_;
  const FakeSource& source_;
  const std::vector<std::uint32_t> partitions_;  // By table.
  std::vector<std::string> names_;
  std::vector<StreamId> first_;  // By table: its partition 0.
  std::vector<Stream> streams_;
  StreamFault fault_ = StreamFault::None;
  std::size_t decoded_ = 0;    // Transactions of the source's log.
  std::size_t confirmed_ = 0;  // The connector does not go back behind them.
};

class FakeProof final : public StreamProof {
 public:
  FakeProof(StreamLog& log, Chaos& chaos) : log_(log), chaos_(chaos) {}
  Result<Answer> reached(Lsn lsn) override;

 private:
  StreamLog& log_;
  Chaos& chaos_;
};

class FakeStream final : public ChangeSource {
 public:
  // `start`: by stream, where to read on.  `exported`: holds the stream back; may be null.
  FakeStream(const StreamLog& log, Chaos& chaos, Random& random, const std::vector<Position>& start,
             const FakeExport* exported);

  const std::vector<std::string>& streams() const override { return log_.names(); }
  // Takes a few changes of each stream, the streams in any order.
  Polled poll(std::chrono::milliseconds deadline) override;
  Status pause_table(TableId table) override;
  std::vector<std::string> streams_of(TableId table) const override;
  Status acknowledge(StreamId stream, Position position) override;

  // The table's next event cannot be decoded.
  void break_table(TableId table) { breaks_ = table; }
  // How many records one poll takes of a stream at most.
  void set_burst(std::size_t records) { burst_ = records; }

 private:
  void read(ChangeBatch& batch);
  bool held() const;
  bool stops(StreamId stream, ChangeBatch& batch);
  void leave_out(TableId table);
  bool paused(const Change& change) const { return paused_.contains(change.table); }

  const StreamLog& log_;
  Chaos& chaos_;
  Random& random_;
  const FakeExport* const exported_;
  std::vector<std::size_t> next_;  // By stream: index of the next record.
  std::vector<Position> acknowledged_;
  std::vector<Position> told_;  // By stream: the last watermark.
  std::set<TableId> paused_;
  std::set<StreamId> halted_;  // A paused table's partitions.
  std::optional<TableId> breaks_;
  std::size_t burst_ = 4;
};

}  // namespace lockstep
