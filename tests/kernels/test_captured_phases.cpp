// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/pipeline/phase.hpp>
#include <pipeline/folder.hpp>

#include <cmath>

#include <doctest/doctest.h>

using namespace hypersd;
using emulated::Kernels;

namespace {

/// A network of points and their time, as a denoiser and as a critic.
template <class D>
struct Net {
  using value_type = float;
  using device_type = D;
  nn::Linear<float, D> in{3, 16}, out;
  explicit Net(std::int64_t channels = 2) : out(16, channels) {}

  template <class C>
  Var<float, D> operator()(const Var<float, D>& x, const Tensor<float, D>& t, const C&) const {
    const Var<float, D> time(ops::map(ops::Affine<float>{1e-3F, 0}, t.reshape(Shape{t.size(), 1})));
    return out(autograd::silu(in(autograd::concat_channels(x, time))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "out", out);
  }
};
template <class D>
Net<D> net(std::uint64_t seed, std::int64_t channels = 2) {
  Net<D> made(channels);
  nn::init_parameters(made, seed);
  return made;
}

/// Judges points; learns beside the student.
template <class D>
struct Critic {
  distill::AuxiliaryNetwork<Net<D>> network{net<D>(3, 1), {.beta1 = 0.5}, 1e-2};

  template <class C>
  Var<float, D> operator()(const Var<float, D>& x, const Tensor<float, D>& t, const C& c) const {
    return network.network()(x, t, c);
  }
  template <class C, class Average>
  void learn(const Tensor<float, D>& fake, const Tensor<float, D>& real, const Tensor<float, D>& t, const C& c,
             const Average& average) {
    network.update(
        [&] {
          return distill::HingeLoss::critic((*this)(Var<float, D>(real), t, c), (*this)(Var<float, D>(fake), t, c));
        },
        average);
  }
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    network.visit_state(f, prefix);
  }
};

template <class D>
using Batch = diffusion::Batch<float, D, diffusion::Unconditional>;

/// Batches of 8, the last of twelve of another size.
template <class D>
auto batches(std::int64_t last_size = 8) {
  return [last_size](std::int64_t step) {
    const auto draw = [&](const char* name) {
      return ops::normal<float>(Shape{step == 11 ? last_size : 8, 2}, stream(1, name, static_cast<std::uint64_t>(step)))
          .template to<D>();
    };
    return Batch<D>{draw("data"), {}, draw("paired")};
  };
}

/// Runs a part; the student's adapter, its target, and what the objective trains.
template <class D, class Part>
std::vector<float> run(Part part, bool capture) {
  const Folder folder("captured");
  records::RunDirectory directory(folder.file("run"), {}, records::Existing::replace);
  for (auto& phase : part.phases) phase.options.capture = capture;
  const auto teacher = net<D>(2);
  pipeline::RecipeState<Net<D>> state{teacher, teacher};
  pipeline::run_part(pipeline::Session{directory, 5}, part, state);
  std::vector<float> out;
  const auto add = [&](const std::string&, const auto& tensor) {
    for (const auto v : tensor.to_vector()) out.push_back(static_cast<float>(v));
  };
  for (const auto& factor : nn::lora_parameters(state.student)) add("", factor.var.value());
  if (state.target)
    for (const auto& factor : nn::lora_parameters(*state.target)) add("", factor.var.value());
  part.phases.back().objective.visit_state(add, "");
  return out;
}

/// Two stages of TSCD with a critic in the second, six steps each.
template <class D, class Process>
std::vector<float> tscd(bool capture, double guidance = 2, std::int64_t last_size = 8) {
  Critic<D> critic;
  using Metric = distill::Hybrid<distill::Mse, distill::Adversarial<Critic<D>>>;
  pipeline::StageOptions options{.steps = {6, 6}};
  options.lora.rank = 4;
  return run<D>(pipeline::staged("tscd", {4, 1}, batches<D>(last_size), options,
                                 [&](int k, bool) {
                                   return distill::Consistency<distill::WithinSegments<>, Process, Metric>(
                                       {.guidance_min = 1, .guidance_max = guidance, .jump_exponent = 1},
                                       Metric{{}, {&critic}, distill::hybrid_weights(k, 0.1)}, {k});
                                 }),
                capture);
}

/// Ten steps of enhancement of one and two steps, whose inputs the student makes: paired regression, a critic of data,
/// two updates of the fake score a step; other times held.
template <class D, class Process>
std::vector<float> one_step(bool capture, double guidance = 2) {
  using Fake = distill::FakeScore<Net<D>, Process>;
  const Process process;
  Fake fake(net<D>(4), process);
  Critic<D> critic;
  const distill::DmdOptions options{.start = process.grid(2),
                                    .simulate = true,
                                    .guidance = guidance,
                                    .learn_per_update = 2,
                                    .adversarial_weight = 0.1};
  const auto objective =
      distill::sum_of(distill::weighted(1, distill::Dmd<Fake, Process, Critic<D>>(process, &fake, options, &critic)),
                      distill::weighted(0.5, distill::Preserve<distill::Anywhere, Process>(process), "preserve"));
  return run<D>(
      pipeline::part(pipeline::Phase{"one", objective, batches<D>(), pipeline::NewAdapter{{.rank = 4}}, {.steps = 10}}),
      capture);
}

/// `train<D>(capture, guidance)` by `graphs` launches is what it is without graphs, and on the CPU.
template <class Train>
void check(Train&& train, int graphs) {
  const auto cpu = train.template operator()<Cpu>(false, 2);
  const auto before = emulated::graphs;
  const auto enqueued = train.template operator()<Kernels>(false, 2);
  CHECK(emulated::graphs == before);
  const auto captured = train.template operator()<Kernels>(true, 2);
  CHECK(emulated::graphs == before + graphs);
  CHECK(captured == enqueued);
  REQUIRE(captured.size() == cpu.size());
  double worst = 0;
  for (std::size_t i = 0; i < cpu.size(); ++i)
    worst = std::max(worst, static_cast<double>(std::abs(captured[i] - cpu[i])));
  CHECK(worst < 2e-5);
  CHECK(train.template operator()<Kernels>(true, 3) != captured);  // the draws count
}

}  // namespace

TEST_CASE("A captured phase of TSCD with a critic trains as one that is not, and as the CPU") {
  check([]<class D>(bool capture, double guidance) { return tscd<D, diffusion::StableDiffusion>(capture, guidance); },
        8);  // all steps but the first two of each stage
}

TEST_CASE("A captured phase of a process that scales the input of its networks") {
  check([]<class D>(bool capture, double guidance) { return tscd<D, diffusion::Edm>(capture, guidance); }, 8);
  check([]<class D>(bool capture, double guidance) { return one_step<D, diffusion::Edm>(capture, guidance); }, 8);
}

TEST_CASE("A captured phase of one-step enhancement with a fake score and a critic") {
  check(
      []<class D>(bool capture, double guidance) { return one_step<D, diffusion::StableDiffusion>(capture, guidance); },
      8);
}

TEST_CASE("A captured phase needs batches of one size, others take any") {
  CHECK_THROWS_AS((tscd<Kernels, diffusion::Flow>(true, 1, 6)), ShapeError);
  CHECK(!tscd<Kernels, diffusion::Flow>(false, 1, 6).empty());
}

TEST_CASE("The stand-in for a graph refuses copies between host and device, as a capture does") {
  const Graph<Kernels> up([] { (void)Tensor<float, Kernels>::from(Shape{1}, {1}); });
  CHECK_THROWS_WITH_AS(up.launch(), doctest::Contains("from the host"), DeviceError);
  const auto one = Tensor<float, Kernels>::from(Shape{1}, {1});
  const Graph<Kernels> down([&] { (void)one.item(); });
  CHECK_THROWS_WITH_AS(down.launch(), doctest::Contains("to the host"), DeviceError);
}

TEST_CASE("Diagnostics are read when a line of the loss curve is due") {
  int reads = 0;
  std::vector<int> at_step;
  const Var<float, Kernels> x(Tensor<float, Kernels>::ones(Shape{1}), true);
  pipeline::TrainOptions options{.phase = "reads", .steps = 8};
  options.log_every = 4;
  std::vector<records::LogRow> rows;
  pipeline::Hooks hooks;
  hooks.log = [&](const records::LogRow& row) { rows.push_back(row); };
  pipeline::train(
      options, optim::ParameterList<float, Kernels>{{"x", x}},
      [&](std::int64_t step) {
        at_step.push_back(reads);
        diffusion::LossResult<float, Kernels> out{autograd::mean(x), {}};
        out.diagnostics.emplace_back("step", [&reads, step] { return ++reads, static_cast<double>(step); });
        out.diagnostics.emplace_back("loss", out.loss.value());
        return out;
      },
      {}, hooks);
  CHECK(at_step == std::vector<int>{0, 0, 0, 0, 4, 4, 4, 4});
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].diagnostics[0] == std::pair<std::string, double>("step", 5.5));
  CHECK(rows[0].diagnostics[1].second == doctest::Approx(rows[0].loss));
}
