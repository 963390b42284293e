// FakeReader and FakeProbe: connections to the fake source, as scanners and the probe use them.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/ports/digests.h"
#include "pipeline/ports/probe.h"
#include "tests/fakes/chaos.h"
#include "tests/fakes/fake_source.h"

namespace lockstep {

// What ExportedSnapshot is to real readers.
struct FakeExport {
  Snapshot snapshot;
  std::vector<std::uint32_t> filenodes;  // By table: of a newer file it sees nothing.
  std::uint64_t generation = 0;          // Of the source: dies with its crash,
  bool alive = true;                     // and with its session.
  bool held = true;                      // The stream is held back.
};

// What a server makes of the rows of one part; `table`: as the reader is given it.
PartDigest digest_of(const TableMap& table, const std::vector<std::string>& rows,
                     std::uint64_t seed);
KeyRange part_of(const KeyRange& range, const DigestForm& form, std::size_t part);

class FakeReader final : public DigestReader {
 public:
  // `exported` may be null.
  FakeReader(FakeSource& source, Chaos& chaos, FakeExport* exported)
      : source_(source), chaos_(chaos), exported_(exported) {}
  ~FakeReader() override { end(); }

  Result<std::optional<std::string>> bound_after(const TableMap& table, const KeyRange& range,
                                                 std::uint64_t rows) override;
  Result<OpenSnapshot> begin() override;
  Result<bool> flushed(Lsn lsn) override;
  Status start_range(const TableMap& table, const KeyRange& range) override;
  Status start_keys(const TableMap& table, std::span<const std::string> keys) override;
  Result<bool> read(RowBatch& out, std::size_t max_bytes) override;
  Status check_shape(const TableMap& table) override;
  void end() override;
  Result<std::string> digest_probe() override { return std::string("alike"); }
  Status start_bounds(const TableMap& table, const KeyRange& range, std::uint64_t every,
                      std::size_t most) override;
  Result<std::optional<std::vector<std::string>>> read_bounds(
      std::chrono::milliseconds wait) override;
  Status start_digest(const TableMap& table, const KeyRange& range,
                      const DigestForm& form) override;
  Result<std::optional<std::vector<PartDigest>>> read_digest(
      std::chrono::milliseconds wait) override;
  Status start_parts(const TableMap& table, const KeyRange& range, const DigestForm& form,
                     std::span<const std::size_t> parts) override;

 private:
  // The source crashed since begin(), or chance has it so.
  bool lost(std::string_view where);
  bool imports();
  bool is_in(const TableMap& table, const KeyRange& range, const FakeRow& row) const;
  Status start(const TableMap& table);
  Result<std::vector<std::string>> bounds_after(const TableMap& table, const KeyRange& range,
                                                std::uint64_t every, std::size_t most);
  void take_rows(const TableMap& table, const KeyRange& range);

  FakeSource& source_;
  Chaos& chaos_;
  FakeExport* const exported_;
  std::optional<Snapshot> snapshot_;
  bool imported_ = false;
  bool blind_ = false;  // The table's file is newer than the imported snapshot.
  std::uint64_t generation_ = 0;
  std::optional<TableId> locked_;
  std::uint32_t filenode_ = 0;
  std::uint32_t tree_version_ = 0;
  std::vector<std::string> rows_;
  std::size_t next_ = 0;
  std::vector<PartDigest> digest_;
  bool digest_asked_ = false;
  std::optional<std::vector<std::string>> bounds_;  // Asked for, and not read yet.
  bool bounds_awaited_ = false;
};

class FakeProbe final : public SourceProbe {
 public:
  FakeProbe(FakeSource& source, Chaos& chaos) : source_(source), chaos_(chaos) {}

  // Answers only once the log is flushed past what the snapshot sees: a crash of the source could
  // take an unflushed transaction back and give its number to another one, which this snapshot
  // would then wrongly claim to see.
  Result<Snapshot> probe() override;
  std::int64_t clock_us() const override { return source_.clock_us; }
  Result<Xid> assign_xid() override;
  // Its commit flushes the log.
  Result<Lsn> emit_marker() override;
  Result<Lsn> insert_lsn() override { return source_.insert_lsn(); }
  Result<std::vector<BlockingTransaction>> blockers(Xid) override { return {}; }
  Result<std::vector<std::vector<TableFile>>> files(
      std::span<const TableMap* const> tables) override;
  Result<std::vector<TableSpec>> definitions(std::span<const TableMap* const> tables) override;
  Result<bool> has_rows(std::uint32_t) override { return true; }

 private:
  FakeSource& source_;
  Chaos& chaos_;
  std::optional<Snapshot> candidate_;
  Lsn candidate_lsn_ = 0;
  std::uint64_t generation_ = 0;
};

}  // namespace lockstep
