// SPDX-License-Identifier: Apache-2.0
/// How far students are from the exact flow of a mixture in the plane, over t and over steps: map_error OUT
/// [EVALUATIONS] [FIRST_SEED LAST_SEED] [equations]. Writes map_error.csv (seed, method, measure, at, error),
/// map_error.svg and segment_error.svg to the folder OUT, and prints a table with 95 % intervals over seeds. With
/// `equations` the students are the Lagrangian and the Eulerian map, each with several learning rates, and the picture
/// is equations.svg, of each one's best rate.
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/flow_map.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/terminal_velocity.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/io/csv.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/metrics/student_t.hpp>
#include <hypersd/report/plot.hpp>

#include <playground/world.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace {

using namespace hypersd;
using namespace hypersd::distill;
using diffusion::Flow;
using playground::Net;
using playground::World;
using Student = Net<Cpu>;
using Key = std::pair<std::string, double>;  // measure and time or number of steps

constexpr int times = 20, substeps = 10, segments = 4;

/// The exact flow from noise: positions at t = 0, 1 / times, ..., 1.
std::vector<Tensor<float>> exact_flow(const World<Cpu, Flow>& w, const Tensor<float>& noise) {
  const auto velocity = [&](const Tensor<double>& x, double t) {
    return diffusion::predict(w.process(), w.exact, x, diffusion::Times(static_cast<std::size_t>(x.dim(0)), t),
                              diffusion::Unconditional{});
  };
  const auto moved = [](const Tensor<double>& x, double h, const Tensor<double>& v) {
    return ops::map(ops::LinearCombination<double>{1, h}, x, v);
  };
  std::vector<Tensor<float>> out(times + 1);
  Tensor<double> x = ops::cast<double>(noise);
  out[times] = noise;
  const int steps = times * substeps;
  const double h = 1.0 / steps;
  for (int i = steps; i > 0; --i) {
    const double t = i * h;
    const auto a = velocity(x, t), b = velocity(moved(x, -h / 2, a), t - h / 2);
    const auto c = velocity(moved(x, -h / 2, b), t - h / 2), d = velocity(moved(x, -h, c), std::max(0.0, t - h));
    x = moved(moved(moved(moved(x, -h / 6, a), -h / 3, b), -h / 3, c), -h / 6, d);
    if ((i - 1) % substeps == 0) out[static_cast<std::size_t>((i - 1) / substeps)] = ops::cast<float>(x);
  }
  return out;
}

double mean_gap(const Tensor<float>& a, const Tensor<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    sum += std::hypot(static_cast<double>(a[2 * i]) - static_cast<double>(b[2 * i]),
                      static_cast<double>(a[2 * i + 1]) - static_cast<double>(b[2 * i + 1]));
  return sum / static_cast<double>(a.dim(0));
}

/// Errors of one student: `end`, of one jump from t to 0; `segment`, of one jump from t to the beginning of its
/// quarter; `steps`, of the end of n equal jumps.
std::map<Key, double> errors(const World<Cpu, Flow>& w, const Student& net, const std::vector<Tensor<float>>& flow) {
  std::map<Key, double> out;
  const auto n = static_cast<std::size_t>(flow[0].dim(0));
  const auto jump = [&](int from, int to) {
    const diffusion::Times t(n, from / static_cast<double>(times)), end(n, to / static_cast<double>(times));
    const auto& x = flow[static_cast<std::size_t>(from)];
    const auto f = diffusion::predict_between(w.process(), net, x, t, end, diffusion::Unconditional{});
    return mean_gap(diffusion::jump(w.process(), x, f, t, end), flow[static_cast<std::size_t>(to)]);
  };
  for (int i = 1; i <= times; ++i) {
    const double t = i / static_cast<double>(times);
    out[{"end", t}] = jump(i, 0);
    out[{"segment", t}] = jump(i, (i - 1) / (times / segments) * (times / segments));
  }
  const diffusion::Sampler<diffusion::DdimOde, Flow> sampler({}, w.process());
  for (const int steps : {1, 2, 4, 8})
    out[{"steps", steps}] = mean_gap(sampler(net, flow.back(), diffusion::Unconditional{}, steps), flow[0]);
  return out;
}

/// Students by name, each trained with `evaluations` evaluations of networks a sample: a pass with gradient counts as
/// 3, a derivative of it 1 more, a pass without gradient (of the student, the exact teacher or a target) 1.
std::vector<std::pair<std::string, Student>> students(const World<Cpu, Flow>& w, std::int64_t evaluations) {
  const Flow p = w.process();
  const TimeProposal uniform{.kind = TimeProposal::Kind::uniform};
  const ContinuousConsistencyOptions consistency{.times = uniform, .warm_up = evaluations / 40};
  const FlowMapOptions map{.same_share = 0.25, .source = FlowSource::teacher};
  const auto one = [&](const auto& objective, std::int64_t cost) {
    return w.distil(objective, w.teacher, w.exact, evaluations / cost);
  };
  const auto two = [&](const auto& objective, std::int64_t cost) {
    return w.distil(objective, flow_map_of(w.teacher), w.exact, evaluations / cost);
  };
  const auto segmented = [&](int k, const Student& from, std::int64_t updates) {
    using Rule = WithinSegments<>;
    return w.distil(Consistency<Rule, Flow>(p, {}, {}, Rule{k}), from, w.exact, updates);
  };
  Student staged = w.teacher;
  for (const int k : {8, 4, 2, 1}) staged = segmented(k, staged, evaluations / 20);
  return {
      {"start", w.teacher},
      {"TSCD, stages 8, 4, 2, 1", staged},
      {"TSCD, k = 4 alone", segmented(4, w.teacher, evaluations / 5)},
      {"sCM", one(Scd<Flow>(p, consistency), 5)},
      {"sCM, 4 segments", one(SegmentedScd<4, Flow>(p, consistency), 5)},
      {"TSCD's limit, k = 1, told the end", two(ContinuousTscd<1, Flow>(p, consistency), 5)},
      {"TSCD's limit, k = 4, told the end", two(ContinuousTscd<4, Flow>(p, consistency), 5)},
      {"MeanFlow",
       two(MeanFlow<Flow>(p, {.times = uniform, .same_share = 0.25, .source = FlowSource::teacher, .power = 0}), 5)},
      {"Lagrangian (LMD)", two(LagrangianFlowMap<Flow>(p, map), 5)},
      {"Eulerian (EMD)", two(EulerianFlowMap<Flow>(p, map), 5)},
      {"Progressive (PSD)", two(ProgressiveFlowMap<Flow>(p, map), 6)},
      {"Terminal velocity", two(TerminalVelocity<Flow>(p, {.source = FlowSource::teacher}), 12)},
  };
}

/// Flow maps by the Lagrangian and by the Eulerian equation, the latter also with normalized tangents, with each of the
/// learning rates.
std::vector<std::pair<std::string, Student>> equations(const World<Cpu, Flow>& w, std::int64_t evaluations) {
  const Flow p = w.process();
  const FlowMapOptions map{.same_share = 0.25, .source = FlowSource::teacher};
  const ContinuousConsistencyOptions normalized{.times = {.kind = TimeProposal::Kind::uniform},
                                                .warm_up = evaluations / 40};
  std::vector<std::pair<std::string, Student>> out{{"start", w.teacher}};
  const auto add = [&](const std::string& name, const auto& objective) {
    for (const double rate : {2e-3, 6e-4, 2e-4, 6e-5})
      out.emplace_back(name + ", " + io::compact(rate),
                       w.distil(objective, flow_map_of(w.teacher), w.exact, evaluations / 5, rate));
  };
  add("Lagrangian", LagrangianFlowMap<Flow>(p, map));
  add("Eulerian", EulerianFlowMap<Flow>(p, map));
  add("Eulerian, normalized", ContinuousTscd<1, Flow>(p, normalized));
  return out;
}

struct Estimate {
  double mean = 0, half = 0;
};
/// Mean with the half width of Student's 95 % interval.
Estimate estimate(const std::vector<double>& v) {
  const auto n = static_cast<double>(v.size());
  double mean = 0, squares = 0, quantile = 0;
  for (const double x : v) mean += x / n;
  for (const double x : v) squares += (x - mean) * (x - mean);
  if (v.size() < 2) return {mean, 0};
  while (metrics::student_t_within(quantile, n - 1) < 0.95) quantile += 1e-3;
  return {mean, quantile * std::sqrt(squares / (n - 1) / n)};
}

using Results = std::vector<std::pair<std::string, std::map<Key, std::vector<double>>>>;

void add(Results& all, const std::string& method, const Key& key, double value) {
  for (auto& [name, values] : all)
    if (name == method) return values[key].push_back(value);
  all.push_back({method, {{key, {value}}}});
}

void write_plot(const Results& all, const std::string& measure, const std::string& title, const std::string& file) {
  std::vector<report::PlotSeries> series;
  for (const auto& [name, values] : all) {
    // Students of segments do not claim the end, and those that are not told the end do not claim the quarter.
    const bool quarter = name.find("4 segments") != name.npos || name.find("k = 4") != name.npos;
    const bool end_only = name == "sCM" || name.find("stages") != name.npos || name == "Eulerian (EMD)";
    if (name == "start" || (measure == "end" ? quarter : end_only)) continue;
    report::PlotSeries s{.name = name};
    for (const auto& [key, v] : values) {
      if (key.first != measure) continue;
      const Estimate e = estimate(v);
      s.x.push_back(key.second), s.y.push_back(e.mean);
      s.low.push_back(std::max(e.mean - e.half, 1e-4)), s.high.push_back(e.mean + e.half);
    }
    series.push_back(s);
  }
  io::atomic_write(file, report::line_plot(series, {.title = title,
                                                    .x_label = "t",
                                                    .y_label = "mean distance from the exact flow",
                                                    .log_y = true,
                                                    .width = 720,
                                                    .height = 420}));
}

/// Of students with several learning rates, "method, rate", each method's with the smallest error in one step.
Results best_rates(const Results& all) {
  Results out;
  for (const auto& student : all) {
    const auto method = [](const auto& s) { return s.first.substr(0, s.first.rfind(", ")); };
    const auto error = [](const auto& s) { return estimate(s.second.at({"steps", 1})).mean; };
    if (student.first == "start") continue;
    if (out.empty() || method(out.back()) != method(student))
      out.push_back(student);
    else if (error(student) < error(out.back()))
      out.back() = student;
  }
  return out;
}

void print_table(const Results& all) {
  std::printf("| method | 1 step | 2 steps | 4 steps | 8 steps | one quarter |\n|---|---|---|---|---|---|\n");
  for (const auto& [name, values] : all) {
    std::printf("| %s |", name.c_str());
    for (const int n : {1, 2, 4, 8}) {
      const Estimate e = estimate(values.at({"steps", n}));
      std::printf(" %.3f ± %.3f |", e.mean, e.half);
    }
    std::vector<double> quarter(values.at({"segment", 1}).size());
    for (const auto& [key, v] : values)
      if (key.first == "segment")
        for (std::size_t i = 0; i < v.size(); ++i) quarter[i] += v[i] / times;
    const Estimate e = estimate(quarter);
    std::printf(" %.3f ± %.3f |\n", e.mean, e.half);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const bool by_equation = argc == 6 && std::string(argv[5]) == "equations";
  require<OptionError>(argc == 2 || argc == 3 || argc == 5 || by_equation,
                       "usage: map_error OUT [EVALUATIONS] [FIRST_SEED LAST_SEED] [equations]");
  const std::filesystem::path out = argv[1];
  const std::int64_t evaluations = argc > 2 ? std::atoll(argv[2]) : 5000;
  const int first = argc > 4 ? std::atoi(argv[3]) : 0, last = argc > 4 ? std::atoi(argv[4]) : 4;
  std::filesystem::create_directories(out);
  Results all;
  std::string csv = io::csv_line({"seed", "method", "measure", "at", "error"});
  for (int seed = first; seed <= last; ++seed) {
    const World<Cpu, Flow> w("ring", static_cast<std::uint64_t>(seed), 1000, 0);
    const auto flow = exact_flow(w, ops::normal<float>(Shape{512, 2}, stream(w.seed, "evaluation.noise")));
    for (const auto& [name, net] : by_equation ? equations(w, evaluations) : students(w, evaluations))
      for (const auto& [key, error] : errors(w, net, flow)) {
        add(all, name, key, error);
        const std::vector<std::string> fields{std::to_string(seed), name, key.first, io::number(key.second),
                                              io::number(error)};
        csv += io::csv_line(fields);
      }
    io::atomic_write((out / "map_error.csv").string(), csv);
    std::fprintf(stderr, "seed %d\n", seed);
  }
  if (by_equation) {
    write_plot(best_rates(all), "end", "One jump from t to the end", (out / "equations.svg").string());
    print_table(all);
    return 0;
  }
  write_plot(all, "end", "One jump from t to the end", (out / "map_error.svg").string());
  write_plot(all, "segment", "One jump from t to the beginning of its quarter", (out / "segment_error.svg").string());
  print_table(all);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "map_error: %s\n", e.what());
  return 1;
}
