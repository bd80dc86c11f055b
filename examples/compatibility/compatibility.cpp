// SPDX-License-Identifier: Apache-2.0
/// What the unified adapter of a finished run of the main job works with unchanged: a ControlNet that was trained on
/// the teacher, and other base models. [Hyper-SD Sec. 4.3, C.4, C.5]
#include "control.hpp"
#include "styles.hpp"

#include <fashion/follow_up.hpp>
#include <fashion/pictures.hpp>
#include <fashion/shared.hpp>
#include <fashion/terminal.hpp>
#include <hypersd/io/metric_log.hpp>

namespace {

using namespace compatibility;

struct Settings : fashion::FollowUp {
  std::int64_t control_steps = 1200, style_steps = 600;
};

Settings settings_from(int argc, char** argv) {
  Settings o;
  o.out = "runs/compatibility", o.classifier_steps = 600;
  CLI::App app{
      "Trains a ControlNet on edge maps on the teacher of a finished run of the main job, and two base models of\n"
      "other styles, and uses the run's few-step adapter with each of them, unchanged.",
      "hypersd_compatibility"};
  const auto own = [&](CLI::App& a) {
    auto* control = a.add_option("--control-steps", o.control_steps, "training steps of the ControlNet");
    control->check(CLI::PositiveNumber)->capture_default_str();
    auto* style = a.add_option("--style-steps", o.style_steps, "training steps of each base model");
    style->check(CLI::PositiveNumber)->capture_default_str();
  };
  fashion::parse_follow_up(app, o, argc, argv, own, [&](CLI::App& a) {
    if (a.count("--control-steps") == 0) o.control_steps = 150;
    if (a.count("--style-steps") == 0) o.style_steps = 100;
  });
  return o;
}

records::RunOptions kept(const Settings& o) {
  return {{"run", o.run.string()},
          {"control-steps", std::to_string(o.control_steps)},
          {"style-steps", std::to_string(o.style_steps)},
          {"classifier-steps", std::to_string(o.classifier_steps)},
          {"samples", std::to_string(o.samples)}};
}

std::string steps_of(std::int64_t n) { return std::to_string(n) + (n == 1 ? " step" : " steps"); }

/// A line of the results, for the log, the page and the terminal.
struct Line {
  std::string what, model;
  std::int64_t steps;
  metrics::Interval value;  ///< edge F1, or agreement with the caption
  double frechet = 0;       ///< 0: not measured
};

/// Everything both experiments use.
template <Device D>
struct Bench {
  const Settings& options;
  const Run& run;
  const FinishedRun<D>& base;
  const Dataset& data;
  const Latents<D>& latents;
  std::vector<Line> lines = {};
  report::HtmlReport page;

  [[nodiscard]] Tensor<float> noise(std::int64_t n) const {
    return ops::normal<float>(Shape{n, 8, 8, 4}, stream(base.options.seed, "compatibility.noise"));
  }
  void add(Line line) {
    std::printf("%-12s %-22s %-9s %6.3f [%.3f, %.3f]", line.what.c_str(), line.model.c_str(),
                steps_of(line.steps).c_str(), line.value.estimate, line.value.low, line.value.high);
    if (line.frechet > 0) std::printf("  FD %.2f", line.frechet);
    std::printf("\n");
    lines.push_back(std::move(line));
  }
};

template <Device D>
void control_experiment(Bench<D>& bench) {
  const auto& [options, run, base, data, latents, lines, page] = bench;
  const Control<D> control = train_control(run, data, latents, base.teacher, options.control_steps);
  const Net<D> few = with_adapter(base.teacher.unet, base);

  // Test pictures in the order of their classes' turn: their edges are asked for, with their captions.
  const std::int64_t classes = data.classes(), n = options.samples / classes * classes;
  std::vector<std::vector<std::int64_t>> of_class;
  for (std::int32_t c = 0; c < classes; ++c) of_class.push_back(data.images.test.of_class(c, n / classes));
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < n; ++i)
    ids.push_back(of_class[static_cast<std::size_t>(i % classes)].at(static_cast<std::size_t>(i / classes)));
  const auto pictures = data.images.test.images(ids), edges = data::canny(pictures);
  const auto captions = data.captions(data.images.test.labels(ids));
  const auto noise = bench.noise(n);
  const auto draw = [&](const Net<D>& net, std::int64_t steps, double guidance, bool controlled) {
    using Sampler = diffusion::Sampler<diffusion::Tcd, Process, diffusion::ClassifierFree>;
    const Sampler sampler({.eta = 0}, {}, {.scale = guidance});
    std::int64_t first = 0;
    const auto z = in_batches(noise, 100, [&](const Tensor<float>& host) {
      const auto part = host.template to<D>();
      const std::int64_t end = first + part.dim(0);
      const auto condition = condition_of(base.teacher.text, captions.slice(first, end));
      const auto count = static_cast<int>(steps);
      const auto x = controlled ? sampler(Controlled<D>{net, control, edges.slice(first, end).template to<D>()}, part,
                                          condition, count)
                                : sampler(net, part, condition, count);
      first = end;
      return x;
    });
    return decode_all(base.autoencoder, latents, z);
  };
  const auto measure = [&](const std::string& model, const Tensor<float>& images, std::int64_t steps) {
    const auto f1 = edge_agreement(data::canny(images), edges);
    bench.add({"edges", model, steps, metrics::bootstrap_mean(f1), 0});
  };
  std::vector<Tensor<float>> shown{pictures.slice(0, classes),
                                   ops::map(ops::Affine<float>{2, -1}, edges.slice(0, classes))};
  std::vector<std::string> names{"picture", "edges"};
  const std::int64_t many = base.options.teacher_inference_steps;
  measure("real, autoencoded",
          in_batches(pictures, 250,
                     [&](const Tensor<float>& x) {
                       const autograd::NoGrad guard;
                       const Var<float, D> in(x.template to<D>());
                       return base.autoencoder.decode(base.autoencoder.encode(in).mean).value().template to<Cpu>();
                     }),
          0);
  measure("teacher, no control", draw(base.teacher.unet, many, base.options.guidance, false), many);
  const auto teacher = draw(base.teacher.unet, many, base.options.guidance, true);
  measure("teacher + ControlNet", teacher, many);
  shown.push_back(teacher.slice(0, classes));
  names.push_back("teacher");
  for (const std::int64_t s : options.steps) {
    const auto x = draw(few, s, 1, true);
    measure("adapter + ControlNet", x, s);
    shown.push_back(x.slice(0, classes));
    names.push_back(steps_of(s));
  }
  const auto grid = side_by_side(shown, names, class_names(data));
  io::atomic_write(run.directory.file("controlnet.svg"), grid);
  bench.page.section("ControlNet");
  bench.page.paragraph(
      "A ControlNet trained on edge maps with the frozen **teacher**, used with the few-step adapter as "
      "it is. All samples of a row start from the same noise.");
  bench.page.drawing(grid);
}

template <Device D>
void style_experiment(Bench<D>& bench, const Style& style) {
  const auto& [options, run, base, data, latents, lines, page] = bench;
  const Dataset pictures = styled(data, style.apply);
  const Latents<D> own = encode_like(base, latents, pictures.images.train.first(run.options.latent_images));
  // Its classifier sees this style: the space of its Frechet distance, and the judge of its captions.
  const auto classifier = train_classifier<D>(run, pictures, "classifier, " + style.name);
  const Evaluator<D> evaluator(run, pictures, classifier);
  const Teacher<D> teacher = train_style(run, pictures, own, base, style.name, options.style_steps);
  const Net<D> few = with_adapter(teacher.unet, base);

  Tensor<std::int32_t> labels(Shape{options.samples});
  for (std::int64_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % data.classes());
  const auto captions = data.captions(labels);
  const auto noise = bench.noise(options.samples);
  std::vector<Tensor<float>> shown;
  std::vector<std::string> names;
  const auto measure = [&](const std::string& model, const Net<D>& net, const SampleOptions& s) {
    const auto x = decode_all(base.autoencoder, latents,
                              sample_latents(net, teacher.text, captions, noise, s, run.progress, style.name));
    bench.add({style.name, model, s.steps, evaluator.agreement(x, labels), evaluator.frechet(x).estimate});
    shown.push_back(x.slice(0, data.classes()));
    names.push_back((model == "base model" ? "base " : "LoRA ") + std::to_string(s.steps));
  };
  measure("base model", teacher.unet, {base.options.teacher_inference_steps, base.options.guidance, 0, 0});
  for (const std::int64_t s : options.steps) measure("base model", teacher.unet, {s, base.options.guidance, 0, 0});
  for (const std::int64_t s : options.steps) measure("base model + adapter", few, {s, 1, 0, 0});
  const auto grid = side_by_side(shown, names, class_names(data));
  io::atomic_write(run.directory.file("style_" + style.name + ".svg"), grid);
  bench.page.section("Another base model: " + style.name);
  bench.page.paragraph("The teacher fine-tuned on " + style.name +
                       " pictures; on the right with the adapter, which has "
                       "never seen this style or this model.");
  bench.page.drawing(grid);
}

template <Device D>
void execute(const Settings& o) {
  const FinishedRun<D> base = load_run<D>(o.run);
  fashion::Options settings = base.options;
  settings.classifier_steps = o.classifier_steps;
  records::RunDirectory directory(o.out.string(), kept(o),
                                  o.resume ? records::Existing::resume : records::Existing::refuse);
  report::TerminalProgress terminal;
  const Run run{settings, directory, [&](const ProgressEvent& e) { terminal(e); }};
  const Dataset data(settings.data.string());
  const Latents<D> latents = encode_all(base.autoencoder, data.images.train.first(settings.latent_images));
  Bench<D> bench{
      o, run, base, data, latents, {}, report::HtmlReport("What the adapter works with", "Run " + o.run.string())};
  control_experiment(bench);
  for (const Style& style : styles()) style_experiment(bench, style);

  io::MetricLog log(directory.file("compatibility"), {"what", "model", "steps", "value", "low", "high", "fd"});
  report::ReportTable table;
  table.columns = {{"Experiment"}, {"Model"}, {"Steps"}, {"Edge F1 or agreement"}, {"FD", report::Best::Lowest}};
  for (const Line& l : bench.lines) {
    log.append({{"what", l.what},
                {"model", l.model},
                {"steps", l.steps},
                {"value", l.value.estimate},
                {"low", l.value.low},
                {"high", l.value.high},
                {"fd", l.frechet > 0 ? l.frechet : std::nan("")}});
    table.rows.push_back({{l.what, l.model, l.steps > 0 ? std::to_string(l.steps) : "", cell(l.value, 3),
                           l.frechet > 0 ? report::ReportCell(l.frechet, 2) : report::ReportCell("")},
                          l.model != "base model + adapter" && l.model != "adapter + ControlNet"});
  }
  bench.page.section("Measures");
  bench.page.table(table);
  bench.page.paragraph(
      "**Edge F1**: edges of the sample against those asked for, within one pixel. **Agreement**: share "
      "of samples whose caption a classifier of this style finds. ± is half of a 95 % bootstrap interval.");
  bench.page.footer("Written by hypersd_compatibility.");
  bench.page.save(directory.file("report.html"));
  std::printf("report: %s\n", directory.file("report.html").c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  const auto guard = program::stop_on_signal("hypersd_compatibility");
  const Settings o = settings_from(argc, argv);
  if (o.threads > 0) set_num_threads(o.threads);
  program::on_gpu(o.device) ? execute<program::Gpu>(o) : execute<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_compatibility");
}
