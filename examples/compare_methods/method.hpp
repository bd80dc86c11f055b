// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "study.hpp"

#include <hypersd/diffusion/sampler.hpp>

namespace compare {

/// A way to sample: `draw(net, noise, condition, steps)`; latents of [B, 8, 8, 4].
struct SamplerChoice {
  std::string name;
  bool deterministic = true;  ///< then the distance to the teacher's end points means something
  std::function<Tensor<float>(const Net&, const Tensor<float>&, const diffusion::GuidedCondition<Condition>&, int steps,
                              std::uint64_t seed, std::int64_t first)>
      draw;
  int at_least = 1;  ///< fewer steps are left out
};

/// Solver `S` as a choice. `scale` is the guidance scale (1: none).
template <class S>
SamplerChoice sampler_choice(std::string name, bool deterministic, typename S::Options options = {}, double scale = 1,
                             diffusion::EndPoint end = diffusion::EndPoint::first_entry, int at_least = 1) {
  using Sampler = diffusion::Sampler<S, diffusion::ScaledLinear, diffusion::Epsilon, diffusion::ClassifierFree>;
  return {std::move(name), deterministic,
          [=](const Net& net, const Tensor<float>& noise, const diffusion::GuidedCondition<Condition>& condition,
              int steps, std::uint64_t seed, std::int64_t first) {
            diffusion::SampleOptions o;
            o.seed = seed;
            o.end = end;
            o.first_sample = first;
            return Sampler(options, {}, {.scale = scale})(net, noise, condition, steps, o);
          },
          at_least};
}

/// A method of the study. The first sampler is the one that the tables show.
struct Method {
  std::string name, title;
  std::string source;            ///< paper
  bool preserves = true;         ///< follows the teacher's trajectories (else it only matches a distribution)
  bool model_per_count = false;  ///< has one student for each number of steps instead of one for all
  std::vector<SamplerChoice> samplers;
  std::function<Trained(const Seed&)> train;  ///< empty: the teacher itself
};

/// All methods in the order of the tables.
std::vector<Method> all_methods();

std::vector<Method> teacher_methods();
std::vector<Method> consistency_methods();
std::vector<Method> matching_methods();

}  // namespace compare
