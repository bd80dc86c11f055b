// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/refl.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/sum.hpp>
#include <hypersd/feedback/stay_close.hpp>
#include <map>
#include <set>

#include "golden.hpp"

using namespace hypersd;
using namespace hypersd::feedback;
using toy::process;

namespace {

using Condition = Tensor<double>;
using Batch = diffusion::Batch<double, Cpu, Condition>;

/// A golden case: the same draws for both objectives.
struct Case {
  toy::FeedbackGolden golden;
  std::string name;
  toy::Mlp teacher = golden.network("teacher", true);
  Batch batch = golden.batch();
  RolloutDraws draws;
  std::vector<Tensor<double>> noise;

  explicit Case(std::string n) : name(std::move(n)) {
    draws = {golden.times("refl." + name + ".times"), static_cast<int>(golden.times("refl." + name + ".position")[0])};
    const auto all = golden.values("refl." + name + ".noise");
    for (std::int64_t i = 0; i < draws.position; ++i) noise.push_back(all.slice(i, i + 1).reshape(batch.x0.shape()));
  }

  template <class P, class S>
  void check(double eta, P, S) const {
    CAPTURE(name);
    const diffusion::Discrete<P> process = toy::table();
    const RolloutOptions options{.times = draws.times, .eta = eta};
    const Refl refl(process, golden.decoder(), golden.hinges(), options, S{});
    const auto z = golden.values("z");
    const auto student = golden.network("student", true), other = golden.network("student", true);
    CHECK(toy::relative(refl.rollout.walk(student, draws, z, noise, batch.condition.conditional),
                        golden.values("refl." + name + ".x")) < 1e-11);
    const auto result = refl.loss_at(student, batch, draws, z, noise);
    golden.check("refl." + name, result.loss, student);
    golden.check("stay_close." + name,
                 StayClose(process, options, S{}).loss_at(other, teacher, batch, draws, z, noise).loss, other);
    for (const auto& [p, var] : teacher.parameters()) CHECK(!var.grad().defined());
    const auto rewards = golden.values("refl." + name + ".rewards");
    double mean = 0;
    for (std::int64_t b = 0; b < 6; ++b) mean += rewards[b] / 6;
    CHECK(result.diagnostics[0].first == "first");
    CHECK(result.diagnostics[0].second.value() == doctest::Approx(mean).epsilon(1e-9));
    CHECK(result.diagnostic("refl.time") == draws.times[static_cast<std::size_t>(draws.position)]);
  }
};

/// Counts its evaluations with and without a tape, and the times of both.
struct Watched {
  Var<double> a{Tensor<double>::full(Shape{1}, 0.1), true};
  std::vector<double>*with, *without;
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Condition&) const {
    (a.tracked() ? with : without)->push_back(t[0]);
    return autograd::mul(x, ops::everywhere(a));
  }
};

/// eps = a_i x with a parameter of its own for each time.
struct OnePerTime {
  std::map<int, Var<double>> a;
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Condition&) const {
    return autograd::mul(x, ops::everywhere(a.at(static_cast<int>(t[0]))));
  }
};

struct Mean {
  Var<double> operator()(const Var<double>& images, const Condition&) const { return autograd::sum_to_samples(images); }
};
/// One huge alpha: the hinge is a plain minus sign.
auto raise() { return Hinge{Mean{}, 1e6, 1.0}; }

Batch batch_of(std::int64_t n, std::int64_t width = 3) {
  const auto c = Tensor<double>::zeros(Shape{n});
  return {Tensor<double>::zeros(Shape{n, width}), {c, c}};
}

}  // namespace

TEST_CASE("ReFL, Eq 10 and 13, and its regulariser: loss and gradient equal PyTorch's") {
  using diffusion::Epsilon, diffusion::Velocity, diffusion::Tcd, diffusion::Ddim, diffusion::DdimOde;
  Case("one").check(0, Epsilon{}, Tcd{});
  Case("dedicated").check(0, Epsilon{}, Tcd{});
  Case("four").check(0, Epsilon{}, Tcd{});
  Case("eight").check(0, Epsilon{}, DdimOde{});
  Case("tcd").check(0.3, Epsilon{}, Tcd{});
  Case("ddpm").check(1, Epsilon{}, Ddim{});
  Case("velocity").check(1, Velocity{}, Tcd{});
}

TEST_CASE("ReFL walks to the drawn position without a tape, and evaluates once with one") {
  std::vector<double> with, without;
  const Watched student{.with = &with, .without = &without};
  const Refl refl(process(), NoDecoder{}, raise(), {.steps = {8}, .left = 5, .right = 5});
  const auto result = refl.loss(student, student, student, batch_of(2), {1, 2});
  CHECK(with == std::vector<double>{374});
  CHECK(without == std::vector<double>{999, 874, 749, 624, 499});
  autograd::backward(result.loss);
  CHECK(student.a.grad().defined());
}

TEST_CASE("The gradient is that of the last evaluation alone, though the loss depends on the earlier ones") {
  const diffusion::Times times{999, 749, 499, 249};
  const auto z = ops::normal<double>(Shape{2, 3}, stream(3, "z"));
  const auto loss = [&](const OnePerTime& student) {
    return Refl(process(), NoDecoder{}, raise(), {.times = times}).loss_at(student, batch_of(2), {times, 3}, z).loss;
  };
  const auto student = [&](int moved = -1, double by = 0) {
    OnePerTime s;
    for (const diffusion::Time t : times)
      s.a[static_cast<int>(t)] = Var<double>(Tensor<double>::full(Shape{1}, 0.2 + (t == moved ? by : 0)), true);
    return s;
  };
  const auto slope = [&](int t) { return (loss(student(t, 1e-6)).item() - loss(student(t, -1e-6)).item()) / 2e-6; };
  const auto s = student();
  autograd::backward(loss(s));
  CHECK(s.a.at(249).grad()[0] == doctest::Approx(slope(249)).epsilon(1e-3));
  for (const int t : {999, 749, 499}) {
    CHECK(!s.a.at(t).grad().defined());
    CHECK(std::abs(slope(t)) > 1e-3);
  }
}

TEST_CASE("Where all rewards have reached alpha, the student's gradient is exactly zero") {
  const Case c("four");
  const auto student = c.golden.network("student", true);
  const Hinge hinge{toy::NetworkReward{c.golden.network("first")}, -100.0};
  const auto result =
      Refl(process(), c.golden.decoder(), hinge).loss_at(student, c.batch, c.draws, c.golden.values("z"));
  CHECK(result.loss.item() == 0);
  autograd::backward(result.loss);
  for (const auto& [p, var] : student.parameters())
    for (const double g : var.grad().to_vector()) CHECK(g == 0);
}

TEST_CASE("Positions: the last quarter of each list, or a range with both ends") {
  CHECK(last_quarter(1) == 0);
  CHECK(last_quarter(2) == 1);
  CHECK(last_quarter(4) == 3);
  CHECK(last_quarter(8) == 6);
  CHECK(last_quarter(40) == 30);
  std::map<std::size_t, std::set<int>> seen;
  const Rollout<diffusion::Discrete<>> few(process(), {});
  for (int step = 0; step < 400; ++step) {
    const auto d = few.draw({7, step});
    CHECK(d.times == diffusion::trailing(1000, static_cast<int>(d.times.size())));
    seen[d.times.size()].insert(d.position);
  }
  CHECK(seen == std::map<std::size_t, std::set<int>>{{1, {0}}, {2, {1}}, {4, {3}}, {8, {6, 7}}});

  std::set<int> positions;
  const auto times = diffusion::leading(1000, 40, 1);
  const Rollout<diffusion::Discrete<>> many(process(), {.times = times});
  for (int step = 0; step < 400; ++step) positions.insert(many.draw({7, step}).position);
  CHECK(positions == std::set<int>{30, 31, 32, 33, 34, 35, 36, 37, 38, 39});
  CHECK(times[30] == 226);

  positions.clear();
  const Rollout<diffusion::Discrete<>> range(process(), {.steps = {4}, .left = 1, .right = 2});
  for (int step = 0; step < 100; ++step) positions.insert(range.draw({7, step}).position);
  CHECK(positions == std::set<int>{1, 2});
}

TEST_CASE("The walk is the sampler's, step by step") {
  struct Net {
    Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, const Condition&) const {
      return ops::map(ops::Affine<double>{0.3 + t[0] / 2000, 0.1}, x);
    }
  };
  const diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion> sampler;
  const Rollout<diffusion::Discrete<>> rollout(process(), {.steps = {4}});
  const auto z = rollout.start<double, Cpu>(Shape{3, 4}, {1, 0});
  const auto c = Tensor<double>::zeros(Shape{3});
  sampler(Net{}, z, c, 4, {}, [&](int i, diffusion::StepTimes, const Tensor<double>& x) {
    if (i < 3) CHECK(toy::relative(rollout.walk(Net{}, {diffusion::trailing(1000, 4), i + 1}, z, {}, c), x) < 1e-14);
  });
}

TEST_CASE("ReFL and its regulariser draw from seed and step alone, and train at the same points") {
  const Case c("four");
  const auto student = c.golden.network("student", true);
  const RolloutOptions options{.eta = 0.3};
  const Refl refl(process(), c.golden.decoder(), c.golden.hinges(), options);
  const StayClose close(process(), options);
  const auto repeats = [&](const auto& objective) {
    const auto loss = [&](std::uint64_t seed, std::int64_t step) {
      return objective.loss(student, c.teacher, c.teacher, c.batch, {seed, step}).loss.item();
    };
    CHECK(loss(4, 7) == loss(4, 7));
    CHECK(loss(4, 7) != loss(4, 8));
    CHECK(loss(4, 7) != loss(5, 7));
  };
  repeats(refl);
  repeats(close);
  for (int step = 0; step < 20; ++step) {
    const auto a = refl.rollout.draw({4, step}), b = close.rollout.draw({4, step});
    CHECK(a.times == b.times);
    CHECK(a.position == b.position);
  }
  static_assert(diffusion::Objective<decltype(refl), toy::Mlp, toy::Mlp, toy::Mlp, double, Cpu, Condition>);
  static_assert(diffusion::Objective<decltype(close), toy::Mlp, toy::Mlp, toy::Mlp, double, Cpu, Condition>);
  CHECK(close.loss(student, student, student, c.batch, {4, 1}).loss.item() == 0);
  const auto both = distill::sum_of(distill::weighted(1, refl), distill::weighted(0.1, close));
  const auto loss = [&](const auto& o) { return o.loss(student, c.teacher, c.teacher, c.batch, {4, 7}).loss.item(); };
  CHECK(loss(both) == doctest::Approx(loss(refl) + 0.1 * loss(close)).epsilon(1e-12));
}

TEST_CASE("A decoder that is computed twice gives the same gradient") {
  const Case c("four");
  const auto gradient = [&](auto decoder) {
    const auto student = c.golden.network("student", true);
    autograd::backward(
        Refl(process(), decoder, c.golden.hinges()).loss_at(student, c.batch, c.draws, c.golden.values("z")).loss);
    return student.w1.grad();
  };
  CHECK(toy::relative(gradient(Checkpointed{c.golden.decoder()}), gradient(c.golden.decoder())) == 0);
}

TEST_CASE("Rollouts that cannot work are refused") {
  using Walk = Rollout<diffusion::Discrete<>>;
  CHECK_THROWS_AS(Walk(process(), {.steps = {}}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.steps = {4, 0}}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.times = {499, 999}}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.times = {1000}}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.steps = {4, 2}, .right = 3}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.steps = {4}, .left = 3, .right = 2}), OptionError);
  CHECK_THROWS_WITH_AS(Walk(process(), {.steps = {4}, .left = -3}), doctest::Contains("-1 is the default"),
                       OptionError);
  CHECK_THROWS_AS(Walk(process(), {.steps = {4}, .right = -2}), OptionError);
  CHECK_THROWS_AS(Walk(process(), {.eta = 1.5}), OptionError);
  CHECK_THROWS_AS((Rollout<diffusion::Discrete<>, diffusion::DdimOde>(process(), {.eta = 0.5})), OptionError);
  const auto z = Tensor<double>::zeros(Shape{1, 3}), c = Tensor<double>::zeros(Shape{1});
  const toy::Mlp net;
  CHECK_THROWS_AS((void)Walk(process(), {}).walk(net, {{999, 499}, 2}, z, {}, c), OptionError);
  const OnePerTime flat{{{999, Var<double>(Tensor<double>::ones(Shape{1}))}}};
  CHECK_THROWS_WITH_AS((void)Walk(process(), {.eta = 0.5}).walk(flat, {{999, 499}, 1}, z, {}, c),
                       doctest::Contains("0 tensors of noise are given; step 1 needs another"), OptionError);
  std::vector<double> zero(1000);
  for (int t = 0; t < 1000; ++t) zero[static_cast<std::size_t>(t)] = 1.0 - (t + 1) / 1000.0;
  const diffusion::NoiseTable dark(zero);
  CHECK_THROWS_AS(Walk(dark, {}), OptionError);
  CHECK_NOTHROW(Walk(dark, {.times = {800}}));
  CHECK_NOTHROW((Rollout<diffusion::Discrete<diffusion::Velocity>>(dark, {})));
}
