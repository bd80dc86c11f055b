// SPDX-License-Identifier: Apache-2.0
// EXPECT: TSCD needs at least one segment
#include <hypersd/distill/objectives/tscd.hpp>

template struct hypersd::distill::WithinSegment<0>;
