// Workload: the applications that write to the source while it is being moved.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "tests/fakes/fake_source.h"
#include "tests/fakes/random.h"
#include "tests/sim/options.h"

namespace lockstep {

class Workload {
 public:
  // All outlive this object.
  Workload(const SimOptions& options, FakeSource& source, Random& random)
      : options_(options), source_(source), random_(random) {}

  void seed_rows();
  // One small thing: a statement, a commit, a rollback, a flush of the log.
  void step();
  // One committed transaction becomes visible.
  void make_one_visible();
  // No more writes: everything open commits and becomes visible.
  void finish();
  // Rows whose value the target may have refused at some time.
  const std::set<std::pair<TableId, int>>& refusable() const { return refusable_; }

 private:
  void change(Xid xid);
  void update(Xid xid, TableId table, const FakeRow& old);
  void end(Xid xid);
  FakeRow new_row(TableId table, int id);
  std::string value(TableId table, int id);
  std::string unique_value();

  const SimOptions& options_;
  FakeSource& source_;
  Random& random_;
  std::set<std::pair<TableId, int>> refusable_;
  int values_ = 0;
};

}  // namespace lockstep
