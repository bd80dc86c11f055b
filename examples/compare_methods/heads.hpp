// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "study.hpp"

#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/discriminator.hpp>

namespace compare {

template <Device D>
using Heads = nn::Discriminator<float, D>;

/// Critic heads for the teacher's features, each map `times` as wide.
template <Device D>
Heads<D> heads_for(const Seed<D>& s, std::int64_t times) {
  nn::DiscriminatorConfig c{.feature_channels = s.teacher.unet.feature_channels(), .hidden = s.run.options.channels};
  for (auto& channels : c.feature_channels) channels *= times;
  Heads<D> heads(c);
  nn::init_parameters(heads, s.seed(), "critic");
  return heads;
}

}  // namespace compare
