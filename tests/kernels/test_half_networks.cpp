// SPDX-License-Identifier: Apache-2.0
#include <narrow_networks.hpp>

using namespace narrow_networks;

TEST_CASE("half networks: results and gradients are those of float to a few roundings") { check_all<half>(); }
