// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "description.hpp"
#include "study.hpp"

#include <hypersd/diffusion/sampler.hpp>

namespace compare {

/// A way to sample: `draw(net, noise, condition, steps)`; latents of [B, 8, 8, 4].
template <Device D>
struct SamplerChoice {
  std::string name;
  bool deterministic = true;  ///< then the distance to the teacher's end points means something
  std::function<Tensor<float, D>(const Net<D>&, const Tensor<float, D>&,
                                 const diffusion::GuidedCondition<Condition<D>>&, int steps, std::uint64_t seed,
                                 std::int64_t first)>
      draw;
  int at_least = 1;  ///< fewer steps are left out
};

/// Solver `S` as a choice. `scale` is the guidance scale (1: none).
template <class S, Device D>
SamplerChoice<D> sampler_choice(std::string name, bool deterministic, typename S::Options options = {},
                                double scale = 1, diffusion::EndPoint end = diffusion::EndPoint::first_entry,
                                int at_least = 1) {
  using Sampler = diffusion::Sampler<S, fashion::Process, diffusion::ClassifierFree>;
  return {
      std::move(name), deterministic,
      [=](const Net<D>& net, const Tensor<float, D>& noise, const diffusion::GuidedCondition<Condition<D>>& condition,
          int steps, std::uint64_t seed, std::int64_t first) {
        diffusion::SampleOptions o;
        o.seed = seed;
        o.end = end;
        o.first_sample = first;
        return Sampler(options, {}, {.scale = scale})(net, noise, condition, steps, o);
      },
      at_least};
}

/// A method of the study on device D. The first sampler is the one that the tables show.
template <Device D>
struct Method {
  std::string name, title;
  std::string source;            ///< paper
  bool preserves = true;         ///< follows the teacher's trajectories (else it only matches a distribution)
  bool model_per_count = false;  ///< has one student for each number of steps instead of one for all
  std::vector<SamplerChoice<D>> samplers;
  std::function<Trained<D>(const Seed<D>&)> train;  ///< empty: the teacher itself

  [[nodiscard]] Description description() const {
    Description d{name, title, source, preserves, model_per_count, static_cast<bool>(train), {}};
    for (const auto& s : samplers) d.samplers.push_back(s.name);
    return d;
  }
};

// Each family is compiled for every device where it is defined.
template <Device D>
std::vector<Method<D>> teacher_methods();
template <Device D>
std::vector<Method<D>> consistency_methods();
template <Device D>
std::vector<Method<D>> matching_methods();

/// All methods in the order of the tables.
template <Device D>
std::vector<Method<D>> all_methods() {
  std::vector<Method<D>> out;
  for (const auto& family : {teacher_methods<D>(), consistency_methods<D>(), matching_methods<D>()})
    out.insert(out.end(), family.begin(), family.end());
  return out;
}

}  // namespace compare
