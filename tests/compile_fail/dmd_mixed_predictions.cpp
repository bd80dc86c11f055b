// SPDX-License-Identifier: Apache-2.0
// EXPECT: Dmd and its fake score must have the same prediction type
#include <hypersd/distill/objectives/dmd.hpp>
using namespace hypersd;
struct Fake {
  using prediction = diffusion::Velocity;
};
template struct distill::Dmd<Fake, diffusion::Discrete<>>;
