// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <algorithm>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/keep_guidance.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/sum.hpp>
#include <pipeline/toy_denoiser.hpp>

using namespace hypersd;
using namespace hypersd::distill;

namespace {

using Net = toy::Denoiser;
using Points = Batch<double, Cpu, diffusion::Unconditional>;

/// A critic that keeps what it judges and what it learns from.
struct Witness {
  mutable std::vector<double> judged{};
  std::vector<double> learned{};
  int updates = 0;

  template <class C>
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const C&) const {
    judged = x.value().to_vector();
    return autograd::sum_to_samples(x);
  }
  template <class C>
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Origin<double, Cpu>&, const C& c) const {
    return (*this)(x, t, c);
  }
  template <class C, class Average>
  void learn(const Tensor<double>& fake, const Tensor<double>&, const Tensor<double>&, const C&, const Average&) {
    learned = fake.to_vector();
    ++updates;
    // A tape is recorded: an update need not know where it is called.
    CHECK(autograd::affine(Var<double>(fake, true), 2.0).tracked());
  }
  template <class C, class Average>
  void learn(const Tensor<double>& fake, const Tensor<double>& real, const Tensor<double>& t,
             const Origin<double, Cpu>&, const C& c, const Average& average) {
    learn(fake, real, t, c, average);
  }
};

/// A fake score that does the same.
struct FakeWitness {
  std::vector<double> learned{};
  int updates = 0;

  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const diffusion::Unconditional&) const {
    return autograd::affine(x, 0.3);
  }
  template <class C, class Average>
  void learn(const Tensor<double>& x, const C&, Randomness, const Average&) {
    learned = x.to_vector();
    ++updates;
  }
};

/// A distance of a user's own that trains something and says no more about it.
struct Counting {
  int* updates = nullptr;
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) const {
    return Mse{}(x, y, where);
  }
  template <class X, class Where, class Average>
  void learn(const X&, const X&, const Where&, const Average&) const {
    ++*updates;
  }
};

Net net(std::uint64_t seed) {
  Net out;
  nn::init_parameters(out, seed, "learn");
  return out;
}
const diffusion::Discrete<> process = toy::process();

/// One of each network and a batch.
struct Case {
  Net student = net(1), teacher = net(2), target = net(3);
  Points batch{ops::normal<double>(Shape{8, 2}, stream(1, "points")), {}};

  template <class O>
  void loss(const O& objective, std::int64_t step = 5) const {
    (void)objective.loss(student, teacher, target, batch, {4, step});
  }
  template <class O>
  void learn(const O& objective, std::int64_t step = 5) const {
    static_assert(LearningObjective<O, Net, Net, Net, Points>);
    objective.learn(student, teacher, target, batch, {4, step});
  }
};

/// The student, counting its evaluations.
struct Counted {
  using value_type = double;
  using device_type = Cpu;
  const Net& net;
  int& evaluations;
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const diffusion::Unconditional& c) const {
    ++evaluations;
    return net(x, t, c);
  }
};

/// A loss trains nothing, learning twice is two updates, and both see the same samples of the student.
template <class O>
void check(const char* name, const O& objective, Witness& critic) {
  CAPTURE(name);
  const Case c;
  c.loss(objective);
  CHECK(critic.updates == 0);
  const auto judged = critic.judged;
  REQUIRE(!judged.empty());
  c.learn(objective);
  CHECK(critic.updates == 1);
  CHECK(critic.learned == judged);
  c.learn(objective);
  CHECK(critic.updates == 2);
  CHECK(critic.learned == judged);
  c.learn(objective, 6);
  CHECK(critic.learned != judged);
  // Together they evaluate the student as often as the loss alone, with the same numbers.
  int alone = 0, together = 0;
  const auto loss = objective.loss(Counted{c.student, alone}, c.teacher, c.target, c.batch, {4, 5}).loss;
  const auto both =
      diffusion::learn_and_loss(objective, Counted{c.student, together}, c.teacher, c.target, c.batch, {4, 5}).loss;
  CHECK(together == alone);
  CHECK(both.item() == loss.item());
  CHECK(critic.updates == 4);
  CHECK(critic.learned == judged);
}

/// Names in checkpoints of what an objective trains.
template <class O>
std::vector<std::string> names_of_state(const O& objective) {
  std::vector<std::string> names;
  objective.visit_state([&](const std::string& name, const auto&) { names.push_back(name); }, "objective.");
  return names;
}

}  // namespace

TEST_CASE("what an objective trains learns from the samples that its loss judges, and only when it is told to") {
  using Distance = Adversarial<Witness>;
  using Both = Hybrid<Mse, Distance>;
  Witness w[9];
  check("ctm", Ctm<diffusion::Discrete<>, Distance>(process, {}, {&w[0]}), w[0]);
  check("hybrid", Ctm<diffusion::Discrete<>, Both>(process, {}, {{}, {&w[1]}, {1, 1}}), w[1]);
  Lcm<diffusion::Discrete<>, Distance> lcm(process);
  lcm.distance.critic = &w[2];
  check("lcm", lcm, w[2]);
  const ConsistencyOptions guided{.guidance_min = 1, .guidance_max = 3};
  check("guidance kept", KeepGuidance<Ctm<diffusion::Discrete<>, Distance>>(process, guided, Distance{&w[3]}), w[3]);
  check("add", Add<Witness>(process, &w[4]), w[4]);
  check("data", DataAdversarial<Witness>(process, &w[5]), w[5]);
  check("lightning", Lightning<Witness>(process, &w[6], {.adversarial_weight = 1}), w[6]);
  check("preserve", Preserve<Anywhere, diffusion::Discrete<>, Distance>(process, {}, {&w[8]}), w[8]);
  FakeWitness fake;
  check("dmd",
        Dmd<FakeWitness, diffusion::Discrete<>, Witness>(
            process, &fake, {.start = {499, 999}, .learn_per_update = 3, .adversarial_weight = 1}, &w[7]),
        w[7]);
  CHECK(fake.updates == 12);
  CHECK(fake.learned == w[7].learned);
}

TEST_CASE("what has no weight does not learn; a sum trains what its terms train") {
  const Case c;
  Witness critic, first, second;
  FakeWitness fake;
  c.learn(Ctm<diffusion::Discrete<>, Hybrid<Mse, Adversarial<Witness>>>(process, {}, {{}, {&critic}, {1, 0}}));
  c.learn(Lightning<Witness>(process, &critic));
  c.learn(Dmd<FakeWitness, diffusion::Discrete<>, Witness>(process, &fake, {}, &critic));
  CHECK(critic.updates == 0);
  CHECK(fake.updates == 1);
  c.learn(sum_of(weighted(1, Ctm<>(process)), weighted(0.5, Add<Witness>(process, &first)),
                 weighted(0.1, DataAdversarial<Witness>(process, &second))));
  CHECK(first.updates == 1);
  CHECK(second.updates == 1);
  static_assert(!LearningObjective<Ctm<>, Net, Net, Net, Points>);
  static_assert(!LearningObjective<Dmd<Net>, Net, Net, Net, Points>);
  // Nothing to train: the loss alone.
  CHECK(diffusion::learn_and_loss(Ctm<>(process), c.student, c.teacher, c.target, c.batch, {4, 5}).loss.item() ==
        Ctm<>(process).loss(c.student, c.teacher, c.target, c.batch, {4, 5}).loss.item());
}

TEST_CASE("each critic of a sum and of a hybrid has names of its own in checkpoints") {
  using Critic = FeatureCritic<Net, Net>;
  Critic a(net(1), net(2)), b(net(1), net(3));
  using Distance = Adversarial<Critic>;
  const auto sum = sum_of(weighted(1, Ctm<>(process)), weighted(1, DataAdversarial<Critic>(process, &a)),
                          weighted(1, Preserve<Anywhere, diffusion::Discrete<>, Hybrid<Distance, Distance>>(
                                          process, {}, {{&a}, {&b}, {1, 1}})));
  auto names = names_of_state(sum);
  CHECK(names.front().starts_with("objective.1.critic."));
  CHECK(names.back().starts_with("objective.2.second.critic."));
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  CHECK(names.size() == 3 * names_of_state(DataAdversarial<Critic>(process, &a)).size());
}

TEST_CASE("a distance of one's own is trained without more ceremony, alone and in a hybrid") {
  const Case c;
  int updates = 0;
  c.learn(Ctm<diffusion::Discrete<>, Counting>(process, {}, {&updates}));
  CHECK(updates == 1);
  c.learn(Ctm<diffusion::Discrete<>, Hybrid<Mse, Counting>>(process, {}, {{}, {&updates}, {1, 0.5}}));
  CHECK(updates == 2);
}
