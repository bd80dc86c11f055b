// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluate.hpp"
#include "prompts.hpp"

namespace fashion {

/// Pictures side by side: a row for each of `rows`, a group of `each` columns for each of `groups`, whose first
/// rows.size() * each pictures [N, H, W, C] are in the order of the rows.
inline std::string side_by_side(const std::vector<Tensor<float>>& groups, std::vector<std::string> captions,
                                std::vector<std::string> rows, std::int64_t each = 1) {
  const auto n = static_cast<std::int64_t>(rows.size()), columns = static_cast<std::int64_t>(groups.size()) * each;
  Tensor<float> all(groups[0].shape().with(0, n * columns));
  for (std::int64_t row = 0; row < n; ++row)
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const std::int64_t to = row * columns + static_cast<std::int64_t>(g) * each;
      all.slice(to, to + each).copy_from(groups[g].slice(row * each, (row + 1) * each));
    }
  report::GridOptions grid;
  grid.columns = static_cast<int>(columns);
  grid.group = each > 1 ? static_cast<int>(each) : grid.group;
  grid.column_captions = std::move(captions);
  grid.row_captions = std::move(rows);
  return report::image_grid(all, grid);
}

inline std::vector<std::string> class_names(const Dataset& data) {
  std::vector<std::string> out;
  for (std::int32_t c = 0; c < data.classes(); ++c) out.push_back(data.words.class_name(c));
  return out;
}

/// Rows are captions; a group of columns is a sampler, the last ones the models for one step alone. All groups start
/// from the same noise.
template <Device D>
std::string sample_grid(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                        const Latents<D>& latents, const Teacher<D>& teacher, const Net<D>& student,
                        const std::vector<OneStepModel<D>>& one_step) {
  const Options& o = run.options;
  constexpr std::int64_t each = 3;
  const std::int64_t classes = data.classes(), n = classes * each;
  Tensor<std::int32_t> labels(Shape{n});
  for (std::int64_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i / each);
  const auto captions = data.captions(labels);
  const auto noise = ops::normal<float>(Shape{n, 8, 8, 4}, stream(o.seed, "picture.noise"));
  std::vector<Tensor<float>> groups;
  std::vector<std::string> titles;
  auto add = [&](const Net<D>& net, const SampleOptions& s, const std::string& caption) {
    groups.push_back(decode_all(autoencoder, latents, sample_latents(net, teacher.text, captions, noise, s)));
    titles.push_back(caption);
  };
  const std::int64_t many = o.teacher_inference_steps;
  add(teacher.unet, {many, o.guidance, 0, 0}, "teacher " + std::to_string(many));
  for (const std::int64_t s : o.student_steps)
    add(student, {s, 1, 0, 0}, std::to_string(s) + (s == 1 ? " step" : " steps"));
  for (const OneStepModel<D>& model : one_step) add(model.net, model.options(), model.title);
  return side_by_side(groups, titles, class_names(data), each);
}

/// Rows are the teacher and what each part of the recipe left behind; groups are one and four steps, a picture of each
/// class. All from the same noise.
template <Device D>
std::string stage_grid(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                       const Latents<D>& latents, const Teacher<D>& teacher,
                       const std::vector<std::pair<std::string, Net<D>>>& students) {
  const Prompts prompts(data, data.classes(), run.options.seed, "picture.noise");
  const auto draw = [&](const Net<D>& net, std::int64_t steps, double guidance) {
    const auto z = sample_latents(net, teacher.text, prompts.captions, prompts.noise, {steps, guidance, 0, 0});
    return decode_all(autoencoder, latents, z);
  };
  std::vector<Tensor<float>> groups;
  std::vector<std::string> rows{"teacher"};
  for (const auto& [name, net] : students) rows.push_back(name);
  for (const std::int64_t steps : {1, 4}) {
    auto all = draw(teacher.unet, steps, run.options.guidance);
    for (const auto& [name, net] : students) all = ops::concat_first(all, draw(net, steps, 1));
    groups.push_back(all);
  }
  return side_by_side(groups, {"1 step", "4 steps"}, rows, data.classes());
}

/// Real test images above their reconstructions.
template <Device D>
std::string reconstruction_grid(const Dataset& data, const nn::Autoencoder<float, D>& autoencoder) {
  const autograd::NoGrad guard;
  const auto real = data.images.test.images(0, std::min<std::int64_t>(16, data.images.test.size()));
  const auto kept =
      autoencoder.decode(autoencoder.encode(Var<float, D>(real.template to<D>())).mean).value().template to<Cpu>();
  report::GridOptions grid;
  grid.columns = static_cast<int>(real.dim(0));
  grid.row_captions = {"real", "kept"};
  return report::image_grid(ops::concat_first(real, kept), grid);
}

}  // namespace fashion
