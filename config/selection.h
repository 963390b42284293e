// select_tables: which of the source's tables the manifest's rules mean, and where each one goes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "pipeline/model/table.h"

namespace lockstep {

// A user table of the source, as its catalog lists it.
struct ListedTable {
  TableName name;
  std::optional<TableName> root;  // Of a partition: the topmost table.
};

struct SelectedTable {
  TableName source;
  TableName target;
  const ManifestRule* rule = nullptr;  // Borrowed from the manifest.
};

struct Selection {
  std::vector<SelectedTable> tables;  // In backfill's order.
  std::vector<Problem> problems;
};

// An exact name wins over globs, a later glob over an earlier one.  Globs leave out partitions:
// their rows come through the root; an exact rule may name one.
// Reports rules that match nothing, tables that share a target or a printed name, a leaf copied
// beside its root.
Selection select_tables(const Manifest& manifest, std::span<const ListedTable> listed);

}  // namespace lockstep
