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

#include "objective_case.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using toy::Case, toy::Condition;

namespace {

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

}  // namespace

TEST_CASE("Phased and latent consistency: loss and gradient equal PyTorch's") {
  const auto draws = [](const Case& c, bool to_the_end) {
    Draws d{c.golden.times("pcm.t"), c.golden.times("pcm.t_prev"), c.golden.times("pcm.t_end"), c.scale};
    if (to_the_end) d.end.assign(d.t.size(), 0);
    return d;
  };
  const Case a, b;
  a.check("pcm", Pcm<4>(Case::table()).loss_at(a.student, a.teacher, a.target, a.batch, draws(a, false), a.noise));
  const auto told = [](const toy::Mlp& net) { return Told{net}; };
  const Case w;
  w.check("lcm.w",
          Lcm<>(Case::table()).loss_at(told(w.student), w.teacher, told(w.target), w.batch, draws(w, true), w.noise));
  b.check("lcm", Lcm<>(Case::table()).loss_at(b.student, b.teacher, b.target, b.batch, draws(b, true), b.noise));
}

TEST_CASE("Phased consistency always jumps to the segment's beginning") {
  const SolverGrid grid{diffusion::Discrete<>(Case::table())};
  for (int n = 1; n <= 40; ++n) {
    const EndRange range = ToSegmentStart<4>{}.range(grid, n);
    CHECK(range.first == range.last);
    CHECK(grid[range.first] == (grid[n] <= 249 ? 0 : grid[n] <= 499 ? 249 : grid[n] <= 749 ? 499 : 749));
  }
}

TEST_CASE("Adversarial diffusion distillation, Eq 6 and 7: loss and gradient equal PyTorch's") {
  const auto check = [](const char* name, AddWeight weight) {
    const Case c;
    const AddDraws d{c.golden.times("add.start"), c.golden.times("judged")};
    c.check(name, Add<const toy::Mlp>(Case::table(), &c.critic, {.weight = weight})
                      .loss_at(c.student, c.teacher, c.batch, d, c.noise, c.judge));
  };
  check("add", AddWeight::exponential);
  check("add.sds", AddWeight::sds);
}

TEST_CASE("Progressive adversarial distillation: loss and gradient equal PyTorch's") {
  const Case c;
  const PairCritic pair{c.golden.network("pair_critic")};
  const LightningDraws d{c.golden.times("pd.t"), c.golden.times("pd.end"), c.scale};
  c.check("lightning", Lightning<const PairCritic>(Case::table(), &pair, {.mse_weight = 0.5, .adversarial_weight = 0.3})
                           .loss_at(c.student, c.teacher, c.batch, d, c.noise));
  const Case x0;
  x0.check("lightning.x0", Lightning<NoCritic, diffusion::Discrete<diffusion::X0>, OneStepX0, diffusion::Epsilon>(
                               Case::table(), nullptr)
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
  const auto t = Case::table();
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
  a.check("denoising", Denoising<>(Case::table()).loss_at(a.student, a.batch, t, a.judge));
  b.check("data_adversarial",
          DataAdversarial<const toy::Mlp>(Case::table(), &b.critic, diffusion::EndPoint::first_entry)
              .loss_at(b.student, b.batch, t, b.judge));
}

TEST_CASE("A critic that knows data judges clean data, not those of the first noise level") {
  const Case c;
  const diffusion::Discrete<> process = Case::table();
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
  (void)Lcm<>(Case::table()).loss_at(Says{&student}, c.teacher, Says{&target}, c.batch, d, c.noise);
  CHECK(student == std::vector<double>{0, 0, 0, 0.5, 1, 3});
  CHECK(target == student);
}

TEST_CASE("A sum of objectives is the weighted sum of their losses on the same draws") {
  const Case c;
  const Randomness random{4, 7};
  const auto one = Ctm<>(Case::table()), two = Ctm<>(Case::table(), {.noise_offset = 0.1});
  const Denoising<> term(Case::table());
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
  repeats(Pd<>(Case::table()));
  repeats(Pcm<4>(Case::table()));
  repeats(Lcm<>(Case::table()));
  repeats(Sds<>(Case::table()));
  repeats(Dmd<toy::Mlp>(Case::table(), &fake, {.start = {499, 999}}));
  repeats(Add<const toy::Mlp>(Case::table(), &c.critic));
  repeats(Lightning<const PairCritic>(Case::table(), &pair, {.adversarial_weight = 0.1}));
  repeats(PerFlow<>(Case::table()));
}

TEST_CASE("Options that cannot work are refused by name") {
  toy::Mlp none;
  CHECK_THROWS_AS(Dmd<toy::Mlp>(Case::table(), nullptr), OptionError);
  CHECK_THROWS_AS(Dmd<toy::Mlp>(Case::table(), &none, {.learn_per_update = 0}), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(Case::table(), nullptr, {.adversarial_weight = 1})), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(Case::table(), nullptr, {.steps = 0})), OptionError);
  CHECK_THROWS_AS((Lightning<NoCritic>(Case::table(), nullptr, {.steps = 8, .teacher_steps = 126})), OptionError);
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {nan, infinity, -1.0}) {
    CHECK_THROWS_AS(Dmd<toy::Mlp>(Case::table(), &none, {.regression_weight = wrong}), OptionError);
    CHECK_THROWS_AS((Lightning<NoCritic>(Case::table(), nullptr, {.mse_weight = wrong, .adversarial_weight = 0})),
                    OptionError);
  }
  CHECK_THROWS_WITH_AS(Dmd<toy::Mlp>(Case::table(), &none, {.regression_weight = nan}),
                       "Dmd: regression_weight = nan, not a finite number from 0 on", OptionError);
  CHECK_THROWS_AS(PerFlow<>(Case::table(), {.windows = 0}), OptionError);
  CHECK_THROWS_AS(Dmd<toy::Mlp>(Case::table(), &none, {.start = {1000}}), OptionError);
  CHECK_THROWS_AS(Add<toy::Mlp>(Case::table(), nullptr), OptionError);
  CHECK_THROWS_AS(
      Sds<>(Case::table(), {.t_min = 0.5, .t_max = 0.2})
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
  const Preserve<> keep(Case::table());
  const PreserveDraws d{c.golden.times("pcm.t"), c.golden.times("preserve.end")};
  c.check("preserve", keep.loss_at(c.student, c.target, c.batch, d, c.noise));
  const PreserveDraws drawn = keep.draw(300, {4, 2});
  for (std::size_t b = 0; b < drawn.t.size(); ++b) {
    CHECK(drawn.t[b] < 999);
    CHECK(drawn.end[b] < drawn.t[b]);
  }
  CHECK_THROWS_AS(Preserve<>(Case::table(), {.grid_points = 1}), OptionError);
}
