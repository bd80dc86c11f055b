// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <common/program.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// \file
/// The options of txt2img.

namespace txt2img {

/// Height and width, or top and left.
using Pair = std::array<std::int64_t, 2>;

struct Options {
  std::string model, config, variant;
  std::vector<std::string> loras;
  double lora_scale = 1;
  bool unfused_lora = false, allow_unused_lora = false;

  std::vector<std::string> controlnets, control_images;
  std::vector<double> control_scales, control_starts, control_ends;
  std::string control_variant;
  bool guess_mode = false, canny = false;

  std::vector<std::string> prompts;
  std::optional<std::string> prompt_2, negative_prompt, negative_prompt_2;
  std::int64_t images_per_prompt = 1, clip_skip = 0;

  std::optional<int> steps;
  std::vector<double> timesteps;
  std::string scheduler;
  std::vector<std::string> scheduler_options;
  std::optional<double> eta, guidance_scale;
  double guidance_rescale = 0;
  std::uint64_t seed = 0;
  std::string rng = "philox";
  std::int64_t width = 0, height = 0;
  std::optional<Pair> original_size, crops, target_size, negative_original_size, negative_crops, negative_target_size;

  std::string init_image;
  double strength = 0.8;
  std::string latents, noise;
  bool vae_tiling = false;
  std::string tiny_decoder;

  std::string device = "cpu", dtype = "f32", out = "txt2img";
  int threads = 0;
  bool save_steps = false, dump_embeds = false, dump_tokens = false;
};

namespace detail {

/// A number from text.
template <class N>
N number(const std::string& text, const std::string& option, const char* what) {
  N value{};
  hypersd::require<hypersd::OptionError>(program::detail::reads_as(text, value), option, ": ",
                                         hypersd::io::in_quotes(text), " is not ", what);
  return value;
}

inline std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out(1);
  for (const char c : text)
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

/// Two whole numbers H,W; empty text is none.
inline std::optional<Pair> pair(const std::string& text, const std::string& option) {
  if (text.empty()) return std::nullopt;
  const auto parts = split(text);
  hypersd::require<hypersd::OptionError>(
      parts.size() == 2, option, ": two whole numbers such as 1024,768 are needed, not ", hypersd::io::in_quotes(text));
  Pair out{};
  for (std::size_t i = 0; i < 2; ++i) {
    out[i] = number<std::int64_t>(parts[i], option, "a whole number");
    hypersd::require<hypersd::OptionError>(out[i] >= 0 && out[i] <= 1'000'000, option, ": ", out[i],
                                           " is not in [0, 1000000]");
  }
  return out;
}

/// One value for each ControlNet: one is used for all.
inline void spread(std::vector<double>& values, std::size_t n, double fallback, const char* option) {
  if (values.empty()) values.push_back(fallback);
  if (values.size() == 1) values.resize(n, values[0]);
  hypersd::require<hypersd::OptionError>(values.size() == n, option, ": ", values.size(), " values for ", n,
                                         " --controlnet; give one for each, or one for all");
}

}  // namespace detail

/// Reads and checks the options. Throws CLI::ParseError and OptionError.
inline Options read_options(int argc, char** argv) {
  Options o;
  CLI::App app{
      "Pictures from text by Stable Diffusion 1.x, 2.x, SDXL or their few-step students, from checkpoints on the "
      "disk.",
      "hypersd_txt2img"};
  const auto integer = program::whole;
  app.add_option("--model", o.model, "folder of diffusers, or single .safetensors file (LDM, SGM)")->required();
  app.add_option("--config", o.config, "folder with configurations, tokenizer and scheduler for a single file");
  app.add_option("--variant", o.variant, "preferred variant of weight files, such as fp16; another one is a fallback");
  app.add_option("--lora", o.loras,
                 "FILE or DIR of a LoRA (kohya, diffusers, peft), with :WEIGHT behind it if not 1; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--lora-scale", o.lora_scale, "factor of all LoRA weights")
      ->check(program::real(-100, 100))
      ->capture_default_str();
  app.add_flag("--unfused-lora", o.unfused_lora, "apply LoRAs at run time instead of adding them to the weights");
  app.add_flag("--allow-unused-lora", o.allow_unused_lora, "go on when tensors of a LoRA fit no layer");

  app.add_option("--controlnet", o.controlnets, "folder of a ControlNet of diffusers, or single file; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--control-image", o.control_images, "PNG for each --controlnet, in its order")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const auto each = [&](const char* name, std::vector<double>& values, const char* help, double high) {
    app.add_option(name, values, help)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check(program::real(0, high));
  };
  each("--control-scale", o.control_scales, "strength, 1 if not given; repeated: one for each --controlnet", 100);
  each("--control-start", o.control_starts, "share of the steps after which control begins, 0 if not given", 1);
  each("--control-end", o.control_ends, "share of the steps after which control ends, 1 if not given", 1);
  app.add_option("--control-variant", o.control_variant, "preferred variant of ControlNets' weight files");
  app.add_flag("--guess-mode", o.guess_mode,
               "ControlNets weigh their residuals 0.1 ... 1 and see the prompt's branch of guidance only");
  app.add_flag("--canny", o.canny, "draw edges of the control images first (Canny, thresholds 100 and 200)");

  app.add_option("--prompt", o.prompts, "text; repeated: a batch")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--prompt-2", o.prompt_2, "text for SDXL's second encoder; as --prompt if not given");
  app.add_option("--negative-prompt", o.negative_prompt, "what guidance leads away from");
  app.add_option("--negative-prompt-2", o.negative_prompt_2, "the same for SDXL's second encoder");
  app.add_option("--images-per-prompt", o.images_per_prompt, "pictures of each prompt")
      ->check(integer(1, 4096))
      ->capture_default_str();
  app.add_option("--clip-skip", o.clip_skip,
                 "leave out the last N layers of the text encoders (prompts, not negative ones)")
      ->check(integer(0, 64));

  app.add_option("--steps", o.steps, "calls of the UNet (Heun: two each); 50 if not given")->check(integer(1, 1000));
  std::string timesteps;
  app.add_option("--timesteps", timesteps, "descending times instead of --steps, such as 999,600,200");
  app.add_option("--scheduler", o.scheduler, "solver; the checkpoint's if not given")
      ->check(CLI::IsMember({"tcd", "lcm", "ddim", "euler", "euler-a", "heun", "dpmpp2m", "unipc"}));
  app.add_option(
         "--scheduler-option", o.scheduler_options,
         "NAME=VALUE replaces a value of scheduler_config.json, such as timestep_spacing=trailing; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--eta", o.eta, "noise of tcd (0.3 if not given), ddim (0)")->check(program::real(0, 1));
  app.add_option("--guidance-scale", o.guidance_scale,
                 "classifier-free guidance, off up to 1; 7.5 if not given, 5 for SDXL. Hyper-SD LoRAs want 0")
      ->check(program::real(0, 1000));
  app.add_option("--guidance-rescale", o.guidance_rescale, "brings the contrast of guidance back, 0 to 1")
      ->check(program::real(0, 1))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "of initial latents and noise")->capture_default_str();
  app.add_option("--rng", o.rng, "philox, or the numbers of torch.Generator('cpu')")
      ->check(CLI::IsMember({"philox", "torch"}))
      ->capture_default_str();
  app.add_option("--width", o.width, "pixels, a multiple of 8; the checkpoint's size if not given")
      ->check(integer(8, 65536));
  app.add_option("--height", o.height, "pixels, a multiple of 8")->check(integer(8, 65536));
  std::array<std::string, 6> pairs;
  const std::array<std::pair<const char*, std::optional<Pair>*>, 6> pair_options{
      {{"--original-size", &o.original_size},
       {"--crops", &o.crops},
       {"--target-size", &o.target_size},
       {"--negative-original-size", &o.negative_original_size},
       {"--negative-crops", &o.negative_crops},
       {"--negative-target-size", &o.negative_target_size}}};
  for (std::size_t i = 0; i < 6; ++i)
    app.add_option(pair_options[i].first, pairs[i],
                   i % 3 == 1 ? "SDXL's size condition: T,L" : "SDXL's size condition: H,W");

  app.add_option("--init-image", o.init_image, "PNG to begin with (image to image)");
  app.add_option("--strength", o.strength, "share of the steps that the --init-image goes through")
      ->check(program::real(0, 1))
      ->capture_default_str();
  app.add_option("--latents", o.latents, "initial noise of unit variance, .npy of N,C,H/8,W/8");
  app.add_option("--noise", o.noise, "noise of the solver's draws, .npy of draws,N,C,H/8,W/8");
  app.add_flag("--vae-tiling", o.vae_tiling, "decode in strips of rows: the same picture with less memory");
  app.add_option("--tiny-decoder", o.tiny_decoder, "TAESD's file or folder instead of the autoencoder's decoder");

  program::add_device(app, o.device);
  app.add_option(
         "--dtype", o.dtype,
         "f16, bf16: weights are held in 16 bits, rounded where files have more and after LoRAs are added; f32: "
         "as they are stored, with LoRAs added in float32. Computations are in float32")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "threads of the CPU; 0: all processors")
      ->check(integer(0, 4096))
      ->capture_default_str();
  app.add_option("--out", o.out, "folder for latents.npy, image.npy and image.png (image0.png, ...)")
      ->capture_default_str();
  app.add_flag("--save-steps", o.save_steps, "also latents_steps.npy: latents after each step");
  app.add_flag("--dump-embeds", o.dump_embeds, "also embeds.npy, negative_embeds.npy (SDXL: pooled.npy, ...)");
  app.add_flag("--dump-tokens", o.dump_tokens, "also tokens.npy (SDXL: tokens_2.npy too)");
  program::parse(app, argc, argv);

  using hypersd::OptionError;
  using hypersd::require;
  for (std::size_t i = 0; i < 6; ++i) *pair_options[i].second = detail::pair(pairs[i], pair_options[i].first);
  if (!timesteps.empty()) {
    require<OptionError>(!o.steps, "--steps and --timesteps exclude each other");
    for (const std::string& part : detail::split(timesteps))
      o.timesteps.push_back(detail::number<double>(part, "--timesteps", "a number"));
  }
  if (o.prompts.empty()) o.prompts.emplace_back();
  require<OptionError>(o.controlnets.size() == o.control_images.size(), o.controlnets.size(), " --controlnet but ",
                       o.control_images.size(), " --control-image; each needs its picture");
  if (const std::size_t n = o.controlnets.size(); n > 0) {
    detail::spread(o.control_scales, n, 1, "--control-scale");
    detail::spread(o.control_starts, n, 0, "--control-start");
    detail::spread(o.control_ends, n, 1, "--control-end");
    for (std::size_t i = 0; i < n; ++i)
      require<OptionError>(o.control_starts[i] < o.control_ends[i], "--control-start ", o.control_starts[i],
                           " is not before --control-end ", o.control_ends[i]);
  }
  require<OptionError>(!o.controlnets.empty() || (!o.guess_mode && !o.canny),
                       "--guess-mode and --canny are for --controlnet, which is not given");
  require<OptionError>(o.width % 8 == 0 && o.height % 8 == 0, "--width ", o.width, " and --height ", o.height,
                       " must be multiples of 8");
  require<OptionError>(o.dtype == "f32" || o.device == "cpu", "--dtype ", o.dtype, " is for --device cpu");
  return o;
}

}  // namespace txt2img
