#include <gtest/gtest.h>
TEST(Tidy, Builds) {}
