// SPDX-License-Identifier: Apache-2.0
#include <hypersd/pipeline/phase.hpp>
//
#include <doctest/doctest.h>

#include <functional>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <map>

#include "folder.hpp"
#include "toy_denoiser.hpp"

using namespace hypersd;
using namespace hypersd::pipeline;
using namespace hypersd::records;

namespace {

using Net = toy::Denoiser;
using Trained = RecipeState<Net>;
using Data = distill::Batch<double, Cpu, diffusion::Unconditional>;
using Tscd = distill::Consistency<distill::WithinSegments<>>;

const std::vector<int> all{8, 4, 2, 1};

Data batch(std::int64_t iteration) {
  return {toy::exact().data<double>(64, stream(0, "data", static_cast<std::uint64_t>(iteration))), {}};
}
using Batches = decltype(&batch);

/// What the loss of an iteration sees.
struct Step {
  int k;
  bool guided;
  std::int64_t iteration;
  const Net &student, &teacher, &target;
};
using Watch = std::function<void(const Step&)>;

/// TSCD that shows each of its iterations.
struct Watched {
  Tscd tscd;
  int k;
  bool guided;
  const Watch* watch;
  distill::LossResult<double, Cpu> loss(const Net& student, const Net& teacher, const Net& target, const Data& data,
                                        distill::Randomness random) const {
    if (*watch) (*watch)({k, guided, random.step, student, teacher, target});
    return tscd.loss(student, teacher, target, data, random);
  }
};

struct Killed {};

struct Toy {
  std::int64_t steps = 150;
  bool follow_previous = false;
  Watch watch{};
  std::string kill_in{};  ///< a phase, which is killed after the update `kill_at`
  std::int64_t kill_at = -1;

  [[nodiscard]] auto part(const std::vector<int>& stages) const {
    StageOptions o{.steps = std::vector<std::int64_t>(stages.size(), steps), .learning_rate = 3e-3};
    o.lora.rank = 16;
    o.follow_previous = follow_previous;
    return staged("tscd", stages, &batch, o, [&](int k, bool guided) {
      return Watched{Tscd(toy::process(), {}, {}, {k}), k, guided, &watch};
    });
  }
  template <class Part>
  Trained run(const Part& stages, const Folder& folder) const {
    RunDirectory directory(folder.file("run"), {}, Existing::resume);
    const Session session{directory, 0,
                          [&](const ProgressEvent& e) {
                            if (e.phase == kill_in && e.step == kill_at) throw Killed{};
                          },
                          20};
    Trained state{toy::teacher(), toy::teacher()};
    run_part(session, stages, state);
    return state;
  }
  [[nodiscard]] Net student(const std::vector<int>& stages) const {
    const Folder folder("phase");
    return run(part(stages), folder).student;
  }
};

std::vector<double> values(optim::ParameterList<double> parameters) {
  std::vector<double> out;
  for (const auto& p : parameters)
    for (const double v : p.var.value().span()) out.push_back(v);
  return out;
}
std::vector<double> factors(Net net) { return values(optim::parameter_list(nn::lora_parameters(net))); }
std::vector<double> weights(Net net) { return values(optim::parameter_list(nn::parameters(net))); }

/// Mean distance of end points from those of the teacher's own 40 grid steps, from the same noise.
double trajectory_error(const Net& net, int steps) {
  const diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion> sampler;
  const auto noise = ops::normal<double>(Shape{512, 2}, stream(99, "evaluation"));
  const auto goal = sampler(toy::teacher(), noise, diffusion::Unconditional{}, 40);
  const auto got = sampler(net, noise, diffusion::Unconditional{}, steps);
  double sum = 0;
  for (std::int64_t b = 0; b < 512; ++b) sum += std::hypot(got[2 * b] - goal[2 * b], got[2 * b + 1] - goal[2 * b + 1]);
  return sum / 512;
}

/// Whether `now` is the average of `before` and the student.
bool averaged(const std::vector<double>& now, const std::vector<double>& before, const std::vector<double>& student) {
  if (now.size() != before.size() || now.size() != student.size() || now.empty()) return false;
  for (std::size_t i = 0; i < now.size(); ++i)
    if (std::abs(now[i] - (0.95 * before[i] + 0.05 * student[i])) > 1e-12) return false;
  return true;
}

}  // namespace

TEST_CASE("the toy teacher knows its mixture") {
  const auto truth = toy::exact();
  const auto x = ops::normal<double>(Shape{256, 2}, stream(5, "x"));
  for (const double time : {100.0, 500.0, 900.0}) {
    const auto t = Tensor<double>::full(Shape{256}, time);
    const auto a = diffusion::predict(toy::teacher(), x, t, diffusion::Unconditional{});
    const auto b = truth(x, t, diffusion::Unconditional{});
    double gap = 0, size = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) gap += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    CAPTURE(time);
    CHECK(gap < 0.15 * size);
  }
}

TEST_CASE("TSCD through 8, 4, 2, 1 brings few steps near the teacher's many") {
  const Net student = Toy{}.student(all);
  for (const int n : {1, 2, 4}) {
    CAPTURE(n);
    const double before = trajectory_error(toy::teacher(), n), after = trajectory_error(student, n);
    MESSAGE("steps " << n << ": teacher " << before << ", student " << after);
    CHECK(after < 0.7 * before);
  }
  // The stages themselves: after k = 8 alone, eight steps are closer than they were.
  const Net first = Toy{}.student({8});
  MESSAGE("steps 8: teacher " << trajectory_error(toy::teacher(), 8) << ", student " << trajectory_error(first, 8));
  CHECK(trajectory_error(first, 8) < 0.6 * trajectory_error(toy::teacher(), 8));
}

TEST_CASE("whose trajectories the stages follow") {
  for (const bool previous : {false, true}) {
    std::map<int, std::vector<double>> seen;
    std::map<int, bool> guided, as_student;
    const auto x = ops::normal<double>(Shape{4, 2}, stream(5, "x"));
    const auto t = Tensor<double>::full(Shape{4}, 500.0);
    const auto says = [&](const Net& net) {
      return diffusion::predict(net, x, t, diffusion::Unconditional{}).to_vector();
    };
    Toy toy{.steps = 3, .follow_previous = previous};
    toy.watch = [&](const Step& step) {
      const auto y = says(step.teacher);
      if (seen.count(step.k))
        CHECK(seen[step.k] == y);  // frozen through the stage
      else
        as_student[step.k] = y == says(nn::merge_lora(step.student));
      seen[step.k] = y;
      guided[step.k] = step.guided;
    };
    (void)toy.student({8, 4, 2});
    const auto original = says(toy::teacher());
    CHECK(seen[8] == original);
    CHECK(guided[8]);
    for (const int k : {4, 2}) {
      CAPTURE(k);
      CHECK((seen[k] == original) == !previous);
      CHECK(as_student[k] == previous);
      CHECK(guided[k] == !previous);
    }
  }
}

TEST_CASE("stages continue each other: iterations count on, the target follows the student through all of them") {
  Toy toy{.steps = 5};
  std::int64_t expected = 0;
  std::vector<double> before;
  toy.watch = [&](const Step& step) {
    CHECK(step.iteration == expected++);
    CHECK(step.k == all[static_cast<std::size_t>(step.iteration / 5)]);
    const auto student = factors(step.student), target = factors(step.target);
    CHECK((student == target) == (step.iteration == 0));
    if (step.iteration > 0) CHECK(averaged(target, before, student));
    before = target;
  };
  (void)toy.student(all);
  CHECK(expected == 20);
  CHECK_THROWS_WITH_AS((void)toy.part({4, 4}), doctest::Contains("k = 4 follows k = 4"), OptionError);
  CHECK_THROWS_WITH_AS(
      (void)staged("few", {4, 2}, &batch, {.steps = {3}}, [](int, bool) { return Tscd(toy::process()); }),
      doctest::Contains("1 numbers of steps for 2 stages"), OptionError);
}

TEST_CASE("a run killed in any stage and started again ends bitwise the same") {
  for (const bool previous : {false, true}) {
    CAPTURE(previous);
    const Toy whole{.steps = 50, .follow_previous = previous};
    const auto expected = factors(whole.student(all));
    const Folder folder("phases");
    for (const auto& [phase, at] : {std::pair{"tscd k=8", 30}, std::pair{"tscd k=4", 10}, std::pair{"tscd k=1", 41}}) {
      Toy part = whole;
      part.kill_in = phase;
      part.kill_at = at;
      CHECK_THROWS_AS(part.run(part.part(all), folder), Killed);
    }
    CHECK(factors(whole.run(whole.part(all), folder).student) == expected);
    Toy again = whole;  // all is done: nothing is computed
    again.watch = [](const Step&) { FAIL_CHECK("no step is due"); };
    CHECK(factors(again.run(again.part(all), folder).student) == expected);
  }
}

TEST_CASE("any objective is staged: progressive distillation by halves, with all weights") {
  StageOptions o{.steps = std::vector<std::int64_t>(4, 200), .learning_rate = 2e-3};
  o.follow_previous = true;
  std::vector<bool> guided;
  auto part = staged("pd", distill::halving(8), &batch, o, [&](int k, bool g) {
    guided.push_back(g);
    return distill::Pd<>(toy::process(), {.steps = k});
  });
  CHECK(guided == std::vector<bool>{true, false, false, false});
  for (auto& phase : part.phases) phase.tuning = AllWeights{};
  const io::Json said = part.describe();
  const io::Json& second = said.member<io::Json::Array>("phases", "part")[1];
  CHECK(second.member<std::string>("teacher", "phase") == "previous stage");
  CHECK(second.member<std::string>("trains", "phase") == "all weights");
  const auto teacher = weights(toy::teacher());
  const Folder folder("pd");
  const Trained state = Toy{}.run(part, folder);
  CHECK(weights(toy::teacher()) == teacher);
  CHECK(nn::lora_count(state.student).tensors == 0);
  const double before = trajectory_error(toy::teacher(), 1), after = trajectory_error(state.after("pd"), 1);
  MESSAGE("one step: teacher " << before << ", student " << after);
  CHECK(after < 0.6 * before);
}

TEST_CASE("a stage with all weights goes on from the adapter before, and so does its target") {
  Toy toy{.steps = 4};
  std::vector<double> before;
  int merged = 0;
  toy.watch = [&](const Step& step) {
    if (step.k == 4) return;
    CHECK(nn::lora_count(step.student).tensors == 0);
    CHECK(nn::lora_count(step.target).tensors == 0);
    const auto student = weights(step.student), target = weights(step.target);
    CHECK(target != student);
    if (merged++ > 0) CHECK(averaged(target, before, student));
    before = target;
  };
  auto part = toy.part({4, 2});
  part.phases[1].tuning = AllWeights{};
  const Folder folder("merged");
  const Trained state = toy.run(part, folder);
  CHECK(merged == 4);
  CHECK(weights(state.student) != weights(toy::teacher()));
}
