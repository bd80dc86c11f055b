// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/parallel.hpp>
#include <hypersd/report/progress.hpp>
#include <txt2img/load.hpp>
#include <txt2img/outputs.hpp>
#include <utility>

namespace txt2img {

namespace {

/// Seconds of the phases of a run, from its progress events.
class Stopwatch {
 public:
  void operator()(const hypersd::ProgressEvent& event) {
    if (event.phase.empty()) return;
    const double now = hypersd::report::TerminalProgress::steady_seconds();
    if (event.step == 0) started_ = now;
    if (event.step < event.total) return;
    if (!text_.empty()) text_ += ", ";
    const double seconds = now - started_;
    text_ += event.phase + " " + hypersd::io::fixed(seconds, 2) + " s";
    if (event.phase == "sample")
      text_ += " (" + hypersd::io::fixed(seconds / static_cast<double>(event.total), 3) + " s a step)";
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  double started_ = 0;
  std::string text_;
};

/// Prompt and settings of picture i, in the form that most programs read: keyword `parameters`.
std::vector<hypersd::io::PngText> png_texts(const Options& o, std::size_t i, const std::string& settings) {
  std::string text = o.prompts[i / static_cast<std::size_t>(o.images_per_prompt)];
  if (o.negative_prompt) text += "\nNegative prompt: " + *o.negative_prompt;
  return {{"parameters", text + "\n" + settings}};
}

/// The settings in one line, as far as they were given.
std::string settings_of(const Options& o, double guidance, sd::SizePair size) {
  std::string out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out += (out.empty() ? "" : ", ") + std::string(name) + ": " + value;
  };
  const auto number = [](double x) { return hypersd::io::compact(x); };
  const auto list = [&](const std::vector<double>& values) {
    std::string text;
    for (const double x : values) text += (text.empty() ? "" : " ") + number(x);
    return text;
  };
  const auto pair = [](const std::optional<Pair>& p) {
    return p ? std::to_string((*p)[0]) + "x" + std::to_string((*p)[1]) : std::string();
  };
  if (o.steps) add("Steps", std::to_string(*o.steps));
  add("Timesteps", list(o.timesteps));
  add("Sampler", o.scheduler.empty() ? "of the checkpoint" : o.scheduler);
  for (const std::string& option : o.scheduler_options) out += ", " + option;
  add("CFG scale", number(guidance));
  if (o.guidance_rescale > 0) add("CFG rescale", number(o.guidance_rescale));
  add("Seed", std::to_string(o.seed));
  add("RNG", o.rng);
  add("Size", std::to_string(size[1]) + "x" + std::to_string(size[0]));
  add("Model", o.model);
  add("Variant", o.variant);
  if (o.dtype != "f32") add("Weights", o.dtype);
  if (o.eta) add("Eta", number(*o.eta));
  if (o.clip_skip > 0) add("Clip skip", std::to_string(o.clip_skip));
  add("Prompt 2", o.prompt_2.value_or(""));
  add("Negative prompt 2", o.negative_prompt_2.value_or(""));
  add("Original size", pair(o.original_size));
  add("Crop", pair(o.crops));
  add("Target size", pair(o.target_size));
  add("Negative original size", pair(o.negative_original_size));
  add("Negative crop", pair(o.negative_crops));
  add("Negative target size", pair(o.negative_target_size));
  for (const std::string& lora : o.loras) add("LoRA", lora);
  if (!o.loras.empty() && o.lora_scale != 1) add("LoRA scale", number(o.lora_scale));
  for (std::size_t i = 0; i < o.controlnets.size(); ++i) {
    add("ControlNet", o.controlnets[i] + (o.canny ? " on edges of " : " on ") + o.control_images[i]);
    add("Control scale", number(o.control_scales[i]));
    if (o.control_starts[i] > 0 || o.control_ends[i] < 1)
      add("Control window", number(o.control_starts[i]) + " to " + number(o.control_ends[i]));
  }
  if (o.guess_mode) add("Guess mode", "on");
  add("Initial image", o.init_image);
  if (!o.init_image.empty()) add("Strength", number(o.strength));
  add("Latents", o.latents);
  add("Noise", o.noise);
  add("Tiny decoder", o.tiny_decoder);
  return out + ", Program: hypersd txt2img";
}

template <class D>
void work(const Options& o) {
  make_out(o.out);
  auto model = load<D>(o);
  auto image = image_options(o, model);
  pack(model, image);
  const sd::SizePair size = sd::image_size(model, image);
  const hypersd::report::TerminalProgress bar;
  Stopwatch stopwatch;
  image.progress = [&](const hypersd::ProgressEvent& event) {
    bar(event);
    stopwatch(event);
  };
  const auto out = draw(o, model, image);
  write_nchw(o.out + "/latents.npy", out.latents.template to<hypersd::Cpu>());
  std::vector<hypersd::Tensor<float>> steps;
  for (const auto& step : out.steps) steps.push_back(step.template to<hypersd::Cpu>());
  if (!steps.empty()) write_steps(o.out + "/latents_steps.npy", steps);
  const std::string settings = settings_of(o, image.guidance_scale, size);
  std::vector<std::vector<hypersd::io::PngText>> texts;
  for (std::int64_t i = 0; i < out.images.dim(0); ++i)
    texts.push_back(png_texts(o, static_cast<std::size_t>(i), settings));
  write_images(o.out, out.images.template to<hypersd::Cpu>(), texts);
  remark(stopwatch.text() + "; " + o.out);
}

}  // namespace
}  // namespace txt2img

int main(int argc, char** argv) try {
  const txt2img::Options options = txt2img::read_options(argc, argv);
  if (options.threads > 0) hypersd::set_num_threads(options.threads);
  program::on_gpu(options.device) ? txt2img::work<program::Gpu>(options) : txt2img::work<hypersd::Cpu>(options);
  return 0;
} catch (...) {
  return program::failed("hypersd_txt2img");
}
