#include "pipeline/apply/fold.h"

#include <algorithm>
#include <unordered_set>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

bool reads_source(const Effect& effect) { return effect.rule == DebtRule::ClearVisible; }

// Which cells are available, one character each: updates of one shape share a statement.
std::string shape(std::string_view row) {
  std::string shape;
  CellReader cells(row);
  while (!cells.done()) shape.push_back(cells.next().presence == Presence::Unavailable ? '-' : '+');
  return shape;
}

bool same_run(const Run& run, const Effect& effect) {
  return run.table == effect.table && run.kind == effect.kind && run.rule == effect.rule &&
         run.holders == effect.holders && run.snapshot == effect.snapshot;
}

Run new_run(const Effect& effect) {
  return {effect.table, effect.kind, effect.rule, effect.holders, effect.snapshot, {effect.write}};
}

// Keys that only the server can compare: two different hashes may be one row.
bool opaque(const TableMap& table) {
  return std::ranges::find(table.canonical, CanonicalRule::Opaque) != table.canonical.end();
}

// An ordered table: source order is kept, one key at most once in a run, updates one by one.
void add_in_order(std::vector<Run>& runs, const std::vector<Effect>& effects) {
  const std::size_t first = runs.size();
  std::unordered_set<Hash128, Hash128Hasher> keys;  // Of the last run.
  for (const Effect& effect : effects) {
    const bool joins = runs.size() > first && !opaque(*effect.table) &&
                       effect.kind != WriteKind::Update && effect.holders == Holders::Stay &&
                       same_run(runs.back(), effect) && !keys.contains(effect.write.key_hash);
    if (joins) {
      runs.back().writes.push_back(effect.write);
    } else {
      runs.push_back(new_run(effect));
      keys.clear();
    }
    keys.insert(effect.write.key_hash);
  }
}

// Any order of keys is right: one run per kind of statement.
void add_grouped(std::vector<Run>& runs, const std::vector<Effect>& effects) {
  std::vector<std::pair<std::string, std::size_t>> updates;  // Shape, index into runs.
  const std::size_t first = runs.size();
  for (const Effect& effect : effects) {
    if (effect.kind == WriteKind::Update) {
      std::string key = shape(effect.write.row);
      const auto found = std::ranges::find(updates, key, [](const auto& u) { return u.first; });
      if (found != updates.end()) {
        runs[found->second].writes.push_back(effect.write);
        continue;
      }
      updates.emplace_back(std::move(key), runs.size());
      runs.push_back(new_run(effect));
      continue;
    }
    const auto found = std::find_if(runs.begin() + static_cast<std::ptrdiff_t>(first), runs.end(),
                                    [&](const Run& run) { return same_run(run, effect); });
    if (found != runs.end())
      found->writes.push_back(effect.write);
    else
      runs.push_back(new_run(effect));
  }
}

}  // namespace

Fold::TableStages& Fold::stages_of(const TableMap* table) {
  const auto found =
      std::ranges::find(tables_, table, [](const TableStages& t) { return t.table; });
  if (found != tables_.end()) return *found;
  tables_.push_back({table, {}});
  tables_.back().stages.emplace_back();
  return tables_.back();
}

void Fold::add(const Effect& effect) {
  TableStages& table = stages_of(effect.table);
  Stage* stage = &table.stages.back();
  if (effect.table->ordered) {
    // Only neighbours of one key may fold: nothing of another key lies between them.
    const bool neighbour = !stage->effects.empty() &&
                           stage->effects.back().write.key_hash == effect.write.key_hash &&
                           !opaque(*effect.table);
    if (neighbour && fold(stage->effects.back(), effect)) return;
    stage->effects.push_back(effect);
    return;
  }
  const auto [found, fresh] =
      stage->by_key.try_emplace(effect.write.key_hash, stage->effects.size());
  if (!fresh) {
    if (fold(stage->effects[found->second], effect)) return;
    table.stages.emplace_back();
    stage = &table.stages.back();
    stage->by_key.emplace(effect.write.key_hash, 0);
  }
  stage->effects.push_back(effect);
}

bool Fold::fold(Effect& prior, const Effect& next) {
  if (next.holders != Holders::Stay || prior.holders != Holders::Stay) return false;
  if (prior.kind == WriteKind::Forget || next.kind == WriteKind::Forget) return false;
  if (next.kind == WriteKind::OpenDebt) return false;
  if (prior.kind == WriteKind::OpenDebt) {
    // What clears all debts of the key clears this one, before it was there.
    if (next.kind == WriteKind::Update || next.rule != DebtRule::Clear) return false;
    prior = next;
    return true;
  }
  if (next.kind != WriteKind::Update) {
    // A whole image or a delete replaces what came before, and its debts with it.
    if (reads_source(prior) && reads_source(next) && prior.snapshot != next.snapshot) return false;
    const bool cleared = prior.rule == DebtRule::Clear;
    prior = next;
    if (cleared) {
      prior.rule = DebtRule::Clear;
      prior.snapshot = nullptr;
    }
    return true;
  }
  if (prior.kind == WriteKind::Delete) return false;  // Hits no row: that is a debt, not a fold.
  Write write = next.write;
  if (rule_on(Rule::FoldPartialIntoFull) || prior.kind == WriteKind::Update)
    write.row = merge(prior.write.row, next.write.row);
  if (next.write.debt == DebtReason::None) {
    write.debt = prior.write.debt;
    write.detail = prior.write.detail;
  }
  write.commit_us = std::min(prior.write.commit_us, next.write.commit_us);
  prior.write = write;
  return true;
}

std::string_view Fold::merge(std::string_view prior, std::string_view next) {
  scratch_.clear();
  CellReader old_cells(prior);
  CellReader new_cells(next);
  while (!new_cells.done()) {
    const Cell old_cell = old_cells.next();
    const Cell new_cell = new_cells.next();
    append_cell(scratch_, new_cell.presence == Presence::Unavailable ? old_cell : new_cell);
  }
  return arena_.store(scratch_);
}

std::vector<Run> Fold::runs() {
  std::vector<Run> runs;
  for (const TableStages& table : tables_) {
    for (const Stage& stage : table.stages) {
      if (table.table->ordered)
        add_in_order(runs, stage.effects);
      else
        add_grouped(runs, stage.effects);
    }
  }
  return runs;
}

void Fold::clear() {
  tables_.clear();
  arena_.clear();
}

}  // namespace lockstep
