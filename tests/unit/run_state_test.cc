// RunState: what somebody asks for while a run is prepared is not lost.
#include "daemon/run_state.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_events.h"
#include "tests/fakes/fake_reader.h"
#include "tests/fakes/fake_source.h"
#include "tests/fakes/fake_stream.h"
#include "tests/fakes/fake_target.h"
#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

class RunStateTest : public Checkpoint {
 protected:
  // A run of no table, which is made and not begun.
  Runner runner() {
    RunOptions options;
    options.lanes = 1;
    std::vector<std::unique_ptr<Target>> lanes;
    lanes.push_back(std::make_unique<FakeTarget>(store_of_target_, zombies_, chaos_,
                                                 FakeTarget::Connection{1, 1}));
    std::vector<ScanPorts> scans;
    scans.push_back({std::make_unique<FakeReader>(source_, chaos_, nullptr),
                     std::make_unique<FakeTarget>(store_of_target_, zombies_, chaos_,
                                                  FakeTarget::Connection{1, 2})});
    return {std::move(options),
            {},
            {stream_,
             probe_,
             probe_,
             proof_,
             ledger_,
             checkpoint_,
             clock_,
             events_,
             std::move(lanes),
             std::move(scans),
             {compare_source_, compare_target_, compare_target_, checkpoint_.verified()},
             steering_.control(),
             meters_}};
  }

  Chaos chaos_;
  Random random_{1};
  const std::vector<TableMap> no_tables_;
  FakeSource source_{no_tables_, 100};
  TargetStore store_of_target_{no_tables_};
  Zombies zombies_;
  FakeCheckpoint checkpoint_{chaos_};
  FakeClock clock_;
  FakeEvents events_{chaos_};
  Meters meters_;
  StreamLog log_{StreamMode::Direct, source_, {}};
  FakeStream stream_{log_, chaos_, random_, {Position{}}, nullptr};
  FakeProbe probe_{source_, chaos_};
  FakeProof proof_{log_, chaos_};
  FakeLedger ledger_{store_of_target_, chaos_};
  FakeReader compare_source_{source_, chaos_, nullptr};
  FakeTargetReader compare_target_{store_of_target_, no_tables_, chaos_, false};

  Manifest manifest_;
  std::unique_ptr<RocksdbStore> store_ = open();
  Steering steering_{manifest_, *store_, [](const std::string&) {}};
  AggregateBoard aggregates_{manifest_, *store_};
  RunState state_{manifest_, *store_, steering_, aggregates_};
};

TEST_F(RunStateTest, AResumeWhileARunIsPreparedHasItPreparedAgain) {
  const Prepared prepared;
  state_.resume();
  state_.preparing_anew();  // It finds what that has changed.
  {
    Runner made = runner();
    state_.running(made, prepared);
    state_.finished({});
  }
  EXPECT_FALSE(state_.take_resume());
  state_.preparing_anew();
  {
    Runner made = runner();  // It has taken up what was held.
    state_.resume();
    state_.running(made, prepared);
    state_.finished({});
  }
  EXPECT_TRUE(state_.take_resume());
}

}  // namespace
}  // namespace lockstep
