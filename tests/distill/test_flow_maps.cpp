// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/flow_map.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/shortcut.hpp>

#include "continuous.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using continuous::AffineMap;
using continuous::Gaussian;
using diffusion::Edm;
using diffusion::Flow;
using diffusion::Trig;
using diffusion::Unconditional;

namespace {

using Points = Batch<double, Cpu, Unconditional>;

struct Goldens : continuous::Golden {
  Goldens() : Golden("flow_maps") {}
  [[nodiscard]] auto student() const { return network<true>("map", true); }
  [[nodiscard]] ContinuousDraws draws(const std::string& kind) const {
    return {numbers(kind + ".t"), numbers(kind + ".end"), numbers("scale")};
  }
};

/// A student that is told w, as condition + 0.1 w.
struct Told {
  continuous::Mlp<true> net;
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c) const {
    return net(x, t, c);
  }
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c,
                         const Tensor<double>& w) const {
    return net(x, t, ops::map(ops::LinearCombination<double>{1, 0.1}, c, w));
  }
  [[nodiscard]] auto parameters() const { return net.parameters(); }
};

/// Data N(m, 0.5^2) with m = 0.3 under the condition 1 and m = 0 without one; guided by a scale g, the flow is that of
/// N(0.3 g, 0.5^2). Networks see the mean of the first sample.
struct GuidedGaussian {
  static Gaussian at(double condition, double scale) { return {.m = 0.3 * condition * scale, .c = 0.5}; }
};
struct GuidedMap {
  AffineMap map{};
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c,
                         const Tensor<double>& w) const {
    AffineMap told;
    told.form = GuidedGaussian::at(c[0], 1 + w[0]).exact(Flow());
    told.a = map.a;
    return told(x, t, Unconditional{});
  }
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c) const {
    return (*this)(x, t, c, Tensor<double>::zeros(c.shape()));
  }
};
struct ConditionalTeacher {
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, const Tensor<double>& c) const {
    return GuidedGaussian::at(c[0], 1).teacher(Flow())(x, t, Unconditional{});
  }
};

template <class Objective>
void check_mean_flow(const std::string& name, const Objective& objective) {
  const Goldens golden;
  const auto student = golden.student();
  const auto teacher = golden.network<false>("teacher");
  golden.check(name,
               objective.loss_at(student, teacher, golden.batch(), golden.draws("flow"), golden.values("noise")).loss,
               student);
}
template <FlowMapEquation equation, class Process>
void check_flow_map(const std::string& kind, const std::string& name, FlowMapOptions options = {}) {
  const Goldens golden;
  const auto teacher = golden.network<false>("teacher");
  for (const FlowSource source : {FlowSource::data, FlowSource::teacher}) {
    const auto student = golden.student();
    options.source = source;
    const FlowMap<equation, Process> objective(options);
    const auto loss = objective.loss_at(student, teacher, golden.batch(), golden.draws(kind),
                                        golden.numbers(kind + ".middle"), golden.values("noise"));
    golden.check(kind + "." + name + (source == FlowSource::data ? ".data" : ".teacher"), loss.loss, student);
  }
}
template <class Process>
void check_flow_maps(const std::string& kind) {
  check_flow_map<FlowMapEquation::lagrangian, Process>(kind, "lagrangian");
  check_flow_map<FlowMapEquation::eulerian, Process>(kind, "eulerian");
  check_flow_map<FlowMapEquation::progressive, Process>(kind, "progressive");
}

/// `n` copies of one number x.
Points copies(std::int64_t n, double x) { return {Tensor<double>::full(Shape{n, 1}, x), {}}; }
Points points(const Gaussian& data, std::int64_t n) {
  const auto z = ops::normal<double>(Shape{n, 1}, stream(1, "data"));
  return {ops::map(ops::Affine<double>{data.c, data.m}, z), {}};
}

}  // namespace

TEST_CASE("Mean flows and improved mean flows: loss and gradient equal PyTorch's") {
  const MeanFlowOptions plain{}, guided{.omega = 0.6, .kappa = 0.3};
  check_mean_flow("mean_flow", MeanFlow<>(plain));
  check_mean_flow("mean_flow.guided", MeanFlow<>(guided));
  check_mean_flow("improved", ImprovedMeanFlow<>(plain));
  check_mean_flow("improved.guided", ImprovedMeanFlow<>(guided));
}

TEST_CASE("Improved mean flows with guidance as an input: loss and gradient equal PyTorch's") {
  const Goldens golden;
  const Told student{golden.student()};
  const auto teacher = golden.network<false>("teacher");
  const ImprovedMeanFlow<> objective({.told_scale = 4});
  golden.check("improved.told",
               objective.loss_at(student, teacher, golden.batch(), golden.draws("flow"), golden.values("noise")).loss,
               student);
}

TEST_CASE("Guidance as an input: the exact map of the guided flow has no loss at any scale; draws are log-uniform") {
  const std::int64_t n = 12;
  const Batch<double, Cpu, Tensor<double>> batch{Tensor<double>::full(Shape{n, 1}, 0.1),
                                                 {Tensor<double>::ones(Shape{n}), Tensor<double>::zeros(Shape{n})}};
  const auto noise = ops::normal<double>(Shape{n, 1}, stream(3, "noise"));
  const ImprovedMeanFlow<> objective({.source = FlowSource::teacher, .told_scale = 8, .power = 0});
  for (const double scale : {1.0, 2.5, 8.0}) {
    CAPTURE(scale);
    ContinuousDraws d = objective.draw(n, {1, 2});
    for (double& g : d.guidance) g = scale;
    const auto exact = objective.loss_at(GuidedMap{}, ConditionalTeacher{}, batch, d, noise);
    CHECK(exact.loss.item() < 1e-20);
    // The map of another scale has one.
    const auto one_off = [&](const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c,
                             const Tensor<double>& w) {
      return GuidedMap{}(x, t, c, ops::map(ops::Affine<double>{1, 1.0}, w));
    };
    struct Off {
      decltype(one_off) f;
      Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c,
                             const Tensor<double>& w) const {
        return f(x, t, c, w);
      }
      Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>& c) const {
        return f(x, t, c, Tensor<double>::zeros(c.shape()));
      }
    };
    CHECK(objective.loss_at(Off{one_off}, ConditionalTeacher{}, batch, d, noise).loss.item() > 1e-3);
  }
  double below = 0;
  for (const double g : objective.draw(4000, {1, 3}).guidance) {
    CHECK((g >= 1 && g <= 8));
    below += g < 2 ? 1 : 0;
  }
  CHECK(below / 4000 == doctest::Approx(1.0 / 3).epsilon(0.1));
}

TEST_CASE("Flow maps: loss and gradient equal PyTorch's for each equation, with and without a teacher") {
  check_flow_maps<Flow>("flow");
  check_flow_maps<Trig>("trig");
}

TEST_CASE(
    "Through dX/ds: loss and gradient are PyTorch's up to the error of the difference, which is of second order") {
  const Goldens golden;
  const auto teacher = golden.network<false>("teacher");
  const auto gap = [&](double step) {
    const auto student = golden.student();
    const LagrangianFlowMap<> objective({.through_derivative = true, .step = step});
    const auto loss =
        objective.loss_at(student, teacher, golden.batch(), golden.draws("flow"), {}, golden.values("noise"));
    const double expected = golden.values("flow.lagrangian.full.data.loss").item();
    CHECK(loss.loss.item() == doctest::Approx(expected).epsilon(1e-4));
    autograd::backward(loss.loss);
    double difference = 0, size = 0;
    for (const auto& [p, var] : student.parameters()) {
      const auto goal = golden.values(std::string("flow.lagrangian.full.data.grad.") + p);
      for (std::int64_t i = 0; i < goal.size(); ++i) {
        difference += (var.grad()[i] - goal[i]) * (var.grad()[i] - goal[i]);
        size += goal[i] * goal[i];
      }
    }
    return std::sqrt(difference / size);
  };
  const double fine = gap(1e-3), finer = gap(5e-4);
  CHECK(fine < 1e-5);
  CHECK(finer < 0.3 * fine);
}

TEST_CASE("Shortcut models: loss and gradient equal PyTorch's") {
  const Goldens golden;
  const auto student = golden.student();
  Shortcut<>::Draws draws;
  draws.t = golden.numbers("shortcut.t"), draws.end = golden.numbers("shortcut.end");
  draws.guidance = golden.numbers("scale");
  for (std::size_t b = 0; b < draws.t.size(); ++b)
    draws.middle.push_back(draws.t[b] - draws.end[b] == 1.0 / 16 ? draws.end[b] : (draws.t[b] + draws.end[b]) / 2);
  const auto loss = Shortcut<>({.levels = 4})
                        .loss_at(student, golden.network<false>("teacher"), golden.network<true>("target", true),
                                 golden.batch(), draws, golden.values("noise"));
  golden.check("shortcut", loss.loss, student);
}

TEST_CASE("The exact flow map of Gaussian data: derivatives, and no loss where the flow is known") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const Flow process;
  AffineMap student{{data.exact(process)}};
  const auto x = Tensor<double>::full(Shape{1, 1}, 0.9), v = Tensor<double>::full(Shape{1, 1}, 0.687804878);
  // Worked apart: u, its total derivative along the flow, and du/ds.
  const auto total = diffusion::evaluate_along(process, student, autograd::Dual<double>{x, v}, {{0.7}, {1}},
                                               {{0.2}, {0}}, Unconditional{});
  CHECK(total.prediction.item() == doctest::Approx(0.3079940230).epsilon(1e-9));
  CHECK(total.derivative.item() == doctest::Approx(0.7596217102).epsilon(1e-8));
  const auto end = diffusion::evaluate_along(process, student, autograd::Dual<double>{x, {}}, {{0.7}, {0}},
                                             {{0.2}, {1}}, Unconditional{});
  CHECK(end.derivative.item() == doctest::Approx(1.2159880458).epsilon(1e-9));

  const auto check = [](const auto& objective, double sd) {
    const auto& p = objective.process;
    const Gaussian g{.m = 0.3, .c = 0.5, .sd = sd};
    const auto batch = points(g, 64);
    AffineMap exact{{g.exact(p)}};
    const auto none = objective.loss(exact, g.teacher(p), exact, batch, {3, 5});
    CHECK(none.loss.item() < 1e-16);
    autograd::backward(none.loss);
    CHECK(std::abs(exact.a.grad().item()) < 1e-8);
    for (const double off : {0.9, 1.1}) {
      exact.a = Var<double>(Tensor<double>::full(Shape{1}, off), true);
      const auto some = objective.loss(exact, g.teacher(p), AffineMap{{g.exact(p)}}, batch, {3, 5});
      CHECK(some.loss.item() > 1e-5);
      autograd::backward(some.loss);
      CHECK(exact.a.grad().item() * (off - 1) > 0);
    }
  };
  const auto check_all = [&](const auto& p, double sd) {
    using P = std::remove_cvref_t<decltype(p)>;
    const FlowMapOptions taught{.same_share = 0.25, .source = FlowSource::teacher};
    check(LagrangianFlowMap<P>(p, taught), sd);
    check(EulerianFlowMap<P>(p, taught), sd);
    check(ProgressiveFlowMap<P>(p, taught), sd);
    check(MeanFlow<P>(p, {.same_share = 0.25, .source = FlowSource::teacher}), sd);
    check(ImprovedMeanFlow<P>(p, {.same_share = 0.25, .source = FlowSource::teacher}), sd);
  };
  check_all(Flow(), 1);
  check_all(Trig(), 0.5);
  check_all(Edm(), 0.5);
  // Its exact student jumps everywhere but on the shortest level, which learns the velocity.
  check(Shortcut<>({.levels = 4, .shortcut_share = 1}), 1);
}

TEST_CASE("From data the losses at the exact map have the floors that the variance of the velocity leaves") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  AffineMap student{{data.exact(Flow())}};
  const std::int64_t n = 20000;
  const auto batch = points(data, n);
  const auto noise = ops::normal<double>(batch.x0.shape(), stream(2, "noise"));
  const auto floor = [&](const auto& objective, double end) {
    student.a.zero_grad();
    const auto size = static_cast<std::size_t>(n);
    const ContinuousDraws d{diffusion::Times(size, 0.7), diffusion::Times(size, end), std::vector<double>(size, 1.0)};
    const auto loss = objective.loss_at(student, data.teacher(Flow()), batch, d, noise).loss;
    autograd::backward(loss);
    return loss.item();
  };
  const MeanFlowOptions plain{.power = 0};
  // c^2 S_s / S_t^2 and c^2 / S_t of one dimension; a sum over samples of squares has relative deviation sqrt(2 / n).
  CHECK(floor(MeanFlow<>(plain), 0.2) == doctest::Approx(0.1903628792).epsilon(0.03));
  CHECK(std::abs(student.a.grad().item()) < 0.02);
  CHECK(floor(ImprovedMeanFlow<>(plain), 0.2) == doctest::Approx(0.4878048780).epsilon(0.03));
  CHECK(std::abs(student.a.grad().item()) < 0.02);
  CHECK(floor(MeanFlow<>(plain), 0.7) == doctest::Approx(0.4878048780).epsilon(0.03));
}

TEST_CASE("Samples with end = t are flow matching exactly") {
  const Goldens golden;
  const auto student = golden.student();
  const auto batch = golden.batch();
  const auto t = golden.numbers("flow.t");
  const auto z = golden.values("noise");
  const auto x = diffusion::add_noise(Flow(), batch.x0, z, t);
  const auto u = diffusion::predict_between(Flow(), student, x, t, t, batch.condition.conditional);
  const double matching = autograd::mse(Var<double>(u), diffusion::training_target(Flow(), batch.x0, z, t)).item();
  const ContinuousDraws d{t, t, golden.numbers("scale")};
  const auto teacher = golden.network<false>("teacher");
  // |d|^2 of a mean flow is a sum over the five elements.
  CHECK(MeanFlow<>({.power = 0}).loss_at(student, teacher, batch, d, z).loss.item() ==
        doctest::Approx(5 * matching).epsilon(1e-12));
  CHECK(EulerianFlowMap<>().loss_at(student, teacher, batch, d, t, z).loss.item() ==
        doctest::Approx(matching).epsilon(1e-12));
  CHECK(LagrangianFlowMap<>().loss_at(student, teacher, batch, d, t, z).loss.item() ==
        doctest::Approx(matching).epsilon(1e-9));
  CHECK(ProgressiveFlowMap<>().loss_at(student, teacher, batch, d, t, z).loss.item() ==
        doctest::Approx(matching).epsilon(1e-12));
}

TEST_CASE("Draws of flow maps: sorted pairs, shares by place, dyadic shortcuts") {
  const auto d = MeanFlow<>().draw(4000, {7, 2});
  double same = 0;
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK(d.end[b] <= d.t[b]);
    same += d.end[b] == d.t[b] ? 1 : 0;
  }
  CHECK(same == 3000);
  const auto rest = MeanFlow<>().draw(10, {7, 2, 50});
  for (std::size_t b = 0; b < 10; ++b) CHECK((rest.t[b] == d.t[50 + b] && rest.end[b] == d.end[50 + b]));
  const auto middle = ProgressiveFlowMap<>::between(d, {7, 2});
  for (std::size_t b = 0; b < d.t.size(); ++b) CHECK((middle[b] <= d.t[b] && middle[b] >= d.end[b]));

  const auto s = Shortcut<>({.levels = 3, .shortcut_share = 0.25}).draw(4000, {7, 2});
  std::array<int, 4> lengths{};
  for (std::size_t b = 0; b < s.t.size(); ++b) {
    const double length = s.t[b] - s.end[b];
    const auto level = static_cast<std::size_t>(std::lround(3 + std::log2(length)));
    ++lengths.at(level);
    CHECK(length == std::exp2(static_cast<double>(level) - 3));
    CHECK(std::fmod(s.end[b], length) == 0);
    CHECK(s.middle[b] == (level == 0 ? s.end[b] : s.end[b] + length / 2));
  }
  CHECK(lengths[0] == 3000);
  for (std::size_t level = 1; level < 4; ++level) CHECK(std::abs(lengths.at(level) - 333) < 80);
}

TEST_CASE("Options of flow maps out of range are refused, and tangents that are not finite") {
  CHECK_THROWS_AS(MeanFlow<>({.same_share = 1.5}), OptionError);
  CHECK_THROWS_AS(MeanFlow<>({.kappa = 1}), OptionError);
  CHECK_THROWS_AS(MeanFlow<>({.told_scale = 0.5}), OptionError);
  CHECK_THROWS_WITH_AS(MeanFlow<>({.kappa = 0.5, .told_scale = 2}), doctest::Contains("guidance of its own"),
                       OptionError);
  const Goldens golden;
  CHECK_THROWS_WITH_AS(MeanFlow<>({.told_scale = 2})
                           .loss_at(golden.student(), golden.network<false>("teacher"), golden.batch(),
                                    golden.draws("flow"), golden.values("noise")),
                       doctest::Contains("takes no guidance weight"), OptionError);
  CHECK_THROWS_AS(EulerianFlowMap<>({.through_derivative = true}), OptionError);
  CHECK_THROWS_AS(LagrangianFlowMap<>({.step = 0}), OptionError);
  CHECK_THROWS_AS(Shortcut<>({.levels = 0}), OptionError);
  AffineMap student{
      {[](continuous::Jet, continuous::Jet) { return std::pair<continuous::Jet, continuous::Jet>(NAN, 0); }}};
  const Gaussian data;
  CHECK_THROWS_AS(MeanFlow<>().loss(student, data.teacher(Flow()), student, copies(2, 1), {}), NumericError);
  CHECK_THROWS_AS(LagrangianFlowMap<>().loss(student, data.teacher(Flow()), student, copies(2, 1), {}), NumericError);
}
