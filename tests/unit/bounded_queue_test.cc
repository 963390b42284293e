// BoundedQueue: order, the bound, closing, and two real threads.
#include "pipeline/base/bounded_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr milliseconds kAtOnce{0};
constexpr milliseconds kLong{60'000};

TEST(BoundedQueue, GivesItemsInOrder) {
  BoundedQueue<int> queue(100);
  for (const int item : {1, 2, 3}) EXPECT_TRUE(queue.push(item, 10));
  EXPECT_EQ(queue.bytes(), 30U);
  EXPECT_THAT(queue.take(100, kAtOnce), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue.bytes(), 0U);
}

TEST(BoundedQueue, TakesAtMostTheBytesAskedForButOneItemAtLeast) {
  BoundedQueue<int> queue(100);
  for (const int item : {1, 2, 3}) EXPECT_TRUE(queue.push(item, 30));
  EXPECT_THAT(queue.take(60, kAtOnce), ElementsAre(1, 2));
  EXPECT_THAT(queue.take(1, kAtOnce), ElementsAre(3));
}

TEST(BoundedQueue, AnswersEmptyWhenNothingCame) {
  BoundedQueue<int> queue(100);
  EXPECT_THAT(queue.take(100, kAtOnce), IsEmpty());
  EXPECT_FALSE(queue.drained());
}

TEST(BoundedQueue, AnItemLargerThanTheBoundPassesAlone) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 1000));
  EXPECT_THAT(queue.take(1, kAtOnce), ElementsAre(1));
}

TEST(BoundedQueue, AFullQueueHoldsItsProducerBack) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 10));
  std::future<bool> producer = std::async(std::launch::async, [&] { return queue.push(2, 10); });
  EXPECT_THAT(queue.take(10, kLong), ElementsAre(1));
  EXPECT_THAT(queue.take(10, kLong), ElementsAre(2));
  EXPECT_TRUE(producer.get());
}

TEST(BoundedQueue, PushNowNeverWaits) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 10));
  EXPECT_TRUE(queue.push_now(2, 10));
  EXPECT_EQ(queue.bytes(), 20U);
  EXPECT_THAT(queue.take(100, kAtOnce), ElementsAre(1, 2));
}

TEST(BoundedQueue, ClosedTurnsProducersAwayAndDrains) {
  BoundedQueue<int> queue(100);
  EXPECT_TRUE(queue.push(1, 10));
  queue.close();
  EXPECT_FALSE(queue.push(2, 10));
  EXPECT_FALSE(queue.push_now(3, 10));
  EXPECT_FALSE(queue.drained());
  EXPECT_THAT(queue.take(100, kLong), ElementsAre(1));
  EXPECT_TRUE(queue.drained());
  EXPECT_THAT(queue.take(100, kLong), IsEmpty());
}

TEST(BoundedQueue, ClosingFreesAProducerThatWaits) {
  BoundedQueue<int> queue(10);
  EXPECT_TRUE(queue.push(1, 10));
  std::future<bool> producer = std::async(std::launch::async, [&] { return queue.push(2, 10); });
  queue.close();
  EXPECT_FALSE(producer.get());
}

TEST(BoundedQueue, ClosingFreesAConsumerThatWaits) {
  BoundedQueue<int> queue(10);
  std::future<std::size_t> consumer =
      std::async(std::launch::async, [&] { return queue.take(10, kLong).size(); });
  queue.close();
  EXPECT_EQ(consumer.get(), 0U);
}

TEST(BoundedQueue, HoldsWhatCanOnlyBeMoved) {
  BoundedQueue<std::unique_ptr<int>> queue(10);
  EXPECT_TRUE(queue.push(std::make_unique<int>(7), 1));
  EXPECT_EQ(*queue.take(1, kAtOnce).front(), 7);
}

TEST(BoundedQueue, LosesNothingBetweenThreads) {
  constexpr int kItems = 20'000;
  BoundedQueue<int> queue(64);
  const auto produce = [&](int first) {
    for (int item = first; item < kItems; item += 2) EXPECT_TRUE(queue.push(item, 8));
  };
  std::future<void> even = std::async(std::launch::async, produce, 0);
  std::future<void> odd = std::async(std::launch::async, produce, 1);
  int next[2] = {0, 1};
  for (int taken = 0; taken < kItems;) {
    for (const int item : queue.take(64, kLong)) {
      EXPECT_EQ(item, next[item % 2]);
      next[item % 2] += 2;
      ++taken;
    }
    ASSERT_LE(queue.bytes(), 64U);
  }
  even.get();
  odd.get();
}

}  // namespace
}  // namespace lockstep
