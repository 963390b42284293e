// What people are shown of somebody's statement holds no value of it.
#include "connectors/postgres/wire/first_words.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(FirstWords, EndBeforeTheFirstValueOrComment) {
  EXPECT_EQ(first_words("LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE"),
            "LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE");
  EXPECT_EQ(first_words("UPDATE t2 SET total = 17 WHERE id = 4"), "UPDATE t2 SET total =");
  EXPECT_EQ(first_words("SELECT 'secret'"), "SELECT");
  EXPECT_EQ(first_words("SELECT E'secret'"), "SELECT E");
  EXPECT_EQ(first_words("SELECT $a$secret$a$"), "SELECT");
  EXPECT_EQ(first_words("DELETE FROM t /* secret */"), "DELETE FROM t");
  EXPECT_EQ(first_words("DELETE FROM t -- secret"), "DELETE FROM t");
  EXPECT_EQ(first_words("SELECT a-b FROM t"), "SELECT a-b FROM t");
  EXPECT_EQ(first_words("SELECT -1"), "SELECT -");
}

TEST(FirstWords, NamesInQuotesStayWhole) {
  EXPECT_EQ(first_words("UPDATE \"Order 5's\" SET n = 1"), "UPDATE \"Order 5's\" SET n =");
}

TEST(FirstWords, OneShortLine) {
  EXPECT_EQ(first_words("  SELECT\n\tx  FROM   t "), "SELECT x FROM t");
  EXPECT_EQ(first_words(std::string(1000, 'x')).size(), 60u);
  EXPECT_EQ(first_words(""), "");
}

// Cut in the middle of a character it would be no text.
TEST(FirstWords, ACutLeavesWholeCharacters) {
  const std::string words = first_words(std::string(59, 'x') + "\xc3\xa9\xc3\xa9");
  EXPECT_EQ(words, std::string(59, 'x'));
  EXPECT_EQ(first_words("LOCK TABLE \xc3\xa9"), "LOCK TABLE \xc3\xa9");
}

}  // namespace
}  // namespace lockstep
