// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/graph.hpp>
#include <hypersd/diffusion/planned.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <memory>
#include <utility>

namespace hypersd::diffusion {

/// A whole run of a sampler recorded once, for one shape, plan and network, and replayed with new noise, condition and
/// seed: on `Cuda` a single graph, whatever the number of steps; on `Cpu` the same run, called each time. The numbers
/// are those of the sampler itself, bit for bit.
///
/// `S` is a `Sampler`. The network must outlive this object and keep its tensors: its weights may change in place. It
/// must only enqueue work (see core/graph.hpp).
template <class S, class Net, class T, class D, class Condition>
class GraphSampler {
  static_assert(
      detail::is_replaceable<Condition>,
      "a recorded run needs a condition that is a tensor, an empty struct, a GuidedCondition of these, or has "
      "clone_batch(c) and copy_batch(to, from)");

 public:
  /// Records the run. `noise` and `condition` give the shapes, `options` all but `seed` and `first_sample`, which each
  /// call chooses, and `progress`, of which nothing is reported. Throws what the sampler throws, and DeviceError for a
  /// network that does not only enqueue.
  GraphSampler(const S& sampler, const Net& net, const Tensor<T, D>& noise, const Condition& condition,
               const Steps& steps, const SampleOptions& options = {})
      : run_(make_run(sampler, net, noise, condition, steps, options)) {
    // Once without recording, for what libraries make at their first use.
    if constexpr (std::derived_from<D, Cuda>) run_->operator()();
    run_->result = {};
    graph_ = Graph<D>([run = run_] { run->operator()(); });
  }

  /// Samples from `noise` under `condition`, of the shapes recorded; noise of the solver is that of `seed`, and of the
  /// samples from number `first_sample` on. Throws ShapeError, OptionError for a negative first sample.
  Tensor<T, D> operator()(const Tensor<T, D>& noise, const Condition& condition, std::uint64_t seed = 0,
                          std::int64_t first_sample = 0) const {
    require<OptionError>(first_sample >= 0, "graph sampler: first sample ", first_sample);
    run_->noise.copy_from(noise);
    detail::copy_condition(run_->condition, condition);
    run_->draw(seed, first_sample);
    graph_.launch();
    return run_->result.clone();
  }

  /// Kernels of one run, as `Graph::kernels`.
  [[nodiscard]] std::int64_t kernels() const { return graph_.kernels(); }

 private:
  /// The recorded work with all tensors that it reads and writes.
  struct Run {
    S sampler;
    const Net* net;
    SampleRun<T, D> plan;
    SampleOptions options;
    Tensor<T, D> noise;
    Condition condition;
    Tensor<std::int64_t, D> keys;  // [evaluations, 3]
    Tensor<T, D> result{};

    void operator()() {
      const auto from = [&](std::size_t, std::size_t, std::size_t n) {
        const auto row = static_cast<std::int64_t>(n);
        return ops::StepNoise<D>{{}, 0, keys.slice(row, row + 1)};
      };
      result = sampler.sample(plan, *net, noise, condition, options, from, [](std::size_t, const Tensor<T, D>&) {});
    }
    /// Sets the noise of the next launch.
    void draw(std::uint64_t seed, std::int64_t first_sample) const {
      const std::int64_t offset = first_sample * (noise.size() / noise.dim(0));
      std::vector<std::int64_t> values;
      bool any = false;
      for (std::size_t i = 0; i < plan.steps().size(); ++i) {
        const auto& evaluations = plan.steps()[i].evaluations;
        for (std::size_t e = 0; e < evaluations.size(); ++e) {
          const auto key = ops::noise_key(solver_noise(seed, i, e), offset);
          values.insert(values.end(), key.begin(), key.end());
          any = any || evaluations[e].update.noise != 0;
        }
      }
      if (any) Memory<D>::copy_from_host(keys.data(), values.data(), values.size() * sizeof(std::int64_t));
    }
  };

  static std::shared_ptr<Run> make_run(const S& sampler, const Net& net, const Tensor<T, D>& noise,
                                       const Condition& condition, const Steps& steps, const SampleOptions& options) {
    require<ShapeError>(noise.rank() > 0 && noise.size() > 0, "graph sampler: noise of shape ", noise.shape());
    auto plan = sampler.template prepare<T, D>(noise.dim(0), steps, options);
    const auto evaluations = static_cast<std::int64_t>(plan.size());
    return std::make_shared<Run>(Run{sampler, &net, std::move(plan), options, noise.clone(),
                                     detail::clone_condition(condition),
                                     Tensor<std::int64_t, D>::zeros(Shape{evaluations, 3})});
  }

  std::shared_ptr<Run> run_;
  Graph<D> graph_;
};

}  // namespace hypersd::diffusion
