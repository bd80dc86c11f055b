// SPDX-License-Identifier: Apache-2.0
/// TSCD, feedback and one-step enhancement on a Stable Diffusion checkpoint, into one LoRA.

#include "memory.hpp"
#include "ranks.hpp"
#include "recipe.hpp"

#include <hypersd/compiled.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/progress.hpp>
#include <hypersd/stable_diffusion/load.hpp>
#include <hypersd/stable_diffusion/save_lora.hpp>
#include <hypersd/stable_diffusion/scheduler_config.hpp>

using namespace hypersd;
using namespace distill_lora;

namespace {

/// What the checkpoint says of its process.
template <Device D>
Process process_of(const sd::Model<float, D>& model) {
  sd::Notes notes;
  const auto config = sd::scheduler_config(model.scheduler, model.path + "/scheduler/scheduler_config.json",
                                           sd::SchedulerKind::tcd, notes);
  return {config.table, config.prediction};
}

/// A grid of the student's samples: rows are captions, columns numbers of steps. The noise is the same in a row.
template <Device D>
std::string samples(const Cache& cache, const Process& process, const sd::Model<float, D>& model, const Net<D>& student,
                    std::uint64_t seed) {
  const autograd::NoGrad guard;
  const std::int64_t count = std::min<std::int64_t>(4, cache.latents.dim(0));
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  const auto condition = cache.template condition<D>(ids).conditional;
  const auto noise = ops::normal<float>(cache.latents.shape().with(0, count), stream(seed, "samples")).template to<D>();
  const diffusion::Sampler<diffusion::Tcd, Process> sampler({.eta = 0.3}, process);
  report::GridOptions grid{.title = "Samples of the student", .columns = 4, .scale = 1};
  std::vector<Tensor<float>> by_steps;
  for (const int steps : {1, 2, 4, 8}) {
    const auto z = sampler(student, noise, condition, steps, {.seed = seed});
    by_steps.push_back(model.vae.from_latent(Var<float, D>(z)).value().template to<Cpu>());
    grid.column_captions.push_back(std::to_string(steps) + (steps == 1 ? " step" : " steps"));
  }
  std::vector<Tensor<float>> cells;
  for (std::int64_t i = 0; i < count; ++i)
    for (const auto& images : by_steps) cells.push_back(images.slice(i, i + 1));
  return report::image_grid(ops::concat_first(cells), grid);
}

/// The whole program, on one process or as one of a group.
template <Device D>
void execute(const Options& o, const dist::Group& group = {}) {
  // Shapes first: whether the run fits is known before anything is loaded.
  sd::Notes notes;
  const std::string unet_file = o.model + "/unet/config.json", vae_file = o.model + "/vae/config.json";
  auto unet = sd::unet_config(io::read_json(unet_file), unet_file, notes);
  const nn::Autoencoder<float> shapes(sd::autoencoder_config(io::read_json(vae_file), vae_file, notes));
  const std::int64_t factor = shapes.downscale();
  const std::int64_t usual = sd::family_of(unet) == sd::Family::sdxl ? 128 : 64;
  const io::Json json = io::read_json(unet_file);
  const io::Json* sample_size = json.find("sample_size");
  const auto* whole = sample_size != nullptr ? sample_size->as<std::int64_t>() : nullptr;
  const std::int64_t size = o.size > 0 ? o.size : factor * (whole != nullptr ? *whole : usual);
  require<OptionError>(size % factor == 0, "--size ", size, " is not a multiple of ", factor,
                       ", the autoencoder's factor");
  const dist::Slice part = dist::slice(group, o.batch);
  group.on_root([&] {
    check_memory(o, memory_need(o, unet, size / factor, nn::parameter_count(shapes), weight_bytes(o), part.count),
                 group.size());
  });
  if (o.dry_run) return;

  records::RunDirectory directory(o.out, kept(o), o.resume ? records::Existing::resume : records::Existing::refuse,
                                  group);
  report::TerminalProgress terminal;
  const Progress progress = [&](const ProgressEvent& e) { terminal(e); };
  sd::LoadOptions load{.variant = o.variant};
  if (o.dtype != "f32") load.weights = o.dtype == "f16" ? io::DType::F16 : io::DType::BF16;
  auto model = sd::load_model<float, D>(o.model, load);
  if (group.root())
    for (const std::string& note : model.notes) std::printf("note: %s\n", note.c_str());
  nn::set_requires_grad(model, false);
  model.unet.encoder.config.checkpoint_layers = !o.keep_activations;
  std::vector<text::ClipTokenizer> tokenizers;
  for (const std::string& folder : model.tokenizers) tokenizers.push_back(text::ClipTokenizer::open(folder));
  const Cache cache = make_cache(directory, group, progress, o, model,
                                 sd::PromptEncoder<float, D>(model.text_encoders, std::move(tokenizers)), size);
  model.text_encoders.clear();  // their work is done
  const Process process = process_of(model);
  const Batches<D> batches{cache, data::Batches(cache.latents.dim(0), o.batch, o.seed), part};

  const pipeline::Session session{directory, o.seed, progress, o.checkpoint_every, group, pipeline::StopOnSignal::stop};
  pipeline::RecipeState<Net<D>> state{model.unet, model.unet};
  const auto save = [&](const std::string& name) {
    group.on_root([&] {
      io::ensure_writable_folder(directory.file("models"));
      const std::string path = directory.file("models/" + name + "_lora.safetensors");
      sd::save_lora(path, one_lora(state.student));
      std::printf("wrote %s\n", path.c_str());
    });
  };
  pipeline::run_part(session, tscd_part(o, process, batches), state);
  save("tscd");
  if (o.feedback_steps > 0) {
    std::vector<std::string> captions;
    for (const auto& image : data::read_image_folder(o.images)) captions.push_back(image.caption);
    const auto rewards = Rewards<D>::load(o, captions);
    pipeline::run_part(session, feedback_part(o, process, batches, model, rewards), state);
    save("feedback");
  }
  if (o.one_step_steps > 0) {
    Fake<D> fake(nn::deep_copy(model.unet), process, o.one_step_lr);
    pipeline::run_part(session, one_step_part(o, process, batches, fake), state);
    save("one-step");
  }
  group.on_root([&] {
    io::atomic_write(directory.file("samples.svg"),
                     samples(cache, process, model, nn::merge_lora(state.student), o.seed));
    std::printf("pictures: %s\n", directory.file("samples.svg").c_str());
  });
}

}  // namespace

int main(int argc, char** argv) try {
  const auto guard = program::stop_on_signal("hypersd_distill_lora");
  const Options o = parse_options(argc, argv);
  if (o.threads > 0) set_num_threads(o.threads);
  if (o.mpi) return run_with_mpi([&](const dist::Group& group) { execute<Cpu>(o, group); }, "hypersd_distill_lora");
  program::on_gpu(o.device) ? execute<program::Gpu>(o) : execute<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_distill_lora");
}
