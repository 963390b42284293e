// Workload: the applications that write to the source while it is being moved.
#pragma once

#include <string>

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
  // A partition with rows of some keys that nobody has.
  bool attach(TableId table);
  // One committed transaction becomes visible.
  void make_one_visible();
  // No more writes: everything open commits and becomes visible.
  void finish();

 private:
  void change(Xid xid);
  void update(Xid xid, TableId table, const FakeRow& old);
  void end(Xid xid);
  FakeRow new_row(TableId table, int id);
  std::string value(TableId table);
  std::string unique_value();

  const SimOptions& options_;
  FakeSource& source_;
  Random& random_;
  int values_ = 0;
};

}  // namespace lockstep
