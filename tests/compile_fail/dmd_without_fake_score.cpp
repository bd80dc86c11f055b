// SPDX-License-Identifier: Apache-2.0
// EXPECT: Dmd needs a fake-score model of the student's distribution
#include <hypersd/distill/objectives/dmd.hpp>
template struct hypersd::distill::Dmd<>;
