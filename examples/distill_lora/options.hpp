// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <common/program.hpp>

#include <algorithm>
#include <functional>
#include <hypersd/records/directory.hpp>
#include <string>
#include <vector>

namespace distill_lora {

/// Everything that a run depends on.
struct Options {
  std::string model, variant, images, out = "runs/distill_lora", device = "cpu", dtype = "f32";
  std::string clip, aesthetic, image_reward, image_reward_vocabulary;
  bool resume = false, dry_run = false, force = false, keep_activations = false, mpi = false;
  int threads = 0;
  std::uint64_t seed = 0;
  std::int64_t size = 0, batch = 4, rank = 64, checkpoint_every = 50;
  std::vector<int> stages = {8, 4, 2, 1};
  std::vector<std::int64_t> stage_steps = {200, 200, 200, 200};
  double learning_rate = 1e-4, guidance_min = 3, guidance_max = 8, target_decay = 0.95;
  std::int64_t feedback_steps = 50, one_step_steps = 100;
  double feedback_lr = 1e-5, reward_target = 7, image_reward_target = 2, stay_close = 4;
  double one_step_lr = 1e-5, preserve = 2;
};

/// Reads the command line. Throws CLI::ParseError, and OptionError for options that do not fit together.
inline Options parse_options(int argc, char** argv) {
  Options o;
  CLI::App app{
      "Distils a Stable Diffusion checkpoint into one LoRA that samples in 1 to 8 steps: trajectory segmented\n"
      "consistency distillation, feedback by an aesthetic reward, one-step enhancement by distribution matching.\n"
      "Images and captions come from a folder with metadata.jsonl; their latents and embeddings are computed once.",
      "hypersd_distill_lora"};
  app.add_option("--model", o.model, "model folder of diffusers")->required();
  app.add_option("--variant", o.variant, "preferred variant of the weights, such as fp16");
  app.add_option("--images", o.images, "folder with PNG files and metadata.jsonl: {\"file_name\": ..., \"text\": ...}")
      ->required();
  app.add_option("--out", o.out, "run folder; made if missing")->capture_default_str();
  app.add_flag("--resume", o.resume, "continue the run in --out from its last checkpoint");
  app.add_flag("--dry-run", o.dry_run, "print what the run needs in memory, and stop");
  app.add_flag("--force", o.force, "run although the memory may not suffice");
  app.add_option("--size", o.size, "pixels of a side, 0: the model's")->check(program::whole(0, 4096));
  app.add_option("--seed", o.seed, "seed of every random number of the run")->capture_default_str();
  app.add_option("--threads", o.threads, "CPU threads, 0: all (results do not depend on it)")
      ->check(program::whole(0, 1024));
  program::add_device(app, o.device);
  app.add_option(
         "--dtype", o.dtype,
         "f16, bf16: the model's weights are held in 16 bits, rounded where files have more (CPU); f32: as stored")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app.add_flag("--mpi", o.mpi, "train on all processes of mpirun, each on its part of the batch (CPU)");
  app.add_option("--batch", o.batch, "images an iteration")->check(program::whole(1, 65536))->capture_default_str();
  app.add_option("--rank", o.rank, "LoRA rank")->check(program::whole(1, 4096))->capture_default_str();
  app.add_option("--stages", o.stages, "segments k of each stage")
      ->delimiter(',')
      ->check(program::whole(1, 40))
      ->capture_default_str();
  app.add_option("--stage-steps", o.stage_steps, "iterations of each stage")
      ->delimiter(',')
      ->check(program::iterations())
      ->capture_default_str();
  const auto number = [&](const char* name, double& value, const char* text, const CLI::Validator& check) {
    app.add_option(name, value, text)->check(check)->capture_default_str();
  };
  number("--lr", o.learning_rate, "learning rate of the stages", program::positive());
  number("--guidance-min", o.guidance_min, "guidance scale of the teacher ~ U[min, max]", program::real(1, 100));
  number("--guidance-max", o.guidance_max, "guidance scale of the teacher ~ U[min, max]", program::real(1, 100));
  number("--target-decay", o.target_decay, "decay of the target network", program::real(0, 1));
  app.add_option("--clip", o.clip, "folder of CLIP's image encoder (CLIPVisionModelWithProjection), for the feedback");
  app.add_option("--aesthetic", o.aesthetic, "safetensors file of LAION's aesthetic head on it, for the feedback");
  app.add_option("--image-reward", o.image_reward, "safetensors file of ImageReward, for the feedback");
  app.add_option("--image-reward-vocabulary", o.image_reward_vocabulary,
                 "its tokens: vocab.txt or tokenizer.json of bert-base-uncased, or the folder of one");
  app.add_option("--feedback-steps", o.feedback_steps, "iterations of feedback; without a reward there is none")
      ->check(program::whole(0, 1'000'000'000))
      ->capture_default_str();
  number("--feedback-lr", o.feedback_lr, "learning rate of the feedback", program::positive());
  number("--reward-target", o.reward_target, "the hinge raises aesthetic scores below it", program::real(-1000, 1000));
  number("--image-reward-target", o.image_reward_target, "the hinge raises ImageReward's scores below it",
         program::real(-1000, 1000));
  number("--stay-close", o.stay_close, "weight of staying near the student before feedback", program::weight());
  app.add_option("--one-step-steps", o.one_step_steps, "iterations of the one-step enhancement, 0: none")
      ->check(program::whole(0, 1'000'000'000))
      ->capture_default_str();
  number("--one-step-lr", o.one_step_lr, "its learning rate, and that of the fake score", program::positive());
  number("--preserve", o.preserve, "weight of keeping the later steps meanwhile", program::weight());
  app.add_flag("--keep-activations", o.keep_activations,
               "no gradient checkpointing: a quarter less time, several times the memory");
  app.add_option("--checkpoint-every", o.checkpoint_every, "iterations between checkpoints")
      ->check(program::iterations())
      ->capture_default_str();
  program::parse(app, argc, argv);

  using hypersd::OptionError;
  using hypersd::require;
  require<OptionError>(o.stages.size() == o.stage_steps.size(), "--stages has ", o.stages.size(),
                       " entries, --stage-steps ", o.stage_steps.size());
  require<OptionError>(std::is_sorted(o.stages.begin(), o.stages.end(), std::greater_equal<>{}),
                       "--stages: segments must fall from stage to stage, as 8,4,2,1");
  require<OptionError>(o.guidance_min <= o.guidance_max, "--guidance-min ", o.guidance_min, " is above --guidance-max ",
                       o.guidance_max);
  require<OptionError>(!o.mpi || o.device == "cpu", "--mpi is for --device cpu");
  require<OptionError>(o.dtype == "f32" || o.device == "cpu", "--dtype ", o.dtype, " is for --device cpu");
  require<OptionError>(o.clip.empty() == o.aesthetic.empty(),
                       "--clip and --aesthetic belong together: the aesthetic head scores CLIP's image embeddings");
  require<OptionError>(
      o.image_reward.empty() == o.image_reward_vocabulary.empty(),
      "--image-reward and --image-reward-vocabulary belong together: it reads captions by BERT's tokens");
  if (o.clip.empty() && o.image_reward.empty()) o.feedback_steps = 0;
  return o;
}

/// The options that decide the results, for the run folder.
inline hypersd::records::RunOptions kept(const Options& o) {
  const auto list = [](const auto& values) {
    std::string out;
    for (const auto v : values) out += (out.empty() ? "" : ",") + std::to_string(v);
    return out;
  };
  const auto text = [](double v) { return hypersd::io::number(v); };
  return {{"model", o.model},
          {"variant", o.variant},
          {"dtype", o.dtype},
          {"images", o.images},
          {"size", std::to_string(o.size)},
          {"seed", std::to_string(o.seed)},
          {"batch", std::to_string(o.batch)},
          {"rank", std::to_string(o.rank)},
          {"stages", list(o.stages)},
          {"stage_steps", list(o.stage_steps)},
          {"lr", text(o.learning_rate)},
          {"guidance_min", text(o.guidance_min)},
          {"guidance_max", text(o.guidance_max)},
          {"target_decay", text(o.target_decay)},
          {"clip", o.clip},
          {"aesthetic", o.aesthetic},
          {"image_reward", o.image_reward},
          {"image_reward_vocabulary", o.image_reward_vocabulary},
          {"feedback_steps", std::to_string(o.feedback_steps)},
          {"feedback_lr", text(o.feedback_lr)},
          {"reward_target", text(o.reward_target)},
          {"image_reward_target", text(o.image_reward_target)},
          {"stay_close", text(o.stay_close)},
          {"one_step_steps", std::to_string(o.one_step_steps)},
          {"one_step_lr", text(o.one_step_lr)},
          {"preserve", text(o.preserve)}};
}

}  // namespace distill_lora
