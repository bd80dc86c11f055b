// SPDX-License-Identifier: Apache-2.0
#include <fake_cuda/cases/check.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/pipeline/phase.hpp>
#include <pipeline/folder.hpp>

using namespace hypersd;
using fake_cuda::Clean;

/// A denoiser of points.
struct PhaseNet {
  using value_type = float;
  using device_type = Cuda;
  nn::Linear<float, Cuda> in{3, 16}, out{16, 2};
  Var<float, Cuda> operator()(const Var<float, Cuda>& x, const Tensor<float, Cuda>& t,
                              const diffusion::Unconditional&) const {
    const Var<float, Cuda> time(ops::map(ops::Affine<float>{1e-3F, 0}, t.reshape(Shape{t.size(), 1})));
    return out(autograd::silu(in(autograd::concat_channels(x, time))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "out", out);
  }
};

namespace {

using Net = PhaseNet;
using Process = diffusion::StableDiffusion;

diffusion::Batch<float, Cuda, diffusion::Unconditional> batch(std::int64_t /*iteration*/) {
  return {Tensor<float, Cuda>::zeros(Shape{8, 2}), {}};
}

/// Graphs that a part launches.
template <class Part>
std::int64_t graphs(Part part, bool capture) {
  const Folder folder("graphs");
  records::RunDirectory directory(folder.file("run"), {});
  for (auto& phase : part.phases) phase.options.capture = capture;
  Net teacher;
  nn::init_parameters(teacher, 1);
  pipeline::RecipeState<Net> state{teacher, teacher};
  fake_cuda::reset();
  pipeline::run_part(pipeline::Session{directory, 5}, part, state);
  return fake_cuda::counts().graphs;
}

}  // namespace

TEST_CASE("a step of a stage, and of one-step enhancement with its fake score, is one graph") {
  const Clean clean;
  const auto stages = pipeline::staged("tscd", {4, 1}, &batch, {.steps = {6, 6}}, [](int k, bool) {
    return distill::Consistency<distill::WithinSegments<>, Process>({.guidance_min = 1, .guidance_max = 2}, {}, {k});
  });
  CHECK(graphs(stages, true) == 8);  // the first two steps of each stage are not recorded
  CHECK(graphs(stages, false) == 0);
  using Fake = distill::FakeScore<Net, Process>;
  Net copy;
  nn::init_parameters(copy, 1);
  Fake fake(copy, Process());
  const auto objective =
      distill::sum_of(distill::weighted(1, distill::Dmd<Fake, Process>(Process(), &fake, {.learn_per_update = 2})),
                      distill::weighted(0.5, distill::Preserve<distill::Anywhere, Process>(Process())));
  const auto one = pipeline::part(pipeline::Phase{"one", objective, &batch, pipeline::Tuning(pipeline::NewAdapter{}),
                                                  pipeline::PhaseOptions{.steps = 10}});
  CHECK(graphs(one, true) == 8);
}
