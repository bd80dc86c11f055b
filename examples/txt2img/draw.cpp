// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/text.hpp>
#include <hypersd/stable_diffusion/hyper_sd.hpp>
#include <hypersd/stable_diffusion/text_to_image.hpp>
#include <hypersd/text/clip_tokenizer.hpp>
#include <optional>
#include <txt2img/draw.hpp>
#include <utility>

namespace txt2img {

namespace {

sd::PromptOptions prompt_options(const Options& o) {
  sd::PromptOptions p;
  p.prompts = o.prompts;
  p.prompt_2 = o.prompt_2;
  p.negative_prompt = o.negative_prompt;
  p.negative_prompt_2 = o.negative_prompt_2;
  p.images_per_prompt = o.images_per_prompt;
  p.clip_skip = o.clip_skip;
  p.sizes = {o.original_size, o.crops, o.target_size};
  p.negative_sizes = {o.negative_original_size, o.negative_crops, o.negative_target_size};
  return p;
}

/// The encoded prompts.
template <class D>
sd::PromptBatch<float, D> encode(const Options& o, const sd::Model<float, D>& model, sd::SizePair size, bool guided) {
  using hypersd::io::write_npy;
  std::vector<hypersd::text::ClipTokenizer> tokenizers;
  for (std::size_t i = 0; i < model.text_encoders.size(); ++i) {
    const std::string& folder = model.tokenizers[i];
    hypersd::require<hypersd::OptionError>(!folder.empty(), "--model ", hypersd::io::in_quotes(o.model),
                                           " has no tokenizer", i > 0 ? "_2" : "",
                                           " folder; name a folder that has one with --config");
    tokenizers.push_back(hypersd::text::ClipTokenizer::open(folder));
  }
  const sd::PromptEncoder<float, D> encoder(model.text_encoders, std::move(tokenizers));
  auto batch = sd::encode_batch(model, encoder, prompt_options(o), size, guided);
  if (o.dump_tokens)
    for (std::size_t i = 0; i < batch.tokens.size(); ++i)
      write_npy(o.out + (i == 0 ? "/tokens.npy" : "/tokens_2.npy"), batch.tokens[i]);
  if (o.dump_embeds) {
    const auto dump = [&](const char* name, const hypersd::Tensor<float, D>& values) {
      if (values.defined()) write_npy(o.out + "/" + name + ".npy", values.template to<hypersd::Cpu>());
    };
    dump("embeds", batch.positive.states);
    dump("pooled", batch.positive.pooled);
    dump("negative_embeds", batch.negative.states);
    dump("negative_pooled", batch.negative.pooled);
  }
  return batch;
}

/// The run that --scheduler and its companions describe.
template <class D>
sd::RunPlan plan(const Options& o, const sd::Model<float, D>& model, double guidance) {
  std::optional<sd::SchedulerKind> kind;
  if (!o.scheduler.empty()) kind = sd::scheduler_kind(o.scheduler);
  sd::Notes notes;
  const auto stated = model.family == sd::Family::sdxl ? model.scheduler : sd::corrected_by_pipeline(model.scheduler);
  const auto config = sd::scheduler_config(sd::with_scheduler_options(stated, o.scheduler_options),
                                           model.path + ": scheduler_config.json", kind, notes);
  sd::RunOptions run;
  run.steps = o.steps.value_or(50);
  run.timesteps = o.timesteps;
  run.strength = o.init_image.empty() ? 1 : o.strength;
  run.eta = o.eta;
  auto out = sd::plan_run(config, run);
  notes.insert(notes.end(), out.notes.begin(), out.notes.end());
  std::vector<std::string> files{model.path};
  for (const std::string& lora : o.loras) files.push_back(lora);
  const auto few = sd::few_step_notes(config, run, out, files, guidance);
  notes.insert(notes.end(), few.begin(), few.end());
  for (const std::string& note : notes) std::fprintf(stderr, "hypersd_txt2img: %s\n", note.c_str());
  return out;
}

}  // namespace

template <class D>
sd::Images<float, D> draw(const Options& o, const sd::Model<float, D>& model, const sd::ImageOptions<float, D>& image) {
  const auto run = plan(o, model, image.guidance_scale);
  const auto prompts = encode(o, model, sd::image_size(model, image), sd::is_guided(model, image));
  const auto noise = o.rng == "torch" ? sd::torch_noise<float, D>(o.seed) : sd::philox_noise<float, D>(o.seed);
  return sd::draw_images(model, prompts, run, noise, image);
}

template sd::Images<float, hypersd::Cpu> draw(const Options&, const sd::Model<float, hypersd::Cpu>&,
                                              const sd::ImageOptions<float, hypersd::Cpu>&);
#if HYPERSD_HAS_CUDA
template sd::Images<float, hypersd::Cuda> draw(const Options&, const sd::Model<float, hypersd::Cuda>&,
                                               const sd::ImageOptions<float, hypersd::Cuda>&);
#endif

}  // namespace txt2img
