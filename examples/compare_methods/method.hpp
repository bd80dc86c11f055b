// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "description.hpp"
#include "study.hpp"

#include <hypersd/diffusion/sampler.hpp>

namespace compare {

/// What a call of a sampler is asked for.
struct Draw {
  int steps = 1;
  double guidance = 1;  ///< read by samplers of the teacher; students are sampled without
  std::uint64_t seed = 0;
  std::int64_t first = 0;  ///< number of the first sample
};

/// A way to sample: `draw(student, noise, condition, how, count)` gives latents [B, 8, 8, 4] and counts evaluations.
template <Device D>
struct SamplerChoice {
  std::string name;
  bool deterministic = true;  ///< then the distance to the teacher's end points means something
  std::function<Tensor<float, D>(const Student<D>&, const Tensor<float, D>&,
                                 const diffusion::GuidedCondition<Condition<D>>&, const Draw&, Evaluations&)>
      draw;
  bool (*takes)(int steps) = [](int) { return true; };  ///< other numbers of steps are left out
};

/// How a solver samples beside its options.
struct Sampling {
  bool guided = false;
  diffusion::EndPoint end = diffusion::EndPoint::first_entry;
  bool (*takes)(int steps) = [](int) { return true; };
};

/// Solver `S` as a choice for networks of type `N`.
template <class S, Device D, class N = Net<D>>
SamplerChoice<D> sampler_choice(std::string name, bool deterministic, typename S::Options options = {},
                                const Sampling& how = {}) {
  using Sampler = diffusion::Sampler<S, fashion::Process, diffusion::ClassifierFree>;
  return {std::move(name), deterministic,
          [=](const Student<D>& student, const Tensor<float, D>& noise,
              const diffusion::GuidedCondition<Condition<D>>& condition, const Draw& draw, Evaluations& count) {
            diffusion::SampleOptions o;
            o.seed = draw.seed;
            o.end = how.end;
            o.first_sample = draw.first;
            const Counted<N> net{std::get<N>(student)};
            auto x =
                Sampler(options, {}, {.scale = how.guided ? draw.guidance : 1})(net, noise, condition, draw.steps, o);
            count.forward += net.count->forward;
            return x;
          },
          how.takes};
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
  Settings settings = {};                           ///< what `train` reads; `--vary` changes one of them
  Guidance guidance = Guidance::trained;

  [[nodiscard]] Description description() const {
    Description d{name, title, source, preserves, model_per_count, static_cast<bool>(train), guidance, {}, settings};
    for (const auto& s : samplers) d.samplers.push_back(s.name);
    return d;
  }
};

/// A method that this program's process or backbone rules out, which, and why.
struct UndefinedMethod {
  std::string name, where, reason;
};
std::vector<UndefinedMethod> undefined_methods();

// Each family is compiled for every device where it is defined.
template <Device D>
std::vector<Method<D>> teacher_methods();
template <Device D>
std::vector<Method<D>> consistency_methods();
template <Device D>
std::vector<Method<D>> matching_methods();
template <Device D>
std::vector<Method<D>> flow_map_methods();
template <Device D>
std::vector<Method<D>> recent_methods();
template <Device D>
std::vector<Method<D>> guidance_methods();

/// All methods in the order of the tables.
template <Device D>
std::vector<Method<D>> all_methods() {
  std::vector<Method<D>> out;
  for (const auto& family : {teacher_methods<D>(), consistency_methods<D>(), matching_methods<D>(),
                             flow_map_methods<D>(), recent_methods<D>(), guidance_methods<D>()})
    out.insert(out.end(), family.begin(), family.end());
  return out;
}

}  // namespace compare
