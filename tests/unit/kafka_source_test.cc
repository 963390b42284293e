// KafkaSource against librdkafka's broker in this process: order, watermarks, stops, restarts.
#include <gmock/gmock.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <iterator>

#include "connectors/kafka/ends.h"
#include "connectors/kafka/source.h"
#include "tests/unit/kafka_mock.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A record's value is "row", "row@lsn@commit_us", "halt" or "stop".
Result<Decoded> decode_text(const Record& record) {
  Decoded decoded;
  if (!record.value) return decoded;
  const std::string value(*record.value);
  if (value == "halt") return fail(Reaction::Halt, "unknown op");
  if (value == "stop") {
    decoded.kind = Decoded::Kind::Stop;
    decoded.stop.error = {Reaction::StopTable, "column qty is gone", ExitCode::BadData, {}};
    return decoded;
  }
  decoded.kind = Decoded::Kind::Change;
  Change& change = decoded.change;
  change.stream = record.stream;
  change.next = record.next;
  change.row = value.substr(0, value.find('@'));
  if (const std::size_t at = value.find('@'); at != std::string::npos) {
    const std::size_t second = value.find('@', at + 1);
    change.sequence.major = std::stoull(value.substr(at + 1, second - at - 1));
    change.commit_us = std::stoll(value.substr(second + 1));
  }
  change.evidence = record.header(record.message, "__debezium.newkey").value_or("");
  return decoded;
}

class KafkaSourceTest : public testing::Test {
 protected:
  KafkaSourceTest() {
    options_.kafka.properties = {{"bootstrap.servers", mock_.bootstrap()},
                                 {"reconnect.backoff.max.ms", "100"}};
    options_.topic_prefix = "shop";
    options_.tables = {{0, {"public", "a"}, {}, true}, {1, {"public", "b"}, {}, false}};
    options_.decode.record = decode_text;
    options_.decode.set_last_xid = [this](StreamId stream, Xid xid) { last_xids_[stream] = xid; };
    options_.decode.set_newest_xid = [this](Xid xid) { newest_xid_ = xid; };
    options_.seed_xid = 5;
    options_.topic_refresh = milliseconds(50);
    options_.topic_missing_max = milliseconds(100);
  }

  void open() {
    auto opened = KafkaSource::open(options_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    source_ = std::move(opened).value();
  }

  // Starts again from what the last source had told.
  void restart() {
    options_.start.clear();
    for (const auto& [name, position] : told_) options_.start[name] = {position, 77};
    batch_ = {};
    open();
  }

  // Adds what is read to batch_.
  Status poll(milliseconds time) {
    Polled polled = source_->poll(time);
    std::ranges::move(polled.batch.changes, std::back_inserter(batch_.changes));
    std::ranges::move(polled.batch.watermarks, std::back_inserter(batch_.watermarks));
    std::ranges::move(polled.batch.stops, std::back_inserter(batch_.stops));
    state_ = std::move(polled.state);
    return polled.error;
  }
  // Polls until `done`, at most 10 s.  Returns the last poll's status.
  template <typename Done>
  Status poll_until(Done done) {
    const auto give_up = steady_clock::now() + std::chrono::seconds(10);
    while (!done() && steady_clock::now() < give_up) {
      const std::size_t before = batch_.watermarks.size();
      LOCKSTEP_TRY(poll(milliseconds(50)));
      for (std::size_t i = before; i < batch_.watermarks.size(); ++i) {
        const Watermark& mark = batch_.watermarks[i];
        told_[source_->streams()[mark.stream]] = mark.position;
      }
    }
    EXPECT_TRUE(done()) << state_.text;
    return {};
  }
  Status poll_rows(std::size_t rows) {
    return poll_until([&] { return batch_.changes.size() >= rows; });
  }
  // Polls until poll() answers an error, and returns its message.
  std::string poll_error() {
    const auto give_up = steady_clock::now() + std::chrono::seconds(10);
    while (steady_clock::now() < give_up) {
      const Status status = poll(milliseconds(50));
      if (!status) {
        EXPECT_EQ(status.error().reaction, Reaction::Halt);
        return status.error().message;
      }
    }
    return "";
  }
  std::vector<std::string> rows() const {
    std::vector<std::string> rows;
    for (const Change& change : batch_.changes) rows.push_back(change.row);
    return rows;
  }

  KafkaMock mock_;
  KafkaSourceOptions options_;
  ChangeBatch batch_;
  SourceState state_;
  std::map<std::string, Position> told_;
  std::map<StreamId, Xid> last_xids_;
  Xid newest_xid_ = 0;
  std::unique_ptr<KafkaSource> source_;
};

TEST_F(KafkaSourceTest, ReadsATopicInOrderAndTellsItsWatermark) {
  mock_.create_topic("shop.public.a", 1);
  for (const char* row : {"1", "2", "3"}) mock_.produce("shop.public.a", 0, "k", row);
  open();
  ASSERT_TRUE(poll_rows(3));
  EXPECT_THAT(rows(), ElementsAre("1", "2", "3"));
  EXPECT_EQ(batch_.changes[2].next.major, 3u);
  EXPECT_EQ(told_["shop.public.a/0"], batch_.changes[2].next);
  EXPECT_EQ(last_xids_[0], 5u);
}

TEST_F(KafkaSourceTest, SkipsTombstonesButMovesPastThem) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  mock_.produce("shop.public.a", 0, "k", std::nullopt);
  open();
  ASSERT_TRUE(poll_until([&] { return told_["shop.public.a/0"].major == 2; }));
  EXPECT_THAT(rows(), ElementsAre("1"));
}

TEST_F(KafkaSourceTest, HandsTheKeyChangeHeadersToTheDecoder) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1", {{"__debezium.newkey", "{\"id\":2}"}});
  open();
  ASSERT_TRUE(poll_rows(1));
  EXPECT_EQ(batch_.changes[0].evidence, "{\"id\":2}");
}

TEST_F(KafkaSourceTest, ReadsATopicThatAppearsLaterFromItsBeginning) {
  open();
  ASSERT_TRUE(poll_until([&] { return state_.text == "streaming"; }));
  EXPECT_THAT(source_->streams(), IsEmpty());
  mock_.create_topic("shop.public.b", 1);
  mock_.produce("shop.public.b", 0, "k", "first");
  ASSERT_TRUE(poll_rows(1));
  EXPECT_THAT(rows(), ElementsAre("first"));
  EXPECT_THAT(source_->streams_of(1), ElementsAre("shop.public.b/0"));
  EXPECT_THAT(source_->streams_of(0), IsEmpty());
}

TEST_F(KafkaSourceTest, TellsTheStartOfEmptyStreams) {
  mock_.create_topic("shop.public.a", 4);
  open();
  ASSERT_TRUE(poll_until([&] { return told_.size() == 4; }));
  EXPECT_EQ(told_["shop.public.a/3"], Position{});
}

TEST_F(KafkaSourceTest, GoesOnAfterARestartWhereItStood) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  mock_.produce("shop.public.a", 0, "k", "2");
  restart();
  ASSERT_TRUE(poll_rows(1));
  EXPECT_THAT(rows(), ElementsAre("2"));
  EXPECT_EQ(last_xids_[0], 77u);
  EXPECT_EQ(newest_xid_, 5U) << "partitions may have been at rest for long";
  source_->note_newest(9);
  EXPECT_EQ(newest_xid_, 9U);
}

// I13: a topic that came while it ran, and a kill before every lane had committed something of it.
TEST(StreamStarts, ALaneWithoutProgressHasAppliedNothing) {
  const std::vector<ProgressRow> progress{
      {"t/0", 0, {9, 4}, 70, 70}, {"t/0", 1, {7, 3}, 60, 80}, {"u/0", 1, {5, 2}, 90, 90}};
  const auto starts = stream_starts(2, progress);
  EXPECT_EQ(starts.at("t/0").position, (Position{7, 3}));
  EXPECT_EQ(starts.at("t/0").last_xid, 60U);
  EXPECT_EQ(starts.at("u/0").position, Position());
  EXPECT_EQ(starts.at("u/0").last_xid, 0U);
}

TEST_F(KafkaSourceTest, HaltsWhenAnotherRecordStandsWhereOursWas) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  mock_.produce("shop.public.a", 0, "k", "2");
  open();
  ASSERT_TRUE(poll_rows(2));
  told_["shop.public.a/0"].minor ^= 1U;
  restart();
  EXPECT_THAT(poll_error(), HasSubstr("is not the one applied"));
}

TEST_F(KafkaSourceTest, HaltsWhenTheTopicIsShorterThanOurProgress) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  told_["shop.public.a/0"] = {5, 0};
  restart();
  EXPECT_THAT(poll_error(), HasSubstr("ends at 1 although offset 5 was applied"));
}

TEST_F(KafkaSourceTest, HaltsWhenATopicStaysAway) {
  mock_.absent_topic("shop.public.a", 1);
  told_["shop.public.a/0"] = {5, 0};
  restart();
  EXPECT_THAT(poll_error(), HasSubstr("shop.public.a or some of its partitions were deleted"));
}

TEST_F(KafkaSourceTest, ATopicThatMayNotBeSeenAnyMoreWasNotDeleted) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  mock_.fail_topic("shop.public.a", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  ASSERT_TRUE(poll_until([&] { return state_.text.contains("to Describe and Read the topic"); }));
  EXPECT_EQ(state_.kind, SourceState::Kind::Away);
  mock_.fail_topic("shop.public.a", RD_KAFKA_RESP_ERR_NO_ERROR);
  mock_.produce("shop.public.a", 0, "k", "2");
  ASSERT_TRUE(poll_rows(2));
  ASSERT_TRUE(poll_until([&] { return state_.text == "streaming"; }));
}

TEST_F(KafkaSourceTest, StopsATableBeforeTheRecordItCannotRead) {
  mock_.create_topic("shop.public.a", 1);
  for (const char* row : {"1", "stop", "3"}) mock_.produce("shop.public.a", 0, "k", row);
  mock_.create_topic("shop.public.b", 1);
  mock_.produce("shop.public.b", 0, "k", "other");
  open();
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty() && batch_.changes.size() == 2; }));
  EXPECT_THAT(rows(), testing::UnorderedElementsAre("1", "other"));
  EXPECT_EQ(batch_.stops[0].table, 0u);
  EXPECT_THAT(batch_.stops[0].error.message,
              HasSubstr("Kafka topic shop.public.a, partition 0, offset 1: column qty is gone"));
  EXPECT_EQ(told_["shop.public.a/0"].major, 1u);
}

TEST_F(KafkaSourceTest, AStoppedTableHoldsAllItsPartitions) {
  mock_.create_topic("shop.public.a", 2);
  mock_.produce("shop.public.a", 0, "k", "stop");
  open();
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty(); }));
  mock_.produce("shop.public.a", 1, "k", "later");
  batch_ = {};
  ASSERT_TRUE(poll(milliseconds(300)));
  EXPECT_THAT(rows(), IsEmpty());
}

TEST_F(KafkaSourceTest, APausedTableGoesOnWhereItStopped) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  ASSERT_TRUE(source_->pause_table(0));
  mock_.produce("shop.public.a", 0, "k", "2");
  ASSERT_TRUE(poll(milliseconds(100)));
  ASSERT_TRUE(source_->resume_table(0));
  ASSERT_TRUE(poll_rows(2));
  EXPECT_THAT(rows(), ElementsAre("1", "2"));
}

TEST_F(KafkaSourceTest, HaltNamesTheRecord) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "halt");
  open();
  EXPECT_THAT(poll_error(), HasSubstr("Kafka topic shop.public.a, partition 0, offset 0: unknown"));
}

TEST_F(KafkaSourceTest, RefusesSeveralPartitionsWhereKeysAreNotExact) {
  mock_.create_topic("shop.public.b", 2);
  open();
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty(); }));
  EXPECT_EQ(batch_.stops[0].table, 1u);
  EXPECT_THAT(batch_.stops[0].error.message, HasSubstr("give the topic one partition"));
}

TEST_F(KafkaSourceTest, StopsATableWhoseTopicGotMorePartitions) {
  mock_.create_topic("shop.public.a", 3);
  told_["shop.public.a/0"] = {0, 0};
  restart();
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty(); }));
  EXPECT_THAT(batch_.stops[0].error.message, HasSubstr("went from 1 to 3 partitions"));
}

TEST_F(KafkaSourceTest, RefusesEventsOnTheTopicOfAPartition) {
  options_.tables[1].leaves = {{"public", "b_2026"}};
  mock_.create_topic("shop.public.b_2026", 1);
  open();
  ASSERT_TRUE(poll_until([&] { return told_.contains("shop.public.b_2026/0"); }));
  EXPECT_THAT(batch_.stops, IsEmpty());
  mock_.produce("shop.public.b_2026", 0, "k", "1");
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty(); }));
  EXPECT_THAT(batch_.stops[0].error.message, HasSubstr("publish_via_partition_root"));
}

TEST_F(KafkaSourceTest, HaltsWhenTheSequenceGoesBackWithNewerCommits) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1@5000@1000000");
  mock_.produce("shop.public.a", 0, "k", "2@4000@9000000");
  open();
  EXPECT_THAT(poll_error(), HasSubstr("log position went back"));
}

TEST_F(KafkaSourceTest, TakesAReplayAfterARestartOfTheConnector) {
  mock_.create_topic("shop.public.a", 1);
  for (const char* row : {"1@4000@1000000", "2@5000@9000000", "1@4000@1000000", "2@0@9900000"}) {
    mock_.produce("shop.public.a", 0, "k", row);
  }
  open();
  ASSERT_TRUE(poll_rows(4));
  EXPECT_THAT(rows(), ElementsAre("1", "2", "1", "2"));
}

TEST_F(KafkaSourceTest, ALostBrokerIsAStateNotAnError) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  mock_.broker_down();
  ASSERT_TRUE(poll_until([&] { return state_.text.starts_with("broker unreachable for"); }));
  mock_.broker_up();
  mock_.produce("shop.public.a", 0, "k", "2");
  ASSERT_TRUE(poll_rows(2));
  ASSERT_TRUE(poll_until([&] { return state_.text.starts_with("streaming"); }));
}

TEST_F(KafkaSourceTest, AnUnknownAddressIsAStateNotAnError) {
  options_.kafka.properties = {{"bootstrap.servers", "127.0.0.1:1"}};
  open();
  ASSERT_TRUE(poll_until([&] { return state_.text.starts_with("broker unreachable for"); }));
  EXPECT_THAT(state_.text, HasSubstr("Connection refused"));
}

TEST_F(KafkaSourceTest, ARecordThatIsTooLargeStopsItsTable) {
  options_.kafka.record_bytes_max = 1000;
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", std::string(1500, 'x'));
  open();
  ASSERT_TRUE(poll_until([&] { return !batch_.stops.empty(); }));
  EXPECT_THAT(batch_.stops[0].error.message, HasSubstr("1501 bytes is larger than the 1000"));
  EXPECT_EQ(told_["shop.public.a/0"].major, 0u);
}

TEST_F(KafkaSourceTest, AFetchErrorThatPassesIsRetried) {
  mock_.create_topic("shop.public.a", 1);
  mock_.fail_next_fetch(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
}

// librdkafka tells of it once, and of the end of a partition at rest once.
TEST_F(KafkaSourceTest, APartitionThatMayNotBeReadIsAwayUntilItIsReadAgain) {
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  for (int fetch = 0; fetch < 3; ++fetch)  // It stays for longer than a poll takes.
    mock_.fail_next_fetch(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  ASSERT_TRUE(poll_until([&] { return state_.kind == SourceState::Kind::Away; }));
  EXPECT_THAT(state_.text, HasSubstr("Kafka topic shop.public.a, partition 0: Broker: Topic"));
  ASSERT_TRUE(poll_until([&] { return state_.text == "streaming"; }));
  EXPECT_THAT(rows(), ElementsAre("1"));
}

TEST_F(KafkaSourceTest, CommitsTheGroupOffsetOfWhatWasAcknowledged) {
  options_.kafka.group_id = "people";
  options_.commit_every = milliseconds(0);
  mock_.create_topic("shop.public.a", 1);
  mock_.produce("shop.public.a", 0, "k", "1");
  open();
  ASSERT_TRUE(poll_rows(1));
  ASSERT_TRUE(source_->acknowledge(0, batch_.changes[0].next));
  ASSERT_TRUE(poll(milliseconds(200)));
  ASSERT_TRUE(source_->acknowledge(0, batch_.changes[0].next));
  source_.reset();
  EXPECT_EQ(mock_.committed("people", "shop.public.a", 0), 1);
}

TEST_F(KafkaSourceTest, TwoTablesOfOneTopicAreRefused) {
  options_.tables = {{0, {"public", "a b"}, {}, true}, {1, {"public", "a_b"}, {}, true}};
  const auto opened = KafkaSource::open(options_);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().exit, ExitCode::Config);
  EXPECT_THAT(opened.error().message, HasSubstr("share the Kafka topic shop.public.a_b"));
}

TEST_F(KafkaSourceTest, EndsOfAllExistingTopics) {
  mock_.create_topic("shop.public.a", 2);
  mock_.produce("shop.public.a", 1, "k", "1");
  const auto plan = plan_topics("shop", options_.tables);
  ASSERT_TRUE(plan.has_value());
  const auto ends = read_end_offsets(options_.kafka, *plan, std::chrono::seconds(10));
  ASSERT_TRUE(ends.has_value()) << ends.error().message;
  ASSERT_THAT(*ends, SizeIs(2));
  EXPECT_EQ((*ends)[0].end.major, 0u);
  EXPECT_EQ((*ends)[1].stream, "shop.public.a/1");
  EXPECT_EQ((*ends)[1].end.major, 1u);
}

}  // namespace
}  // namespace lockstep
