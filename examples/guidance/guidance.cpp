// SPDX-License-Identifier: Apache-2.0
/// What guidance does at few steps: a student that keeps it (`distill::KeepGuidance`) beside one that has absorbed it
/// (the main job's) and the teacher, over guidance scales and with negative captions.
#include "student.hpp"

#include <fashion/follow_up.hpp>
#include <fashion/pictures.hpp>
#include <fashion/prompts.hpp>
#include <fashion/shared.hpp>
#include <fashion/terminal.hpp>
#include <hypersd/io/metric_log.hpp>

namespace {

using namespace guidance;

struct Settings : fashion::FollowUp {
  std::int64_t stage_steps = 240, batch = 32;
  double scale_max = 4;
  std::vector<double> scales = {1, 1.5, 2, 3, 4};
};

Settings settings_from(int argc, char** argv) {
  Settings o;
  o.out = "runs/guidance";
  CLI::App app{
      "Distils the teacher of a finished run of the main job into a student that keeps classifier-free guidance, and\n"
      "measures how teacher, this student and the run's own student answer to scale and negative captions.",
      "hypersd_guidance"};
  const auto own = [&](CLI::App& a) {
    auto* stage = a.add_option("--stage-steps", o.stage_steps, "iterations of each of the stages k = 8, 4, 2, 1");
    stage->check(CLI::PositiveNumber)->capture_default_str();
    a.add_option("--batch", o.batch, "batch size")->check(CLI::PositiveNumber)->capture_default_str();
    a.add_option("--scale-max", o.scale_max, "the student learns scales from 1 to this")
        ->check(CLI::Range(1.0, 100.0))
        ->capture_default_str();
    a.add_option("--scales", o.scales, "scales to sample with")->delimiter(',')->check(CLI::Range(1.0, 100.0));
  };
  fashion::parse_follow_up(app, o, argc, argv, own, [&](CLI::App& a) {
    if (a.count("--stage-steps") == 0) o.stage_steps = 40;
  });
  return o;
}

records::RunOptions kept(const Settings& o) {
  return {{"run", o.run.string()},
          {"stage-steps", std::to_string(o.stage_steps)},
          {"batch", std::to_string(o.batch)},
          {"scale-max", io::number(o.scale_max)},
          {"classifier-steps", std::to_string(o.classifier_steps)}};
}

/// A network with its name and numbers of steps.
template <Device D>
struct Model {
  std::string name;
  Net<D> net;
  std::vector<std::int64_t> steps;
};

/// One line of the results. `value`: agreement with the caption, or how often the negative caption's class is shown.
struct Line {
  std::string what, model;
  std::int64_t steps;
  double scale;
  metrics::Interval value;
  double frechet;  ///< NaN: not measured
};

/// Samples from and measures every model.
template <Device D>
struct Bench {
  const Settings& options;
  const Run& run;
  const FinishedRun<D>& base;
  const Latents<D>& latents;
  const Evaluator<D>& evaluator;
  Prompts prompts;
  std::vector<Line> lines = {};

  /// Pictures of captions against negative ones (both [N, L]) by guided sampling.
  [[nodiscard]] Tensor<float> draw(const Net<D>& net, std::int64_t steps, double scale,
                                   const Tensor<std::int32_t>& captions, const Tensor<std::int32_t>& negative) const {
    const SampleOptions o{.steps = steps, .guidance = scale, .negative = negative};
    const auto z = sample_latents(net, base.teacher.text, captions, prompts.noise, o);
    return decode_all(base.autoencoder, latents, z);
  }
  void add(Line line) {
    std::printf("%-9s %-28s %2lld steps  scale %-4s %6.3f [%.3f, %.3f]", line.what.c_str(), line.model.c_str(),
                static_cast<long long>(line.steps), io::number(line.scale).c_str(), line.value.estimate, line.value.low,
                line.value.high);
    if (std::isfinite(line.frechet)) std::printf("  FD %.2f", line.frechet);
    std::printf("\n");
    lines.push_back(std::move(line));
  }
};

/// Agreement with the caption against guidance scale.
template <Device D>
void scale_experiment(Bench<D>& bench, const std::vector<Model<D>>& models) {
  const auto null = Tensor<std::int32_t>::zeros(bench.prompts.captions.shape());
  for (const Model<D>& m : models)
    for (const std::int64_t steps : m.steps)
      for (const double scale : bench.options.scales) {
        const auto x = bench.draw(m.net, steps, scale, bench.prompts.captions, null);
        bench.add({"scale", m.name, steps, scale, bench.evaluator.agreement(x, bench.prompts.labels),
                   bench.evaluator.frechet(x).estimate});
      }
}

/// No caption, but a negative one: how often is its class shown all the same? Chance is one of the classes.
template <Device D>
void negative_experiment(Bench<D>& bench, const std::vector<Model<D>>& models) {
  const auto null = Tensor<std::int32_t>::zeros(bench.prompts.captions.shape());
  for (const Model<D>& m : models)
    for (const std::int64_t steps : m.steps)
      for (const double scale : {1.0, 2.0, 3.0}) {
        const auto x = bench.draw(m.net, steps, scale, null, bench.prompts.captions);
        bench.add({"negative", m.name, steps, scale, bench.evaluator.agreement(x, bench.prompts.labels), std::nan("")});
      }
}

/// Rows are scales, groups are samplers: the same noise everywhere.
template <Device D>
std::string scale_grid(const Bench<D>& bench, const std::vector<Model<D>>& models) {
  constexpr std::int64_t each = 5;
  const auto null = Tensor<std::int32_t>::zeros(bench.prompts.captions.shape());
  std::vector<Tensor<float>> groups;
  std::vector<std::string> titles, rows;
  for (const double scale : bench.options.scales) rows.push_back("scale " + io::number(scale));
  for (const Model<D>& m : models)
    for (const std::int64_t steps : m.steps) {
      if (m.steps.size() > 1 && steps != 1 && steps != 4) continue;
      Tensor<float> all;
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const auto x = bench.draw(m.net, steps, bench.options.scales[r], bench.prompts.captions, null).slice(0, each);
        all = r == 0 ? x : ops::concat_first(all, x);
      }
      groups.push_back(all);
      titles.push_back(m.name + ", " + std::to_string(steps));
    }
  return side_by_side(groups, titles, rows, each);
}

template <Device D>
void write_page(const Bench<D>& bench, const std::vector<Model<D>>& models, const std::string& grid,
                const std::string& file) {
  report::HtmlReport page("Guidance at few steps", "Run " + bench.options.run.string());
  page.section("Pictures");
  page.drawing(grid, "Rows: guidance scale. Groups: model and steps. The same noise everywhere.");
  page.section("Agreement with the caption against guidance scale");
  page.begin_columns();
  for (const Model<D>& m : models) {
    std::vector<report::PlotSeries> curves;
    for (const std::int64_t steps : m.steps) {
      report::PlotSeries s{.name = std::to_string(steps) + (steps == 1 ? " step" : " steps"), .markers = true};
      for (const Line& l : bench.lines)
        if (l.what == "scale" && l.model == m.name && l.steps == steps)
          s.x.push_back(l.scale), s.y.push_back(100 * l.value.estimate);
      curves.push_back(s);
    }
    report::PlotOptions plot{.x_label = "guidance scale", .y_label = "agreement, %"};
    plot.title = m.name;
    page.drawing(report::line_plot(curves, plot));
  }
  page.end_columns();
  page.section("Measures");
  report::ReportTable table;
  table.columns = {{"Experiment"}, {"Model"}, {"Steps"}, {"Scale"}, {"Share, %"}, {"FD"}};
  for (const Line& l : bench.lines)
    table.rows.push_back({{l.what, l.model, std::to_string(l.steps), io::number(l.scale), cell(l.value, 1, 100),
                           std::isfinite(l.frechet) ? report::ReportCell(l.frechet, 2) : report::ReportCell("")},
                          l.model == "teacher"});
  page.table(table);
  page.paragraph(
      "**Scale**: share of samples whose caption the classifier finds. **Negative**: without a caption, but with a "
      "negative one: share of samples that show its class all the same; scale 1 ignores it. ± is half of a 95 % "
      "bootstrap interval.");
  page.footer("Written by hypersd_guidance.");
  page.save(file);
}

template <Device D>
void execute(const Settings& o) {
  const FinishedRun<D> base = load_run<D>(o.run);
  fashion::Options settings = base.options;
  settings.classifier_steps = o.classifier_steps;
  settings.eval_samples = o.samples;
  records::RunDirectory directory(o.out.string(), kept(o),
                                  o.resume ? records::Existing::resume : records::Existing::refuse);
  report::TerminalProgress terminal;
  const Run run{settings, directory, [&](const ProgressEvent& e) { terminal(e); }};
  const Dataset data(settings.data.string());
  const Latents<D> latents = encode_all(base.autoencoder, data.images.train.first(settings.latent_images));
  const auto classifier = train_classifier<D>(run, data);
  const Evaluator<D> evaluator(run, data, classifier);
  const NegativeBatches<D> batches(data, latents, base.teacher.text, o.batch, settings.seed);
  const Net<D> student = train_student(run, batches, base.teacher, o.stage_steps, o.scale_max);
  const std::vector<Model<D>> models{{"teacher", base.teacher.unet, {settings.teacher_inference_steps}},
                                     {"guidance kept", student, o.steps},
                                     {"guidance absorbed", with_adapter(base.teacher.unet, base), o.steps}};
  Bench<D> bench{o, run, base, latents, evaluator, {data, o.samples, settings.seed, "guidance.noise"}};
  scale_experiment(bench, models);
  negative_experiment(bench, models);

  io::MetricLog log(directory.file("guidance"), {"what", "model", "steps", "scale", "value", "low", "high", "fd"});
  for (const Line& l : bench.lines)
    log.append({{"what", l.what},
                {"model", l.model},
                {"steps", l.steps},
                {"scale", l.scale},
                {"value", l.value.estimate},
                {"low", l.value.low},
                {"high", l.value.high},
                {"fd", l.frechet}});
  const auto grid = scale_grid(bench, models);
  io::atomic_write(directory.file("guidance.svg"), grid);
  write_page(bench, models, grid, directory.file("report.html"));
  std::printf("report: %s\n", directory.file("report.html").c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  const auto guard = program::stop_on_signal("hypersd_guidance");
  const Settings o = settings_from(argc, argv);
  if (o.threads > 0) set_num_threads(o.threads);
  program::on_gpu(o.device) ? execute<program::Gpu>(o) : execute<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_guidance");
}
