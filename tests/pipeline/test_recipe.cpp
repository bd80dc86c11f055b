// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/recipe.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>

#include "folder.hpp"
#include "toy_denoiser.hpp"

using namespace hypersd;
using namespace hypersd::pipeline;
using namespace hypersd::records;

namespace {

using Net = toy::Denoiser;
using Data = distill::Batch<double, Cpu, diffusion::Unconditional>;
using Fake = distill::FakeScore<Net>;

Data batch(std::int64_t iteration) {
  return {toy::exact().data<double>(64, stream(3, "data", static_cast<std::uint64_t>(iteration))), {}};
}
using Batches = decltype(&batch);

auto stages(std::int64_t steps) {
  StageOptions o{.steps = std::vector<std::int64_t>(4, steps), .learning_rate = 3e-3};
  o.lora.rank = 16;
  return staged("tscd", distill::HyperSdStages::segments(), &batch, o, [](int k, bool) {
    return distill::Consistency<distill::WithinSegments<>>(toy::process(), {}, {}, {k});
  });
}
auto one_step(Fake& fake, std::int64_t steps, double keep = 0.5, const std::string& name = "one-step",
              bool branch = false) {
  using distill::weighted;
  const auto objective = distill::sum_of(weighted(1, distill::Dmd<Fake>(toy::table(), &fake, {.guidance = 1}), "dmd"),
                                         weighted(keep, distill::Preserve<>(toy::table()), "preserve"));
  return part(Phase{name, objective, &batch, SameAdapter{}, {.steps = steps, .learning_rate = 1e-3}}, branch);
}
Fake fake_score() { return Fake(nn::deep_copy(toy::teacher()), toy::table(), 2e-3); }

/// A critic of points: a linear head on the points themselves.
struct Points {
  template <class C>
  std::vector<Var<double>> features(const Var<double>& x, const Tensor<double>&, const C&) const {
    return {x};
  }
};
struct Head {
  using value_type = double;
  using device_type = Cpu;
  nn::Linear<double> score{2, 1};
  Var<double> operator()(const std::vector<Var<double>>& maps) const { return score(maps[0]); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "score", score);
  }
};
Head head(std::uint64_t seed) {
  Head out;
  nn::init_parameters(out, seed, "head");
  return out;
}
using Critic = distill::FeatureCritic<Points, Head>;

Tensor<double> draw(const Net& net, int steps) {
  const diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion> sampler;
  return sampler(net, ops::normal<double>(Shape{512, 2}, stream(99, "evaluation")), diffusion::Unconditional{}, steps);
}
std::vector<double> factors(const Net& net, const std::string& name = "default") {
  Net handles = net;
  std::vector<double> out;
  for (const auto& p : nn::lora_parameters(handles, name))
    for (const double v : p.var.value().span()) out.push_back(v);
  return out;
}

}  // namespace

TEST_CASE("a recipe passes the student from part to part and does not change earlier models") {
  const Folder folder("recipe");
  RunDirectory directory(folder.file("run"), {});
  const Session session{directory, 1};
  auto fake = fake_score();
  const distill::Preserve<> preserve(toy::table());
  const auto feedback =
      part(Phase{"feedback", preserve, &batch, NewAdapter{{.rank = 4, .name = "feedback"}}, {.steps = 3}});
  const auto whole = part(Phase{"unet", preserve, &batch, AllWeights{}, {.steps = 2}}, /*branch=*/true);
  const Recipe recipe(stages(4), feedback, whole, one_step(fake, 3));
  CHECK(recipe.names() == std::vector<std::string>{"tscd", "feedback", "unet", "one-step"});
  std::vector<double> tscd;
  std::vector<std::string> order;
  const auto state = recipe.run(session, toy::teacher(), {}, [&](const std::string& name, const RecipeState<Net>& s) {
    order.push_back(name);
    if (name == "tscd k=1") tscd = factors(s.student);
  });
  CHECK(order ==
        std::vector<std::string>{"tscd k=8", "tscd k=4", "tscd k=2", "tscd k=1", "feedback", "unet", "one-step"});
  CHECK(factors(state.after("tscd")) == tscd);  // feedback and the one-step part trained others
  CHECK(factors(state.after("feedback")) == tscd);
  CHECK(factors(state.student) != tscd);  // the same adapter, continued
  CHECK(nn::lora_count(state.after("tscd"), "feedback").tensors == 0);
  CHECK(nn::lora_count(state.student, "feedback").tensors == 3);
  CHECK(factors(state.student, "feedback") == factors(state.after("feedback"), "feedback"));
  CHECK(nn::lora_count(state.after("unet")).tensors == 0);  // merged before all weights were trained
  CHECK(nn::lora_count(state.teacher).tensors == 0);
  CHECK_THROWS_WITH_AS((void)state.after("nothing"), doctest::Contains("'nothing'"), OptionError);

  CHECK(folder.read("run/recipe.json") == io::Json(recipe.describe()).str(1) + "\n");
  const io::Json file = io::read_json(folder.file("run/recipe.json"));
  const auto& said = *file.as<io::Json::Array>();
  const auto text = [&](std::size_t part, std::size_t phase, const char* field) {
    return said[part].member<io::Json::Array>("phases", "part")[phase].member<std::string>(field, "phase");
  };
  for (std::size_t i = 0; i < 4; ++i) CHECK(text(0, i, "phase") == "tscd k=" + std::to_string(8 >> i));
  CHECK(text(0, 0, "trains") == "new adapter 'default'");
  CHECK(text(0, 1, "trains") == "adapter 'default', continued");
  CHECK(text(1, 0, "trains") == "new adapter 'feedback'");
  CHECK(text(2, 0, "trains") == "all weights");
  CHECK(said[2].member<bool>("branch", "part"));
  CHECK(text(3, 0, "objective").find("distill::Dmd<distill::FakeScore<") != std::string::npos);
}

TEST_CASE("a recipe that is killed in any part goes on bit by bit, and a finished one only loads") {
  struct Killed {};
  const auto run = [](const Folder& folder, std::int64_t kill_at, std::int64_t* events) {
    RunDirectory directory(folder.file("run"), {}, Existing::resume);
    std::int64_t seen = 0;
    const Session session{directory, 5,
                          [&](const ProgressEvent& e) {
                            if (e.step > 0 && ++seen == kill_at) throw Killed{};
                          },
                          2};
    auto fake = fake_score();
    const auto state = Recipe(stages(3), one_step(fake, 5)).run(session, toy::teacher());
    if (events) *events = seen;
    return factors(state.student);
  };
  const Folder whole("recipe-whole"), parts("recipe-parts");
  const auto expected = run(whole, -1, nullptr);
  for (const std::int64_t at : {2, 5, 6, 4}) CHECK_THROWS_AS(run(parts, at, nullptr), Killed);
  CHECK(run(parts, -1, nullptr) == expected);
  std::int64_t events = -1;
  CHECK(run(parts, -1, &events) == expected);
  CHECK(events == 0);
}

TEST_CASE("two terms that each train a critic go on bit by bit after a kill") {
  struct Killed {};
  const auto run = [](const Folder& folder, std::int64_t kill_at) {
    RunDirectory directory(folder.file("run"), {}, Existing::resume);
    const Session session{directory, 5,
                          [&](const ProgressEvent& e) {
                            if (e.step == kill_at) throw Killed{};
                          },
                          2};
    Critic first(Points{}, head(1)), second(Points{}, head(2));
    using Term = distill::DataAdversarial<Critic>;
    const auto objective =
        distill::sum_of(distill::weighted(1, Term(toy::table(), &first)),
                        distill::weighted(0.5, Term(toy::table(), &second, diffusion::EndPoint::first_entry)));
    const auto state = Recipe(part(Phase{"critics", objective, &batch, NewAdapter{{.rank = 4}}, {.steps = 7}}))
                           .run(session, toy::teacher());
    auto out = factors(state.student);
    const auto add = [&](const std::string&, const auto& tensor) {
      for (const auto v : tensor.to_vector()) out.push_back(static_cast<double>(v));
    };
    first.visit_state(add, "");
    second.visit_state(add, "");
    return out;
  };
  const Folder whole("critics-whole"), parts("critics-parts");
  const auto expected = run(whole, -1);
  for (const std::int64_t at : {3, 6}) CHECK_THROWS_AS(run(parts, at), Killed);
  CHECK(run(parts, -1) == expected);
}

TEST_CASE("parts can be skipped; another recipe in the same folder is refused by name") {
  const Folder folder("recipe-skip");
  auto fake = fake_score();
  {
    RunDirectory directory(folder.file("run"), {});
    const auto state = Recipe(stages(2), one_step(fake, 2)).run(Session{directory, 1}, toy::teacher(), {"one-step"});
    CHECK(factors(state.student) == factors(state.after("tscd")));
    CHECK_THROWS_WITH_AS((void)Recipe(stages(2)).run(Session{directory, 1}, toy::teacher(), {"feedback"}),
                         doctest::Contains("no part called 'feedback'"), OptionError);
  }
  RunDirectory directory(folder.file("run"), {}, Existing::resume);
  const Session session{directory, 1};
  CHECK_THROWS_WITH_AS((void)Recipe(stages(3), one_step(fake, 2)).run(session, toy::teacher(), {"one-step"}),
                       doctest::Contains("part 1 ('tscd') differs"), OptionError);
  CHECK_THROWS_WITH_AS(Recipe(stages(2), stages(2)), doctest::Contains("two parts called 'tscd'"), OptionError);
  auto other = stages(2);
  other.name = "other";
  CHECK_THROWS_WITH_AS(Recipe(stages(2), other), doctest::Contains("two phases called 'tscd k=8'"), OptionError);
  CHECK_THROWS_WITH_AS((void)SameAdapter{"absent"}.prepare(toy::teacher(), 0), doctest::Contains("'absent'"),
                       OptionError);
}

TEST_CASE("one-step enhancement brings one step nearer to the data and keeps the later ones") {
  const Folder folder("recipe-quality");
  RunDirectory directory(folder.file("run"), {});
  auto fake = fake_score(), loose = fake_score();
  const auto free = one_step(loose, 200, 0, "without preserving", true);
  const auto state = Recipe(stages(100), free, one_step(fake, 200)).run(Session{directory, 2}, toy::teacher());
  // Energy distance of one-step samples to data.
  const auto data = toy::exact().data<double>(512, stream(98, "data"));
  const auto mean = [](const Tensor<double>& a, const Tensor<double>& b) {
    double sum = 0;
    for (std::int64_t i = 0; i < a.dim(0); ++i)
      for (std::int64_t j = 0; j < b.dim(0); ++j) sum += std::hypot(a[2 * i] - b[2 * j], a[2 * i + 1] - b[2 * j + 1]);
    return sum / static_cast<double>(a.dim(0) * b.dim(0));
  };
  const auto energy = [&](const Net& net) {
    const auto x = draw(net, 1);
    return 2 * mean(x, data) - mean(x, x) - mean(data, data);
  };
  // How far jumps from all times but the last have moved.
  const auto moved = [&](const Net& net) {
    const auto& before = state.after("tscd");
    return distill::Preserve<>(toy::table()).loss(net, before, before, batch(1000000), {77, 0}).loss.item();
  };
  const double before = energy(state.after("tscd")), after = energy(state.student);
  MESSAGE("energy distance of one step: TSCD " << before << ", unified " << after);
  MESSAGE("later jumps moved by " << moved(state.student) << ", without preserving "
                                  << moved(state.after("without preserving")));
  CHECK(after < 0.7 * before);
  CHECK(moved(state.student) < 0.5 * moved(state.after("without preserving")));
}
