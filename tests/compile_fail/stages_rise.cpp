// SPDX-License-Identifier: Apache-2.0
// EXPECT: stages must go from more segments to fewer
#include <hypersd/distill/stage.hpp>

template struct hypersd::distill::Stages<hypersd::distill::Stage<2>, hypersd::distill::Stage<8>>;
