// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/continuous_consistency.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/adaptive_weight.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

#include "continuous.hpp"

#include <limits>

using namespace hypersd;
using namespace hypersd::distill;
using continuous::Gaussian;
using diffusion::Edm;
using diffusion::Flow;
using diffusion::Trig;
using diffusion::Unconditional;

namespace {

using Points = Batch<double, Cpu, Unconditional>;

ContinuousConsistencyOptions plain() { return {.bound = TangentBound::none}; }

template <bool two_times, class Process>
void check_golden(const std::string& name, const Process& process, ContinuousConsistencyOptions options,
                  std::int64_t step = 0) {
  const continuous::Golden golden("continuous");
  const auto student = golden.network<two_times>(two_times ? "map" : "student", true);
  const auto teacher = golden.network<false>("teacher", true);
  const ContinuousDraws draws{golden.numbers(name + ".t"), golden.numbers(name + ".end"), golden.numbers("scale")};
  // The rule only draws.
  const ContinuousConsistency<Anywhere, Process> objective(process, options);
  const auto result = objective.loss_at(student, teacher, golden.batch(), draws, golden.values("noise"), {0, step});
  golden.check(name, result.loss, student);
  for (const auto& [p, var] : teacher.parameters()) CHECK(!var.grad().defined());
}
template <class Process>
void check_goldens(const std::string& kind, const Process& process) {
  check_golden<false>(kind + ".segment", process, plain());
  check_golden<false>(kind + ".end", process, {});
  check_golden<true>(kind + ".map", process, {.bound = TangentBound::clip, .clip = 0.5});
  if (kind == "edm") return;
  auto warm_up = plain(), data = plain();
  warm_up.warm_up = 10, data.source = FlowSource::data;
  check_golden<false>(kind + ".warm_up", process, warm_up, 3);
  check_golden<false>(kind + ".data", process, data);
}

/// The tangent of one number x of data N(m, c^2) at time t under jumps to `end`.
template <class Process, class Student>
double tangent_at(const Process& process, const Gaussian& data, const Student& student, double x, double t,
                  double end) {
  const auto at = Tensor<double>::full(Shape{1, 1}, x);
  const auto velocity = diffusion::velocity_of(
      process, at, diffusion::predict(process, data.teacher(process), at, {t}, Unconditional{}), {t});
  return jump_drift(process, student, at, velocity, {t}, {end}, Unconditional{}).tangent.item();
}

}  // namespace

TEST_CASE("Continuous consistency: loss and gradient equal PyTorch's on TrigFlow, a rectified flow and EDM") {
  check_goldens("trig", Trig());
  check_goldens("flow", Flow());
  check_goldens("edm", Edm());
}

TEST_CASE("sCM's tangent at the teacher itself, and 0 at the exact consistency function") {
  const Gaussian data{.m = 0, .c = 0.8};
  const Trig process;
  // F_teacher = dx/dt / sd = cos t sin t (sd^2 - c^2) / S x / sd.
  const auto teacher = [&](continuous::Jet t, continuous::Jet) {
    using continuous::Jet;
    const Jet s = cos(t) * cos(t) * 0.64 + sin(t) * sin(t) * 0.25;
    return std::pair(cos(t) * sin(t) * (0.25 - 0.64) / s, Jet(0));  // of the input x / sd
  };
  const continuous::AffineStudent same{teacher}, exact{data.exact(process)};
  continuous::AffineStudent segment{data.exact(process)};
  segment.fixed_end = 0.4;
  // Worked apart, by automatic differentiation of the published formula.
  CHECK(tangent_at(process, data, same, 0.7, 1.1, 0) == doctest::Approx(-0.4151459121).epsilon(1e-9));
  CHECK(tangent_at(process, data, same, 0.7, 1.1, 0.4) == doctest::Approx(-0.5060077263).epsilon(1e-9));
  for (const double t : {0.01, 0.5, 1.1, 1.5}) CHECK(std::abs(tangent_at(process, data, exact, 0.7, t, 0)) < 1e-10);
  for (const double t : {0.41, 0.5, 1.1, 1.5}) CHECK(std::abs(tangent_at(process, data, segment, 0.7, t, 0.4)) < 1e-10);
}

TEST_CASE("The exact flow map of Gaussian data has no tangent, loss or gradient on any process, whatever the end") {
  const auto check = [](const auto& process, double sd) {
    const Gaussian data{.m = 0.3, .c = 0.5, .sd = sd};
    using Process = std::remove_cvref_t<decltype(process)>;
    const ContinuousTscd<4, Process> objective(process, plain());
    const Points batch{ops::normal<double>(Shape{64, 3}, stream(1, "data")), {}};
    continuous::AffineMap student{{data.exact(process)}};
    const auto none = objective.loss(student, data.teacher(process), student, batch, {3, 5});
    CHECK(none.loss.item() < 1e-16);
    autograd::backward(none.loss);
    CHECK(std::abs(student.a.grad().item()) < 1e-8);
    // A student that is off learns: the gradient of a leads back to 1.
    for (const double off : {0.9, 1.1}) {
      student.a = Var<double>(Tensor<double>::full(Shape{1}, off), true);
      const auto some = objective.loss(student, data.teacher(process), student, batch, {3, 5});
      CHECK(some.loss.item() > 1e-5);
      autograd::backward(some.loss);
      CHECK(student.a.grad().item() * (off - 1) > 0);
    }
  };
  check(Trig(), 0.5);
  check(Flow(), 1);
  check(Edm(), 0.5);
}

TEST_CASE("EDM has the loss of the TrigFlow that it is equivalent to") {
  // theta = atan(sigma / sd), x_trig = cos(theta) x_edm, F_trig = -F_edm: the same input of the network.
  const continuous::Golden golden("continuous");
  const auto net = golden.network<false>("student", true), other = golden.network<false>("teacher");
  using Net = std::remove_cvref_t<decltype(net)>;
  struct AsEdm {
    Net net;
    Var<double> operator()(const Var<double>& x, const nn::Times<double>& n, const Tensor<double>& c) const {
      Tensor<double> theta(n.value.shape()), rate(n.value.shape());
      for (std::int64_t b = 0; b < theta.size(); ++b) {
        const double sigma = std::exp(4 * n.value[b]);
        theta[b] = std::atan(sigma / 0.5);
        rate[b] = n.tangent.defined() ? n.tangent[b] * 4 * sigma * 0.5 / (sigma * sigma + 0.25) : 0;
      }
      Var<double> t(theta);
      t.set_tangent(rate);
      return autograd::affine(net(x, t, c), -1.0);
    }
  };
  const auto batch = golden.batch();
  const diffusion::Times theta{0.05, 0.4, 0.8, 1.1, 1.4, 1.5}, zero(6, 0.0);
  diffusion::Times sigma;
  for (const double t : theta) sigma.push_back(0.5 * std::tan(t));
  const auto z = golden.values("noise");
  const Scd<Trig> trig(plain());
  const Scd<Edm> edm(plain());
  const double a = trig.loss_at(net, other, batch, {theta, zero, golden.numbers("scale")}, z).loss.item();
  const double b = edm.loss_at(AsEdm{net}, AsEdm{other}, batch, {sigma, zero, golden.numbers("scale")}, z).loss.item();
  CHECK(b == doctest::Approx(a).epsilon(1e-9));
}

TEST_CASE("It is the limit of TSCD for short steps of the teacher: the gradients differ by O(h)") {
  const continuous::Golden golden("continuous");
  const auto teacher = golden.network<false>("teacher");
  const auto batch = golden.batch();
  const auto gradient = [&](const auto& loss_of) {
    const auto student = golden.network<false>("student", true);
    autograd::backward(loss_of(student));
    std::vector<double> out;
    for (const auto& [p, var] : student.parameters())
      for (const double g : var.grad().to_vector()) out.push_back(g);
    return out;
  };
  const auto check = [&](const auto& process, double t, double end) {
    using Process = std::remove_cvref_t<decltype(process)>;
    const diffusion::Times from(6, t), to(6, end);
    const auto scale = golden.numbers("scale");
    const auto limit = gradient([&](const auto& student) {
      return ContinuousTscd<4, Process>(process, plain())
          .loss_at(student, teacher, batch, {from, to, scale}, golden.values("noise"))
          .loss;
    });
    // d loss / d f is 2 B (J - J') / N here and -2 k dJ/dt / N there: -B h / k times as much.
    const distill::detail::DriftCoefficients c(process, t, end, 1);
    const double jump = process.jump(t, end).prediction, k = c.direction / jump;
    const auto gap = [&](double h) {
      const auto discrete = gradient([&](const auto& student) {
        const Draws draws{from, diffusion::Times(6, t - h), to, scale};
        return Tscd<4, Process>(process).loss_at(student, teacher, student, batch, draws, golden.values("noise")).loss;
      });
      double difference = 0, size = 0;
      for (std::size_t i = 0; i < limit.size(); ++i) {
        const double scaled = discrete[i] / (-jump * h / k);
        difference += (scaled - limit[i]) * (scaled - limit[i]);
        size += limit[i] * limit[i];
      }
      return std::sqrt(difference / size);
    };
    const double coarse = gap(2e-3), fine = gap(1e-3);
    CHECK(fine < 0.02);
    CHECK(fine / coarse == doctest::Approx(0.5).epsilon(0.05));
  };
  check(Trig(), 1.1, 0.8);
  check(Flow(), 0.7, 0.55);
}

TEST_CASE("Draws: times of the proposal, ends by the rule") {
  const std::int64_t n = 4000;
  const SegmentedScd<4, Trig> segmented{{.times = {.mean = -1, .deviation = 1.4}}};
  const ContinuousTscd<4, Flow> anywhere{{.guidance_min = 2, .guidance_max = 5}};
  const auto a = segmented.draw(n, {7, 3}), b = anywhere.draw(n, {7, 3});
  double mean = 0, squares = 0, lowest = 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const double log_sigma = std::log(0.5 * std::tan(a.t[i]));
    mean += log_sigma / n, squares += log_sigma * log_sigma / n;
    const double length = Trig().last() / 4;
    CHECK(a.end[i] == doctest::Approx(length * std::floor(a.t[i] / length)));
    // The same pair of numbers means the same noise on a rectified flow.
    CHECK(std::log(b.t[i] / (1 - b.t[i])) == doctest::Approx(log_sigma).epsilon(1e-9));
    const double start = 0.25 * std::floor(4 * b.t[i]);
    CHECK((b.end[i] >= start && b.end[i] <= b.t[i]));
    lowest = std::min(lowest, (b.end[i] - start) / (b.t[i] - start));
    CHECK((b.guidance[i] >= 2 && b.guidance[i] <= 5));
    CHECK(a.guidance[i] == 1);
  }
  CHECK(mean == doctest::Approx(-1).epsilon(0.1));
  CHECK(std::sqrt(squares - mean * mean) == doctest::Approx(1.4).epsilon(0.05));
  CHECK(lowest < 0.01);
  // A sample's draws depend on its place in the whole batch alone.
  const auto rest = segmented.draw(10, {7, 3, 100});
  for (std::size_t i = 0; i < 10; ++i) CHECK(rest.t[i] == a.t[100 + i]);
  // A time on a boundary belongs to the segment below.
  CHECK(segment_start(Flow(), 0.5, 4) == 0.25);
  CHECK(segment_start(Flow(), 0.0, 4) == 0);
  CHECK(segment_start(Edm(), 0.002, 4) == 0.002);
  const ContinuousTscd<2, Edm> edm{{.times = {.kind = TimeProposal::Kind::uniform}}};
  for (const double t : edm.draw(100, {1, 1}).t) CHECK((t >= 0.002 && t <= 80));
  const ContinuousTscd<2, Edm> wide{{.times = {.mean = 0, .deviation = 30}}};
  for (const double t : wide.draw(100, {1, 1}).t) CHECK((t >= 0.002 && t <= 80));
}

TEST_CASE("The warm-up fades the tangent in; options out of range are refused") {
  const Scd<Trig> objective({.warm_up = 8});
  CHECK(objective.warm_up_share(0) == 0);
  CHECK(objective.warm_up_share(2) == 0.25);
  CHECK(objective.warm_up_share(100) == 1);
  CHECK(Scd<Trig>().warm_up_share(0) == 1);
  CHECK_THROWS_AS(Scd<Trig>({.normalizer = 0}), OptionError);
  CHECK_THROWS_AS(Scd<Trig>({.guidance_min = 2}), OptionError);
  CHECK_THROWS_AS((SegmentedScd<2, Trig>(Trig(), {.warm_up = -1})), OptionError);
  CHECK_THROWS_AS((ContinuousConsistency<ToSegmentStarts<>, Trig>(Trig(), {}, {0})), OptionError);
  // A noise prediction says nothing about data where the flow ends without signal.
  CHECK_THROWS_AS((Scd<diffusion::Process<diffusion::RectifiedFlow, diffusion::Epsilon>>()), OptionError);
}

TEST_CASE("A tangent that is not finite is refused, with step, sample and times") {
  const Gaussian data{.c = 0.8};
  continuous::AffineStudent student{[](continuous::Jet t, continuous::Jet) {
    const double rate = t.v > 1 ? std::numeric_limits<double>::infinity() : 1;
    return std::pair(continuous::Jet(t.v, rate * t.d), continuous::Jet(0));
  }};
  const Points batch{Tensor<double>::ones(Shape{2, 1}), {}};
  CHECK_THROWS_WITH_AS(
      Scd<Trig>().loss_at(student, data.teacher(Trig()), batch, {{0.5, 1.25}, {0, 0}, {1, 1}}, batch.x0, {0, 7}),
      "the tangent of sample 1 is not finite in step 7: time 1.25, jump to 0", NumericError);
}

TEST_CASE("The learned weight: loss, gradient and the gradient of u equal PyTorch's") {
  const auto check = [](const std::string& kind, const auto& process) {
    const continuous::Golden golden("continuous");
    using Process = std::remove_cvref_t<decltype(process)>;
    const std::string name = kind + ".weight";
    AdaptiveWeight weight;
    auto head = weight.head();  // shares the values
    head.weight.assign(golden.values("head.weight"));
    head.bias.assign(golden.values("head.bias"));
    const AdaptivelyWeighted objective(ContinuousConsistency<Anywhere, Process>(process), &weight);
    const auto student = golden.network<false>("student", true), teacher = golden.network<false>("teacher");
    const ContinuousDraws draws{golden.numbers(name + ".t"), golden.numbers(name + ".end"), golden.numbers("scale")};
    const auto made = objective.objective.residual_at(student, teacher, golden.batch(), draws, golden.values("noise"));
    golden.check(name, objective.loss_from(made, student, teacher, 0, golden.batch(), {}).loss, student);

    std::vector<double> l;
    for (const double square : tangent_squares(made.drift.tangent, draws.t, draws.end, {})) l.push_back(square / 5);
    nn::set_requires_grad(head, true);
    const auto loss = weight.loss(process, draws.t, l);
    CHECK(loss.item() == doctest::Approx(golden.values(name + ".loss").item()).epsilon(1e-9));
    autograd::backward(loss);
    for (const auto& [p, var] : {std::pair("weight", head.weight.get()), std::pair("bias", head.bias.get())}) {
      const auto goal = golden.numbers(name + ".grad.head." + p);
      for (std::size_t i = 0; i < goal.size(); ++i)
        CHECK(std::abs(var.grad()[static_cast<std::int64_t>(i)] - goal[i]) < 1e-9);
    }
  };
  check("trig", Trig());
  check("flow", Flow());
  check("edm", Edm());
}

TEST_CASE("The learned weight finds the logarithm of the mean residual at each time") {
  AdaptiveWeight weight(3e-4);
  const auto mean = [](double t) { return std::exp(2 * std::sin(4 * t) - 1); };
  const Stream s = stream(1, "times");
  for (std::uint64_t i = 0; i < 1500; ++i) {
    diffusion::Times t;
    std::vector<double> l;
    for (std::uint64_t b = 0; b < 32; ++b) {
      t.push_back(static_cast<double>(uniform_at(s, 32 * i + b)));
      l.push_back(mean(t.back()) * (b % 2 == 0 ? 0.2 : 1.8));  // the mean of logarithms is 0.51 lower
    }
    weight.learn(Flow(), t, l);
  }
  for (const double t : {0.05, 0.25, 0.5, 0.75, 0.95})
    CHECK(std::abs(weight.log_variance(Flow(), {t}).item() - std::log(mean(t))) < 0.15);
}

TEST_CASE("The learned weight learns from the iteration's residuals, and only in `learn`") {
  const Gaussian data{.c = 0.8};
  AdaptiveWeight weight;
  const AdaptivelyWeighted objective(Scd<Trig>(), &weight);
  const Points batch{ops::normal<double>(Shape{16, 3}, stream(1, "data")), {}};
  continuous::AffineStudent student{data.exact(Trig())};
  student.a = Var<double>(Tensor<double>::full(Shape{1}, 0.5), true);
  const auto u = [&] { return weight.log_variance(Trig(), {1.0}).item(); };
  const auto plain = Scd<Trig>().loss(student, data.teacher(Trig()), 0, batch, {3, 5});
  const auto fresh = objective.loss(student, data.teacher(Trig()), 0, batch, {3, 5});
  CHECK(u() == 0);
  CHECK(fresh.loss.item() == plain.loss.item());  // u = 0
  CHECK(fresh.diagnostic("tangent norm") == plain.diagnostic("tangent norm"));
  (void)diffusion::learn_and_loss(objective, student, data.teacher(Trig()), 0, batch, {3, 5});
  CHECK(u() != 0);
  int saved = 0;
  objective.visit_state([&](const std::string& name, const auto&) { saved += name.starts_with("adaptive_weight."); },
                        "");
  CHECK(saved >= 4);  // two parameters with their moments
  CHECK_THROWS_AS(AdaptivelyWeighted(Scd<Trig>(), nullptr), OptionError);
}
