// ShapeWatch: notices what the stream does not tell: a table that was rewritten or defined in
// another way, partitions that came or went (I15).
//
//   catalogs -- files, definitions --> ShapeWatch -- stop, heal, or every chunk again -->
//   TableBoard
//                                                 -- what the rows stem from ---------->
//                                                 bookkeeping
//
// A rewrite may have changed every row without an event (ALTER TABLE ... USING): the table is
// copied again.  A partition that was attached brings rows without events: it alone is copied, once
// all the rest is.  Older events would undo that, so first all of them are applied.  A partition
// that went, or was truncated by itself, leaves rows on the target, and of a table that was out of
// the stream for a while anything may have changed: a comparison finds which (the heal).  What a
// changed definition means is said by tables/definition.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/merge/passage.h"
#include "pipeline/ports/ledger.h"
#include "pipeline/ports/probe.h"
#include "pipeline/ports/proof.h"
#include "pipeline/tables/definition.h"

namespace lockstep {

using TableFiles = std::vector<TableFile>;

// "@horizon relation/node/bond relation/node/bond ...", and the definition on the lines below, as
// the bookkeeping stores it.  `horizon`: the table's, from before its files were read; each
// TRUNCATE that is carried out raises it.  A partition's node is 0 while its rows may be on the
// target in part.
std::string files_text(std::span<const TableFile> files, Lsn horizon, const Definition& definition);
// The same files, with the mark that the table is to be copied again whatever they are now.
std::string copy_again_text(std::string_view text);
// Likewise, with the mark that a heal is due, in place of an older one: `asked` tells them apart.
std::string heal_text(std::string_view text, std::uint64_t asked);

struct KnownFiles {
  TableFiles files;            // Without names.
  std::optional<Lsn> horizon;  // Unknown of files that an older lockstep stored.
  Definition definition;       // Empty where none is known.
  bool copy_again = false;
  std::optional<std::uint64_t> heals;  // As heal_text() was told; 0: it was not.
};
// The reverse of all three; nothing of a text that is none of theirs.
std::optional<KnownFiles> parse_files(std::string_view text);

// Supervisor thread only.
//
// Invariant: the stored files of a table are those that all its done chunks were read from, or
// older ones; while a heal is due they are older ones, so that a restart misses the same.  They
// name every partition of which rows may be on the target, as far as a look has seen it.
class ShapeWatch {
 public:
  enum class News : std::uint8_t {
    CopiedAgain,      // The table is to be; `what`: why.
    PartitionCopied,  // `what` is to be.
    Heals,            // The table does; `what`: why.
    Healed,           // It has.
  };
  struct Tell {
    std::function<void(News news, const std::string& table, const std::string& what)> news;
    std::function<void(const TargetChange& change)> of_target;  // A target's table that goes on.
  };

  // `known`: by TableId, as the bookkeeping holds them.
  ShapeWatch(Shared shared, SourceProbe& probe, StreamProof& proof, Ledger& ledger, Tell tell,
             std::vector<KnownFiles> known);

  // Looks at the source's catalog.  Returns whether every table that goes on is as it was copied.
  Result<bool> look();
  // Whether every table that goes on was, at the last look, as it was copied.
  bool settled() const;
  // Why changes of the table were in no stream at the last look, with the way on; "": they were.
  const std::string& gap(TableId id) const { return tables_[id].gap; }
  // Goes on with what was noticed: waits until the stream has passed it, then has it copied again.
  // Streams in `paused` are left out.  Returns what is waited for; empty: nothing.
  Result<std::string> advance(const std::set<std::string>& paused);

 private:
  struct Table {
    TableFiles files;           // Settled: of all its chunks; else what is to be copied.
    TableFiles stored;          // As the bookkeeping has them, ...
    bool stored_again = false;  // ... with the mark of copy_again_text(), ...
    std::optional<std::uint64_t> stored_heals;  // ... with that of heal_text().
    std::string seen;                           // The files at the last look.
    std::uint32_t partition = 0;                // Noticed: it came with rows, and nothing else did.
    bool is_behind = false;  // More partitions with rows have to wait for their turn.
    // One of all leaves, which were replaced: was it a TRUNCATE of the root?
    std::optional<TableFile> truncated;
    std::optional<Lsn> horizon;  // As stored with the settled files.
    Definition settled;          // As stored with them.
    Definition latest;           // As last read, ...
    std::uint64_t version = 0;   // ... after the catalog said this.
    bool fresh = false;          // Found changed in this look: it may be younger than the files.
    std::string gap;             // TableFile::gap of the root.

    // `text` of files with the marks of those that are stored: they last until settle().
    [[nodiscard]] std::string marked(std::string text) const;
  };

  Status look_at_definitions(const std::vector<TableFiles>& now);
  Status judge_definition(TableId id, const TableSpec& spec);
  Status judge_source(TableId id, const TableSpec& spec);
  Status look_at_target();
  Result<std::uint32_t> take_in_turn(TableId id, TableFiles& now);
  Status judge(TableId id, const TableFiles& now, std::uint32_t came);
  Status settle(TableId id, const TableFiles& now, Lsn horizon);
  Status copy_again();
  Status note_partitions(TableId id, const TableFiles& now);
  void notice(TableId id, const std::string& why, const TableFile* partition = nullptr);
  // Heals it, or stops it where the manifest says so.
  void miss(TableId id, const std::string& what, const std::string& stop);
  void heal(TableId id, const std::string& why);
  // Heals it, where the manifest does not say otherwise.
  void miss_if_healed(TableId id, const std::string& what);

  const Shared shared_;
  SourceProbe& probe_;
  Ledger& ledger_;
  const Tell tell_;
  Passage before_;             // The events before what was noticed last.
  std::vector<Table> tables_;  // By TableId.
};

}  // namespace lockstep
