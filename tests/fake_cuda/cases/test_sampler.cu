// SPDX-License-Identifier: Apache-2.0
// A sampler's loop copies its coefficients once and waits for nothing; recorded, it is one graph.
#include <fake_cuda/cases/check.hpp>
#include <hypersd/diffusion/graph_sampler.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <network_runs.hpp>

using namespace hypersd;
using namespace hypersd::diffusion;
using fake_cuda::Clean;
using Array = Tensor<float, Cuda>;

namespace {

/// The loop of `sampler` and its recorded twin, both from noise [2, 4, 4, 4].
template <class S, class Net, class C>
void check_loop(const S& sampler, const Net& net, const C& condition) {
  const Array noise = Array::zeros({2, 4, 4, 4});
  fake_cuda::reset();
  (void)sampler(net, noise, condition, 4);
  CHECK(fake_cuda::counts().synchronisations == 0);
  CHECK(fake_cuda::counts().downloads == 0);
  CHECK(fake_cuda::counts().uploads == 1);  // all coefficients at once
  const std::int64_t kernels = fake_cuda::counts().kernels, products = fake_cuda::counts().products;

  const GraphSampler recorded(sampler, net, noise, condition, 4);
  CHECK(recorded.kernels() == kernels + products);
  for (int replay = 0; replay < 2; ++replay) {
    fake_cuda::reset();
    (void)recorded(noise, condition, 3);
    CHECK(fake_cuda::counts().graphs == 1);
    CHECK(fake_cuda::counts().kernels == kernels);
    CHECK(fake_cuda::counts().products == products);
    CHECK(fake_cuda::counts().synchronisations == 0);
    CHECK(fake_cuda::counts().downloads == 0);
    CHECK(fake_cuda::counts().uploads <= 1);  // the seed
    for (const std::string& fault : fake_cuda::faults()) FAIL_CHECK(fault);
  }
}

}  // namespace

TEST_CASE("loops over a UNet copy once, wait for nothing and can be recorded") {
  const Clean clean;
  const auto net = network_runs::unet<Cuda>();
  const auto told = network_runs::tokens<Cuda>(2);
  const GuidedCondition both{told, network_runs::tokens<Cuda>(2)};
  check_loop(Sampler<Tcd, StableDiffusion>({.eta = 0.3}), net, told);
  check_loop(Sampler<DpmPp2M, StableDiffusion>{}, net, told);
  check_loop(Sampler<Heun, Process<ScaledLinear, Velocity>>{}, net, told);
  check_loop(Sampler<Tcd, StableDiffusion, ClassifierFree>{}, net, both);
  check_loop(Sampler<Ddim, StableDiffusion, ClassifierFree>({}, {}, {.rescale = 0.7}), net, both);
  check_loop(Sampler<DpmPp2M, StableDiffusion, ClassifierFree>({}, {}, {.rescale = 0.7}), net, both);
}

TEST_CASE("four steps with an exact teacher of an element are four kernels in one graph") {
  const Clean clean;
  const IndependentDenoiser<Discrete<>> net(noise_table<ScaledLinear>(), Mixture({{1, {0.4}, 0.7, 0}}));
  const Array noise = Array::zeros({1, 1 << 14});
  const Sampler<Tcd, StableDiffusion> sampler({.eta = 0.3});
  fake_cuda::reset();
  (void)sampler(net, noise, Unconditional{}, 4);
  CHECK(fake_cuda::counts().kernels == 4);
  const GraphSampler recorded(sampler, net, noise, Unconditional{}, 4);
  CHECK(recorded.kernels() == 4);
  const CudaCounts before = cuda_counts();
  (void)recorded(noise, Unconditional{}, 5);
  CHECK(cuda_counts().graphs - before.graphs == 1);
  CHECK(cuda_counts().launches == before.launches);
}

TEST_CASE("a network that waits cannot be recorded, and the error says what it did") {
  const Clean clean;
  struct Waits {
    Array operator()(const Array& x, const Array& t, const Unconditional&) const {
      (void)t.to_vector();
      return x.clone();
    }
  };
  const Waits net;
  const Array noise = Array::zeros({1, 8});
  const Sampler<Ddim, StableDiffusion> sampler;
  CHECK(fake_cuda::device_error([&] { (void)GraphSampler(sampler, net, noise, Unconditional{}, 4); }) ==
        "copy to host: waits for the GPU, not possible in the work of a graph");
}
