// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/sds.hpp>

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/sum.hpp>
#include <limits>

#include "golden.hpp"

using namespace hypersd;
using namespace hypersd::distill;

namespace {

using Condition = Tensor<double>;

diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

/// What every golden case starts from.
struct Case {
  toy::Golden golden{"objectives"};
  toy::Mlp student = golden.network("student", true), teacher = golden.network("teacher", true),
           target = golden.network("target", true), fake = golden.network("fake", true),
           critic = golden.network("critic");
  Batch<double, Cpu, Condition> batch = golden.batch();
  std::vector<double> scale = golden.values("scale").to_vector();
  Tensor<double> noise = golden.values("noise"), z = golden.values("z"), judge = golden.values("judge");

  /// Compares with the file, and checks that only the student has a gradient.
  void check(const std::string& name, const LossResult<double, Cpu>& result) const {
    golden.check(name, result.loss, student);
    for (const auto* net : {&teacher, &target, &fake, &critic})
      for (const auto& [p, var] : net->parameters()) CHECK(!var.grad().defined());
  }
};

/// A fixed critic of [x, beginning].
struct PairCritic {
  toy::Mlp net;
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Origin<double, Cpu>& origin,
                         const Condition& c) const {
    return net(autograd::concat_channels(std::vector<Var<double>>{x, Var<double>(origin.x)}), t, c);
  }
};

/// A network with embedded guidance, w = g - 1.
struct Told : toy::Mlp {
  using toy::Mlp::operator();
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Condition& c,
                         const Tensor<double>& w) const {
    return (*this)(x, t, ops::map(ops::LinearCombination<double>{1, 0.1}, c, w));
  }
};

/// A fixed critic that names the form of its loss.
struct NonSaturatingCritic : toy::Mlp {
  using form = NonSaturating;
};

/// A prediction that is the same everywhere.
struct Constant {
  double first, second;
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>&, const Condition&) const {
    Tensor<double> out(x.shape());
    for (std::int64_t b = 0; b < x.dim(0); ++b) out[2 * b] = first, out[2 * b + 1] = second;
    return out;
  }
};
/// A student whose prediction is a parameter.
struct Parameter {
  Var<double> value;
  Var<double> operator()(const Var<double>&, const Tensor<double>&, const Condition&) const { return value; }
};

/// The exact noise prediction for data N(0, 1/4), in any precision.
template <class T>
struct Quarter {
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, diffusion::Unconditional) const {
    const auto noise = table();
    Tensor<T> factor(t.shape());
    for (std::int64_t i = 0; i < t.size(); ++i) {
      const auto l = noise.level(static_cast<int>(t[i]));
      factor[i] = static_cast<T>(l.sigma / (0.25 * l.alpha * l.alpha + l.sigma * l.sigma));
    }
    return ops::map(ops::Mul{}, x, ops::per_sample(factor));
  }
};
template <class T>
struct HalfOfIt {
  Var<T> operator()(const Var<T>& x, const Tensor<T>&, diffusion::Unconditional) const {
    return autograd::affine(x, T(0.5));
  }
};

}  // namespace

TEST_CASE("Progressive distillation, Eq 1-3, in the spaces x, x0 and eps: loss and gradient equal PyTorch's") {
  const auto check = [](const char* name, PdSpace space, PdWeight weight) {
    const Case c;
    const PdDraws d{c.golden.times("pd.t"), c.golden.times("pd.middle"), c.golden.times("pd.end"), c.scale};
    c.check(name, Pd<>(table(), {.steps = 4, .space = space, .weight = weight})
                      .loss_at(c.student, c.teacher, c.batch, d, c.noise));
  };
  check("pd.x", PdSpace::x, PdWeight::one);
  check("pd.eps", PdSpace::eps, PdWeight::one);
  check("pd.x0.one", PdSpace::x0, PdWeight::one);
  check("pd.x0.truncated", PdSpace::x0, PdWeight::truncated_snr);
  check("pd.x0.plus", PdSpace::x0, PdWeight::snr_plus_one);
  const Case c;  // a number of steps that does not divide T
  const PdDraws d{c.golden.times("pd16.t"), c.golden.times("pd16.middle"), c.golden.times("pd16.end"), c.scale};
  c.check("pd16", Pd<>(table(), {.steps = 16}).loss_at(c.student, c.teacher, c.batch, d, c.noise));
}

TEST_CASE("Progressive distillation: two steps of a teacher of clean data 0.2 and then 0.35 make x* = 0.30198") {
  struct Clean {
    Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, diffusion::Unconditional) const {
      return Tensor<double>::full(x.shape(), t[0] == 999 ? 0.2 : 0.35);
    }
  };
  struct Student {
    double x0;
    Var<double> operator()(const Var<double>& x, const Tensor<double>&, diffusion::Unconditional) const {
      return Var<double>(Tensor<double>::full(x.shape(), x0));
    }
  };
  // Data and noise for which x_999 = 1.
  const auto one = Tensor<double>::ones(Shape{1, 1});
  const auto l = table().level(999);
  const auto x0 = Tensor<double>::full(Shape{1, 1}, (1 - l.sigma) / l.alpha);
  const Batch<double, Cpu, diffusion::Unconditional> batch{x0, {}};
  const PdDraws d{{999}, {749}, {499}, {1.0}};
  const auto loss = [&](PdSpace space, double predicted) {
    return Pd<diffusion::Discrete<diffusion::X0>>(table(), {.steps = 2, .space = space, .weight = PdWeight::one})
        .loss_at(Student{predicted}, Clean{}, batch, d, one)
        .loss.item();
  };
  const double star = 0.3019827539;
  CHECK(loss(PdSpace::x0, 0) == doctest::Approx(star * star).epsilon(1e-8));
  CHECK(loss(PdSpace::x, star) < 1e-18);
  const double eps_of_zero = 1 / l.sigma;  // of clean data 0
  CHECK(loss(PdSpace::eps, 0) == doctest::Approx(std::pow(eps_of_zero - 0.9816751958, 2)).epsilon(1e-5));
}

TEST_CASE("Progressive distillation's target keeps its digits in float where a jump is short") {
  const auto loss = [](auto zero, int steps) {
    using T = decltype(zero);
    const auto draw = ops::normal<double>(Shape{64, 4}, stream(1, "data"));
    const auto more = ops::normal<double>(Shape{64, 4}, stream(1, "noise"));
    Tensor<T> x0(draw.shape()), noise(draw.shape());
    for (std::int64_t i = 0; i < draw.size(); ++i)
      x0[i] = static_cast<T>(static_cast<float>(draw[i])), noise[i] = static_cast<T>(static_cast<float>(more[i]));
    const Batch<T, Cpu, diffusion::Unconditional> batch{x0, {}};
    const PdDraws d{diffusion::Times(64, 999), diffusion::Times(64, 999 - 500 / steps),
                    diffusion::Times(64, 999 - 1000 / steps), std::vector<double>(64, 1.0)};
    return static_cast<double>(Pd<>(table(), {.steps = steps, .weight = PdWeight::one})
                                   .loss_at(HalfOfIt<T>{}, Quarter<T>{}, batch, d, noise)
                                   .loss.item());
  };
  for (const int steps : {4, 100, 500}) {
    CAPTURE(steps);
    const double exact = loss(0.0, steps);
    MESSAGE(steps << " steps, float: relative error " << loss(0.0F, steps) / exact - 1);
    CHECK(std::abs(loss(0.0F, steps) / exact - 1) < 2e-6);
  }
}

TEST_CASE("Progressive distillation draws jumps of the sampler's grid, with the teacher's stop half way") {
  const Pd<> pd(table(), {.steps = 4});
  const PdDraws d = pd.draw(64, {3, 0});
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK(std::fmod(d.t[b] + 1, 250) == 0);
    CHECK(d.end[b] == std::max(0.0, d.t[b] - 250));
    CHECK(d.middle[b] == d.t[b] - 125);
  }
  CHECK_THROWS_AS(Pd<>(table(), {.steps = 501}), OptionError);
}

TEST_CASE("Phased and latent consistency: loss and gradient equal PyTorch's") {
  const auto draws = [](const Case& c, bool to_the_end) {
    Draws d{c.golden.times("pcm.t"), c.golden.times("pcm.t_prev"), c.golden.times("pcm.t_end"), c.scale};
    if (to_the_end) d.end.assign(d.t.size(), 0);
    return d;
  };
  const Case a, b;
  a.check("pcm", Pcm<4>(table()).loss_at(a.student, a.teacher, a.target, a.batch, draws(a, false), a.noise));
  const auto told = [](const toy::Mlp& net) { return Told{net}; };
  const Case w;
  w.check("lcm.w",
          Lcm<>(table()).loss_at(told(w.student), w.teacher, told(w.target), w.batch, draws(w, true), w.noise));
  b.check("lcm", Lcm<>(table()).loss_at(b.student, b.teacher, b.target, b.batch, draws(b, true), b.noise));
}

TEST_CASE("Phased consistency always jumps to the segment's beginning") {
  const SolverGrid grid{diffusion::Discrete<>(table())};
  for (int n = 1; n <= 40; ++n) {
    const EndRange range = ToSegmentStart<4>{}.range(grid, n);
    CHECK(range.first == range.last);
    CHECK(grid[range.first] == (grid[n] <= 249 ? 0 : grid[n] <= 499 ? 249 : grid[n] <= 749 ? 499 : 749));
  }
}

TEST_CASE("Score distillation and distribution matching, Eq 8: loss and gradient equal PyTorch's") {
  const Case sds;
  const auto t = sds.golden.times("judged");
  sds.check("sds", Sds<>(table()).loss_at(sds.student, sds.teacher, sds.batch, t, sds.z, sds.judge));
  const DmdDraws d{diffusion::Times(6, 999), t};
  const auto dmd = [&](const char* name, DmdOptions o, bool paired) {
    Case c;
    if (paired) c.batch.noise = c.golden.values("pair");
    c.check(name, Dmd<toy::Mlp>(table(), &c.fake, o).loss_at(c.student, c.teacher, c.batch, d, c.z, c.judge));
  };
  dmd("dmd", {}, false);
  dmd("dmd.alpha", {.paper_alpha_weight = true}, false);
  dmd("dmd.regression", {}, true);
  const auto several = [&](const char* name, auto critic, double weight) {
    Case c;
    const DmdDraws at{c.golden.times("dmd.start"), t};
    const decltype(critic) net{c.critic};
    const DmdOptions o{.start = {499, 800}, .adversarial_weight = weight};
    c.check(name, Dmd<toy::Mlp, diffusion::Discrete<>, const decltype(critic)>(table(), &c.fake, o, &net)
                      .loss_at(c.student, c.teacher, c.batch, at, c.z, c.judge));
  };
  several("dmd.several", toy::Mlp{}, 0);
  several("dmd.hinge", toy::Mlp{}, 0.2);
  several("dmd.non_saturating", NonSaturatingCritic{}, 0.2);
}

TEST_CASE("Distribution matching moves x = [1, -1] by g = [0.6, -0.8], and down where the fake lies above") {
  const auto gradient = [](Constant real, Constant fake, double alpha_weight = 0) {
    const Parameter student{Var<double>(Tensor<double>::from(Shape{1, 2}, {1.0, -1.0}), true)};
    const auto zero = Tensor<double>::zeros(Shape{1, 2});
    const Batch<double, Cpu, Condition> batch{zero, {Tensor<double>::zeros(Shape{1}), Tensor<double>::zeros(Shape{1})}};
    const Dmd<Constant, diffusion::Discrete<diffusion::X0>> dmd(
        table(), &fake, {.guidance = 1, .paper_alpha_weight = alpha_weight != 0});
    const auto result = dmd.loss_at(student, real, batch, {{999}, {500}}, zero, zero);
    autograd::backward(result.loss);
    return std::pair{result.loss.item(), student.value.grad().to_vector()};
  };
  const auto [loss, g] = gradient({0.5, -0.5}, {0.8, -0.9});
  CHECK(loss == doctest::Approx(0.25));
  CHECK(g[0] == doctest::Approx(0.3));
  CHECK(g[1] == doctest::Approx(-0.4));
  CHECK(gradient({0.5, -0.5}, {0.5, -0.5}).second == std::vector<double>{0, 0});
  CHECK(gradient({0.5, -0.5}, {0.8, -0.9}, 1).second[0] == doctest::Approx(0.3 * table().alpha(500)));
  // Real N(0, 1), fake N(m, 1): x0_fake - x0_real = sigma^2 m.
  CHECK(gradient({0, 0}, {0.2, 0.2}).second[0] > 0);
}

TEST_CASE("A one-step student with the time input 800 starts in pure noise there") {
  const Var<double> eps(Tensor<double>::full(Shape{1, 1}, 0.5));
  const auto z = Tensor<double>::ones(Shape{1, 1}), data = Tensor<double>::full(Shape{1, 1}, 7.0);
  const diffusion::Discrete<> process = table();
  for (const auto& [t, x0] : {std::pair{800.0, 2.6524228}, std::pair{999.0, 7.3414929}}) {
    const auto start = start_states(process, data, z, {t}, highest(process, {399, t}));
    CHECK(one_step(Parameter{eps}, process, start, {t}, Tensor<double>::zeros(Shape{1})).value()[0] ==
          doctest::Approx(x0).epsilon(1e-7));
  }
}

TEST_CASE("With its second weight, adversarial diffusion distillation's term has score distillation's gradient") {
  struct Zero {
    Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Condition&) const {
      return autograd::affine(x, 0.0);
    }
  };
  const Case a, b;
  const Zero critic;
  const auto t = a.golden.times("judged");
  autograd::backward(Add<const Zero>(table(), &critic, {.start = {999}, .distillation = 1, .weight = AddWeight::sds})
                         .loss_at(a.student, a.teacher, a.batch, {diffusion::Times(6, 999), t}, a.z, a.judge)
                         .loss);
  autograd::backward(Sds<>(table()).loss_at(b.student, b.teacher, b.batch, t, b.z, b.judge).loss);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(toy::relative(a.student.parameters()[i].second.grad(), b.student.parameters()[i].second.grad()) < 1e-9);
}

TEST_CASE("An injected gradient arrives, divided by the number of elements") {
  const Var<double> x(Tensor<double>::from(Shape{1, 2}, {1.0, -1.0}), true);
  // x0_real = [.5, -.5], x0_fake = [.8, -.9]: mean |x - real| = 0.5, so g = [0.6, -0.8].
  const auto loss = inject_gradient(x, Tensor<double>::from(Shape{1, 2}, {0.6, -0.8}));
  CHECK(loss.item() == doctest::Approx(0.25));
  autograd::backward(loss);
  CHECK(x.grad()[0] == doctest::Approx(0.3));
  CHECK(x.grad()[1] == doctest::Approx(-0.4));
}

TEST_CASE("An injected gradient that x would round away arrives in 16 bits") {
  const auto x = Tensor<bfloat16>::full(Shape{4}, bfloat16(100.0F)),
             g = Tensor<bfloat16>::full(Shape{4}, bfloat16(0.01F));
  REQUIRE(static_cast<float>(ops::map(ops::Sub{}, x, g)[0]) == 100.0F);
  const Var<bfloat16> student(x, true);
  const auto loss = inject_gradient(student, g);
  CHECK(static_cast<float>(loss.item()) == doctest::Approx(5e-5).epsilon(0.01));
  autograd::backward(loss);
  for (std::int64_t i = 0; i < 4; ++i) CHECK(static_cast<float>(student.grad()[i]) == 0.25F * static_cast<float>(g[i]));
}

TEST_CASE("Adversarial diffusion distillation, Eq 6 and 7: loss and gradient equal PyTorch's") {
  const auto check = [](const char* name, AddWeight weight) {
    const Case c;
    const AddDraws d{c.golden.times("add.start"), c.golden.times("judged")};
    c.check(name, Add<const toy::Mlp>(table(), &c.critic, {.weight = weight})
                      .loss_at(c.student, c.teacher, c.batch, d, c.noise, c.judge));
  };
  check("add", AddWeight::exponential);
  check("add.sds", AddWeight::sds);
}

TEST_CASE("Progressive adversarial distillation: loss and gradient equal PyTorch's") {
  const Case c;
  const PairCritic pair{c.golden.network("pair_critic")};
  const LightningDraws d{c.golden.times("pd.t"), c.golden.times("pd.end"), c.scale};
  c.check("lightning", Lightning<const PairCritic>(table(), &pair, {.mse_weight = 0.5, .adversarial_weight = 0.3})
                           .loss_at(c.student, c.teacher, c.batch, d, c.noise));
  const Case x0;
  x0.check("lightning.x0",
           Lightning<NoCritic, diffusion::Discrete<diffusion::X0>, OneStepX0, diffusion::Epsilon>(table(), nullptr)
               .loss_at(x0.student, x0.teacher, x0.batch, d, x0.noise));
}

TEST_CASE("The hinge losses at a logit of 0 are 0 and 2, and have no gradient outside the margin") {
  const Var<double> zero(Tensor<double>::zeros(Shape{3, 1})), far(Tensor<double>::full(Shape{3, 1}, 1.5), true);
  CHECK(HingeLoss::student(zero).item() == 0);
  CHECK(HingeLoss::critic(zero, zero).item() == doctest::Approx(2));
  autograd::backward(HingeLoss::critic(far, Var<double>(Tensor<double>::full(Shape{3, 1}, -1.5))));
  CHECK(far.grad()[0] == 0);
}

TEST_CASE("The non-saturating losses at a logit of 0 are ln 2 and 2 ln 2") {
  const Var<double> zero(Tensor<double>::zeros(Shape{3, 1}));
  CHECK(non_saturating(zero).item() == doctest::Approx(0.6931471806));
  CHECK(non_saturating_critic_loss(zero, zero).item() == doctest::Approx(1.3862943611));
}

TEST_CASE("Piecewise rectified flow: window coefficients, loss and gradient") {
  const auto t = table();
  const PerFlowWindow first(t.level(999), t.level(749)), last(t.level(249), t.level(0));
  CHECK(first.lambda == doctest::Approx(3.4857864241).epsilon(1e-9));
  CHECK(first.eta == doctest::Approx(-2.5063791737).epsilon(1e-9));
  CHECK(last.lambda == doctest::Approx(1.2162543237).epsilon(1e-9));
  CHECK(last.eta == doctest::Approx(-0.6637554655).epsilon(1e-9));
  const Case c;
  const PerFlowDraws d{c.golden.times("perflow.t"), c.golden.times("perflow.begin"), c.golden.times("perflow.end"),
                       c.scale};
  c.check("perflow",
          PerFlow<>(t, {.windows = 4, .teacher_steps = 2}).loss_at(c.student, c.teacher, c.batch, d, c.noise));
  const Case v;
  v.check("perflow.velocity", PerFlow<>(t, {.windows = 4, .teacher_steps = 2, .target = PerFlowTarget::velocity})
                                  .loss_at(v.student, v.teacher, v.batch, d, v.noise));
  const PerFlowDraws drawn = PerFlow<>(t).draw(200, {5, 1});
  for (std::size_t b = 0; b < drawn.t.size(); ++b) {
    CHECK(drawn.end[b] < drawn.t[b]);
    CHECK(drawn.t[b] <= drawn.begin[b]);
    CHECK(drawn.begin[b] - drawn.end[b] == 250);
  }
}

TEST_CASE("Terms on data: loss and gradient equal PyTorch's") {
  const Case a, b;
  const auto t = a.golden.times("judged");
  a.check("denoising", Denoising<>(table()).loss_at(a.student, a.batch, t, a.judge));
  b.check("data_adversarial", DataAdversarial<const toy::Mlp>(table(), &b.critic, diffusion::EndPoint::first_entry)
                                  .loss_at(b.student, b.batch, t, b.judge));
}

TEST_CASE("A critic that knows data judges clean data, not those of the first noise level") {
  const Case c;
  const diffusion::Discrete<> process = table();
  const auto t = c.golden.times("judged");
  const Var<double> x(diffusion::add_noise(process, c.batch.x0, c.judge, t));
  const auto& told = c.batch.condition.conditional;
  const auto x0 = diffusion::x0_of(process, x, diffusion::evaluate(process, c.student, x, t, told), t);
  const double judged = -autograd::mean(c.critic(x0, Tensor<double>::zeros(Shape{6}), told)).item();
  const auto loss = [&](const auto& o) { return o.loss_at(c.student, c.batch, t, c.judge).loss.item(); };
  CHECK(loss(DataAdversarial<const toy::Mlp>(process, &c.critic)) == doctest::Approx(judged).epsilon(1e-12));
  CHECK(loss(DataAdversarial<const toy::Mlp>(process, &c.critic, diffusion::EndPoint::first_entry)) !=
        doctest::Approx(judged).epsilon(1e-6));
}

TEST_CASE("A student is told w = max(0, g - 1), as the sampler tells it") {
  struct Says {
    std::vector<double>* heard;
    Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Condition&,
                           const Tensor<double>& w) const {
      *heard = w.to_vector();
      return autograd::affine(x, 0.5);
    }
  };
  const Case c;
  std::vector<double> student, target;
  Draws d{c.golden.times("pcm.t"), c.golden.times("pcm.t_prev"), diffusion::Times(6, 0), {0, 0.5, 1, 1.5, 2, 4}};
  (void)Lcm<>(table()).loss_at(Says{&student}, c.teacher, Says{&target}, c.batch, d, c.noise);
  CHECK(student == std::vector<double>{0, 0, 0, 0.5, 1, 3});
  CHECK(target == student);
}

TEST_CASE("A sum of objectives is the weighted sum of their losses on the same draws") {
  const Case c;
  const Randomness random{4, 7};
  const auto one = Ctm<>(table()), two = Ctm<>(table(), {.noise_offset = 0.1});
  const Denoising<> term(table());
  const auto sum = sum_of(weighted(1, one), weighted(0.5, term, "denoising"), weighted(2, two));
  const auto loss = [&](const auto& o) { return o.loss(c.student, c.teacher, c.target, c.batch, random).loss.item(); };
  CHECK(loss(sum) == doctest::Approx(loss(one) + 0.5 * loss(term) + 2 * loss(two)).epsilon(1e-12));
}

TEST_CASE("Every objective draws from seed and step alone") {
  const Case c;
  const auto repeats = [&](const auto& objective) {
    const auto loss = [&](std::int64_t step) {
      return objective.loss(c.student, c.teacher, c.target, c.batch, {4, step}).loss.item();
    };
    CHECK(loss(7) == loss(7));
    CHECK(loss(7) != loss(8));
  };
  toy::Mlp fake = c.fake;
  const PairCritic pair{c.golden.network("pair_critic")};
  repeats(Pd<>(table()));
  repeats(Pcm<4>(table()));
  repeats(Lcm<>(table()));
  repeats(Sds<>(table()));
  repeats(Dmd<toy::Mlp>(table(), &fake, {.start = {499, 999}}));
  repeats(Add<const toy::Mlp>(table(), &c.critic));
  repeats(Lightning<const PairCritic>(table(), &pair, {.adversarial_weight = 0.1}));
  repeats(PerFlow<>(table()));
}

TEST_CASE("Options that cannot work are refused by name") {
  toy::Mlp none;
  CHECK_THROWS_AS(Dmd<toy::Mlp>(table(), nullptr), OptionError);
  CHECK_THROWS_AS(Dmd<toy::Mlp>(table(), &none, {.learn_per_update = 0}), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(table(), nullptr, {.adversarial_weight = 1})), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(table(), nullptr, {.steps = 0})), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(table(), nullptr, {.steps = 8, .teacher_steps = 126})), OptionError);
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {nan, infinity, -1.0}) {
    CHECK_THROWS_AS(Dmd<toy::Mlp>(table(), &none, {.regression_weight = wrong}), OptionError);
    CHECK_THROWS_AS((Lightning<NoCritic>(table(), nullptr, {.mse_weight = wrong, .adversarial_weight = 0})),
                    OptionError);
  }
  CHECK_THROWS_WITH_AS(Dmd<toy::Mlp>(table(), &none, {.regression_weight = nan}),
                       "Dmd: regression_weight = nan, not a finite number from 0 on", OptionError);
  CHECK_THROWS_AS(PerFlow<>(table(), {.windows = 0}), OptionError);
  CHECK_THROWS_AS(Dmd<toy::Mlp>(table(), &none, {.start = {1000}}), OptionError);
  CHECK_THROWS_AS(Add<toy::Mlp>(table(), nullptr), OptionError);
  CHECK_THROWS_AS(
      Sds<>(table(), {.t_min = 0.5, .t_max = 0.2})
          .loss(none, none, none, Batch<double, Cpu, Condition>{Tensor<double>::zeros(Shape{2, 8}), {}}, Randomness{}),
      OptionError);
}

TEST_CASE("A noise prediction at zero terminal SNR is refused by every objective that would start there") {
  std::vector<double> zero(1000);
  for (int t = 0; t < 1000; ++t) zero[static_cast<std::size_t>(t)] = 1.0 - (t + 1) / 1000.0;
  const diffusion::NoiseTable dark(zero);
  toy::Mlp net;
  using diffusion::Velocity;
  CHECK_THROWS_AS(Pd<>{dark}, OptionError);
  CHECK_THROWS_AS(Lcm<>{dark}, OptionError);
  CHECK_THROWS_AS(Pcm<4>{dark}, OptionError);
  CHECK_THROWS_AS(Sds<>{dark}, OptionError);
  CHECK_THROWS_AS(PerFlow<>{dark}, OptionError);
  CHECK_THROWS_AS(Denoising<>{dark}, OptionError);
  CHECK_THROWS_AS(DataAdversarial<toy::Mlp>(dark, &net), OptionError);
  CHECK_THROWS_AS(Add<toy::Mlp>(dark, &net), OptionError);
  CHECK_THROWS_AS(Dmd<toy::Mlp>(dark, &net), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(dark, nullptr)), OptionError);
  CHECK_NOTHROW(Pd<diffusion::Discrete<diffusion::Velocity>>{dark});
  CHECK_NOTHROW(Sds<>(dark, {.start = 800}));
  CHECK_NOTHROW(Dmd<toy::Mlp>(dark, &net, {.start = {800}}));
  CHECK_NOTHROW(Dmd<toy::Mlp, diffusion::Discrete<diffusion::Velocity>>(dark, &net));
}

TEST_CASE("Holding the student to its jumps before: loss and gradient equal PyTorch's, no draw is of the last time") {
  const Case c;
  const Preserve<> keep(table());
  const PreserveDraws d{c.golden.times("pcm.t"), c.golden.times("preserve.end")};
  c.check("preserve", keep.loss_at(c.student, c.target, c.batch, d, c.noise));
  const PreserveDraws drawn = keep.draw(300, {4, 2});
  for (std::size_t b = 0; b < drawn.t.size(); ++b) {
    CHECK(drawn.t[b] < 999);
    CHECK(drawn.end[b] < drawn.t[b]);
  }
  CHECK_THROWS_AS(Preserve<>(table(), {.grid_points = 1}), OptionError);
}
