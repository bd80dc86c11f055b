// SPDX-License-Identifier: Apache-2.0
#include <narrow_networks.hpp>

using namespace narrow_networks;

// Slow: networks in half take as long to compile as those in bfloat16, and differ from them in no line of code.
TEST_CASE("half networks: results and gradients are those of float to a few roundings") { check_all<half>(); }
