// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <hypersd/core/progress.hpp>
#include <hypersd/data/batches.hpp>
#include <hypersd/data/image_folder.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/dist/group.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/pipeline/stop.hpp>
#include <hypersd/stable_diffusion/conditions.hpp>

#include <numeric>

/// \file
/// Latents and embeddings of the image folder, computed once and kept in the run's folder.

namespace distill_lora {

using namespace hypersd;
namespace sd = stable_diffusion;

/// The UNet's condition, with the samples that it is of: rewards read their captions.
template <Device D>
struct Condition : nn::UnetCondition<float, D> {
  std::vector<std::int64_t> samples{};
};
/// Both branches of guidance in one evaluation.
template <Device D>
Condition<D> concat_batch(const Condition<D>& a, const Condition<D>& b) {
  std::vector<std::int64_t> samples = a.samples;
  samples.insert(samples.end(), b.samples.begin(), b.samples.end());
  const nn::UnetCondition<float, D>&first = a, &second = b;
  return {nn::concat_batch(first, second), std::move(samples)};
}
template <Device D>
using Batch = diffusion::Batch<float, D, Condition<D>>;

/// Rows `ids` of x [N, ...].
template <class T>
Tensor<T> rows(const Tensor<T>& x, const std::vector<std::int64_t>& ids) {
  Tensor<T> out(x.shape().with(0, static_cast<std::int64_t>(ids.size())));
  for (std::size_t i = 0; i < ids.size(); ++i)
    out.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1).copy_from(x.slice(ids[i], ids[i] + 1));
  return out;
}

/// What training reads of the image folder; on the host.
struct Cache {
  Tensor<float> latents;                  ///< [N, h, w, 4], of unit variance
  Tensor<float> tokens, added;            ///< [N, L, C] and, for SDXL, [N, F]
  Tensor<float> null_tokens, null_added;  ///< one row

  /// The tensors with their names in the file.
  [[nodiscard]] std::vector<std::pair<const char*, Tensor<float>*>> tensors() {
    return {{"latents", &latents},
            {"tokens", &tokens},
            {"added", &added},
            {"null_tokens", &null_tokens},
            {"null_added", &null_added}};
  }

  /// The condition of the samples `ids`, with the null condition for guidance.
  template <Device D>
  [[nodiscard]] diffusion::GuidedCondition<Condition<D>> condition(const std::vector<std::int64_t>& ids) const {
    const auto make = [&](const Tensor<float>& t, const Tensor<float>& a) {
      Condition<D> out{{Var<float, D>(t.template to<D>()), {}}, ids};
      if (a.defined()) out.added = Var<float, D>(a.template to<D>());
      return out;
    };
    const std::vector<std::int64_t> first(ids.size(), 0);
    return {make(rows(tokens, ids), added.defined() ? rows(added, ids) : added),
            make(rows(null_tokens, first), null_added.defined() ? rows(null_added, first) : null_added)};
  }
};

/// This process's part of the training batches, in an order of the seed's.
template <Device D>
struct Batches {
  const Cache& cache;
  data::Batches order;
  dist::Slice part;  ///< of each batch
  Batch<D> operator()(std::int64_t iteration) const {
    const auto ids = order(iteration, part.first, part.count);
    return {rows(cache.latents, ids).template to<D>(), cache.template condition<D>(ids)};
  }
};

/// Encodes images and captions into `path`. Throws Stopped after a signal: a resumed run begins with the first image.
template <Device D>
void write_cache(const std::string& path, const std::string& phase, const Progress& progress, const Options& o,
                 const sd::Model<float, D>& model, const sd::PromptEncoder<float, D>& encoder, std::int64_t size) {
  Cache out;
  const auto images = data::read_image_folder(o.images);
  const auto count = static_cast<std::int64_t>(images.size());
  const autograd::NoGrad guard;
  const auto put = [&](Tensor<float>& all, std::int64_t i, const Tensor<float>& row) {
    if (i == 0) all = Tensor<float>(row.shape().with(0, count));
    all.slice(i, i + 1).copy_from(row);
  };
  for (std::int64_t i = 0; i < count; ++i) {
    require<pipeline::Stopped>(!pipeline::StopOnSignal::stop(), "stopped in phase '", phase, "' after ", i, " of ",
                               count, " images");
    const auto& image = images[static_cast<std::size_t>(i)];
    const auto pixels = data::load_square(image.path, size).reshape({1, size, size, 3});
    put(out.latents, i, model.vae.to_latent(Var<float, D>(pixels.template to<D>())).value().template to<Cpu>());
    sd::PromptOptions prompt;
    prompt.prompts = {image.caption};
    const auto batch = sd::encode_batch(model, encoder, prompt, {size, size}, true);
    put(out.tokens, i, batch.condition.conditional.tokens.value().template to<Cpu>());
    if (batch.condition.conditional.added.defined())
      put(out.added, i, batch.condition.conditional.added.value().template to<Cpu>());
    if (i == 0) {
      out.null_tokens = batch.condition.null.tokens.value().template to<Cpu>().clone();
      if (batch.condition.null.added.defined())
        out.null_added = batch.condition.null.added.value().template to<Cpu>().clone();
    }
    notify(progress, {phase, i + 1, count, {}, {}});
  }
  io::SafetensorsWriter writer;
  for (const auto& [name, tensor] : out.tensors())
    if (tensor->defined()) writer.add(name, *tensor);
  writer.write(path);
}

/// What `write_cache` has written to the run's folder, by rank 0 where it is not there yet.
template <Device D>
Cache make_cache(records::RunDirectory& directory, const dist::Group& group, const Progress& progress, const Options& o,
                 const sd::Model<float, D>& model, const sd::PromptEncoder<float, D>& encoder, std::int64_t size) {
  const std::string path = directory.file("state/cache.safetensors"), phase = "latents and embeddings";
  if (!directory.done(phase)) {
    group.on_root([&] { write_cache(path, phase, progress, o, model, encoder, size); });
    directory.mark_done(phase);
  }
  Cache out;
  const io::SafetensorsFile file(path);
  for (const auto& [name, tensor] : out.tensors())
    if (file.contains(name)) *tensor = file.get<float>(name);
  return out;
}

}  // namespace distill_lora
