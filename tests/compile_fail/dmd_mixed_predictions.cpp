// SPDX-License-Identifier: Apache-2.0
// EXPECT: Dmd and its fake score must belong to the same process: schedule and prediction
#include <hypersd/distill/objectives/dmd.hpp>
using namespace hypersd;
struct Fake {
  using process = diffusion::Discrete<diffusion::Velocity>;
};
template struct distill::Dmd<Fake, diffusion::Discrete<>>;
