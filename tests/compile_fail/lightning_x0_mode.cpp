// SPDX-License-Identifier: Apache-2.0
// EXPECT: Lightning's one-step mode predicts clean data: use the X0 prediction
#include <hypersd/distill/objectives/lightning.hpp>
using namespace hypersd;
template struct distill::Lightning<int, diffusion::Discrete<>, distill::OneStepX0>;
