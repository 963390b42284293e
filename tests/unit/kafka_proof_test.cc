// The Kafka proof without Connect, topic names, settings and secrets.
#include <gmock/gmock.h>
#include <librdkafka/rdkafka.h>

#include "connectors/kafka/proof.h"
#include "tests/unit/kafka_mock.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(KafkaTopics, FollowDebeziumsNaming) {
  EXPECT_EQ(topic_name("p0", {"public", "orders"}), "p0.public.orders");
  // As captured from a real connector.
  EXPECT_EQ(topic_name("p0", {"Weird Schema",
                              "T\xC3\xA4"
                              "ble \xE2\x98\x83 Mixed"}),
            "p0.Weird_Schema.T_ble___Mixed");
  EXPECT_EQ(topic_name("p", {"s", "\xF0\x9F\x98\x80"}), "p.s.__");  // Two UTF-16 units.
  EXPECT_EQ(topic_name("p", {"s", std::string(300, 'x')}).size(), 249u);
}

TEST(KafkaTopics, LeavesHaveTopicsOfTheirOwn) {
  const auto plan = plan_topics("p", {{7, {"public", "part"}, {{"public", "part_1"}}, true}});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->at("p.public.part").role, TopicRole::Table);
  EXPECT_EQ(plan->at("p.public.part_1").role, TopicRole::Leaf);
  EXPECT_EQ(plan->at("p.public.part_1").table, 7u);
}

TEST(KafkaSettings, SecretsAreNotPrinted) {
  KafkaOptions options;
  options.properties = {{"bootstrap.servers", "k1:9092"}, {"sasl.password", "canary"}};
  EXPECT_EQ(redacted(options), "bootstrap.servers=k1:9092 sasl.password=***");
  options.properties = {{"security.protocol", "ssl"}, {"ssl.key.pem", "canary"}};
  const auto client = KafkaClient::open(options);
  ASSERT_FALSE(client.has_value());
  EXPECT_THAT(client.error().message, testing::Not(HasSubstr("canary")));
}

TEST(KafkaSettings, WhatExactnessRestsOnCannotBeChosen) {
  KafkaOptions options;
  options.properties = {{"auto.offset.reset", "earliest"}};
  const auto client = KafkaClient::open(options);
  ASSERT_FALSE(client.has_value());
  EXPECT_EQ(client.error().exit, ExitCode::Config);
  EXPECT_THAT(client.error().message, HasSubstr("auto.offset.reset: is set by lockstep"));
  options.properties = {{"no.such.thing", "1"}};
  EXPECT_THAT(KafkaClient::open(options).error().message, HasSubstr("no.such.thing"));
}

TEST(KafkaProof, SettingsThatVoidItAreNamed) {
  EXPECT_THAT(settings_that_void_proof({{"lsn.flush.mode", "CONNECTOR"}}), IsEmpty());
  EXPECT_THAT(settings_that_void_proof({{"errors.tolerance", "all"},
                                        {"lsn.flush.mode", "manual"},
                                        {"producer.override.acks", "1"},
                                        {"transforms", "f"},
                                        {"transforms.f.type", "io.debezium.transforms.Filter"}}),
              ElementsAre(HasSubstr("lsn.flush.mode"), HasSubstr("errors.tolerance"),
                          HasSubstr("acks"), HasSubstr("io.debezium.transforms.Filter")));
}

class KafkaNearProofTest : public testing::Test {
 protected:
  KafkaNearProofTest() {
    options_.kafka.properties = {{"bootstrap.servers", mock_.bootstrap()}};
    options_.topic_prefix = "shop";
    options_.tables = {{0, {"public", "a"}, {}, true}, {1, {"public", "b"}, {}, true}};
    options_.slot = "lockstep_shop";
    options_.timeout = std::chrono::milliseconds(1000);
    options_.confirmed_flush = [this] { return Result<std::optional<Lsn>>(flushed_); };
    options_.end_of_log = [this] { return Result<Lsn>(end_); };
  }
  Result<StreamProof::Answer> answer(Lsn lsn) {
    if (!proof_) {
      auto opened = KafkaProof::open(options_);
      CHECK(opened.has_value());
      proof_ = std::move(opened).value();
    }
    return proof_->reached(lsn);
  }
  StreamProof::Answer ask(Lsn lsn) {
    auto answered = answer(lsn);
    CHECK(answered.has_value());
    return std::move(answered).value();
  }

  KafkaMock mock_;
  KafkaProofOptions options_;
  std::optional<Lsn> flushed_;
  Lsn end_ = 0x100;
  std::unique_ptr<KafkaProof> proof_;
};

TEST_F(KafkaNearProofTest, WaitsForTheSlot) {
  const StreamProof::Answer answer = ask(0x20);
  EXPECT_EQ(answer.waiting_for, "slot lockstep_shop has no confirmed position yet");
  EXPECT_EQ(answer.fault, "");  // It only takes time.
  flushed_ = 0x10;
  EXPECT_EQ(ask(0x20).waiting_for, "slot lockstep_shop is confirmed up to 0/10, waiting for 0/20");
}

TEST_F(KafkaNearProofTest, ALogThatEndsBeforeWhatWasReadIsAnother) {
  flushed_ = 0x30;
  end_ = 0x20;
  const auto refused = answer(0x18);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reaction, Reaction::Halt);
  EXPECT_THAT(refused.error().message, HasSubstr("restored from a backup"));
}

TEST_F(KafkaNearProofTest, EndsIncludeTopicsThatAppearedSince) {
  flushed_ = 0x20;
  mock_.create_topic("shop.public.a", 1);
  mock_.absent_topic("shop.public.b", 1);
  EXPECT_THAT(ask(0x20).ends, ElementsAre(Pair("shop.public.a/0", Position{0, 0})));
  mock_.fail_topic("shop.public.b", RD_KAFKA_RESP_ERR_NO_ERROR);
  mock_.produce("shop.public.b", 0, "k", "first");
  const auto answer = ask(0x20);
  EXPECT_TRUE(answer.reached);
  EXPECT_FALSE(answer.exact);
  EXPECT_THAT(answer.ends, ElementsAre(Pair("shop.public.a/0", Position{0, 0}),
                                       Pair("shop.public.b/0", Position{1, 0})));
}

// A broker that starts up may forget a topic for a moment: what it does not list proves nothing.
TEST_F(KafkaNearProofTest, ATopicThatIsNotListedAnyMoreIsWaitedFor) {
  flushed_ = 0x20;
  mock_.create_topic("shop.public.a", 1);
  mock_.absent_topic("shop.public.b", 1);
  ASSERT_TRUE(ask(0x20).reached);
  mock_.fail_topic("shop.public.a", RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
  const auto answer = ask(0x20);
  EXPECT_FALSE(answer.reached);
  EXPECT_EQ(answer.waiting_for, "topic shop.public.a is not listed with all of its 1 partitions");
  mock_.fail_topic("shop.public.a", RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_TRUE(ask(0x20).reached);
}

TEST_F(KafkaNearProofTest, ATopicOfWhichThereIsProgressIsWaitedFor) {
  options_.streams = {"shop.public.b/0", "shop.public.b/1"};
  flushed_ = 0x20;
  mock_.create_topic("shop.public.a", 1);
  mock_.absent_topic("shop.public.b", 2);
  EXPECT_EQ(ask(0x20).waiting_for,
            "topic shop.public.b is not listed with all of its 2 partitions");
  mock_.fail_topic("shop.public.b", RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_THAT(ask(0x20).ends, testing::SizeIs(3));
}

TEST_F(KafkaNearProofTest, ATopicThatMayNotBeSeenIsNamed) {
  flushed_ = 0x20;
  mock_.create_topic("shop.public.a", 1);
  mock_.fail_topic("shop.public.b", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  const auto answer = ask(0x20);
  EXPECT_FALSE(answer.reached);
  EXPECT_THAT(answer.fault, HasSubstr("looking for topic shop.public.b: Broker: Topic"));
  EXPECT_THAT(answer.fault, HasSubstr("allow lockstep's user to Describe and Read the topic"));
}

TEST_F(KafkaNearProofTest, ABrokerThatIsDownIsWaitedFor) {
  flushed_ = 0x20;
  mock_.create_topic("shop.public.a", 1);
  mock_.absent_topic("shop.public.b", 1);
  ASSERT_TRUE(ask(0x20).reached);
  mock_.broker_down();
  const auto answer = ask(0x20);
  EXPECT_FALSE(answer.reached);
  EXPECT_THAT(answer.fault, HasSubstr("broker unreachable"));
}

TEST_F(KafkaNearProofTest, AConnectThatIsDownIsWaitedFor) {
  options_.connect = ConnectOptions{"http://127.0.0.1:1", "shop"};
  flushed_ = 0x20;
  EXPECT_THAT(ask(0x10).fault, HasSubstr("connector shop at http://127.0.0.1:1"));
}

}  // namespace
}  // namespace lockstep
