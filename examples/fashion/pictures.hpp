// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluate.hpp"
#include "prompts.hpp"

#include <hypersd/report/image_strip.hpp>

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

/// Pictures by one sampler of the same noise and captions as all others': class by class, `each` of one.
struct SampleSet {
  std::string title;  ///< above a group of columns; empty: not in the grid
  std::string name;   ///< in full
  Tensor<float> images;
};
struct SampleSets {
  static constexpr std::int64_t each = 3;
  std::vector<std::string> classes;
  std::vector<SampleSet> sets;
};

/// The teacher and the student at every number of steps, then the models for one step alone. All from the same noise.
template <Device D>
SampleSets draw_sets(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                     const Latents<D>& latents, const Teacher<D>& teacher, const Net<D>& student,
                     const std::vector<OneStepModel<D>>& one_step) {
  const Options& o = run.options;
  SampleSets out{class_names(data), {}};
  const std::int64_t n = data.classes() * SampleSets::each;
  Tensor<std::int32_t> labels(Shape{n});
  for (std::int64_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i / SampleSets::each);
  const auto captions = data.captions(labels);
  const auto noise = ops::normal<float>(Shape{n, 8, 8, 4}, stream(o.seed, "picture.noise"));
  auto add = [&](const Net<D>& net, const SampleOptions& s, const std::string& title, const std::string& name) {
    out.sets.push_back(
        {title, name, decode_all(autoencoder, latents, sample_latents(net, teacher.text, captions, noise, s))});
  };
  const auto steps = [](std::int64_t k) { return std::to_string(k) + (k == 1 ? " step" : " steps"); };
  const std::int64_t many = o.teacher_inference_steps;
  add(teacher.unet, {many, o.guidance, 0, 0}, "teacher " + std::to_string(many), "teacher, " + steps(many));
  for (const std::int64_t s : o.student_steps)
    if (s != many) add(teacher.unet, {s, o.guidance, 0, 0}, "", "teacher, " + steps(s));
  for (const std::int64_t s : o.student_steps) add(student, {s, 1, 0, 0}, steps(s), "student, " + steps(s));
  for (const OneStepModel<D>& m : one_step) add(m.net, m.options(), m.title, "one-step model, " + m.title.substr(3));
  return out;
}

/// Rows are captions; a group of columns is a sampler.
inline std::string sample_grid(const SampleSets& s) {
  std::vector<Tensor<float>> groups;
  std::vector<std::string> titles;
  for (const SampleSet& set : s.sets)
    if (!set.title.empty()) groups.push_back(set.images), titles.push_back(set.title);
  return side_by_side(groups, titles, s.classes, SampleSets::each);
}

/// Two samplers of the reader's choice on one noise: first the teacher above the student with the most steps.
inline std::string sample_strip(const SampleSets& s) {
  const auto classes = static_cast<std::int64_t>(s.classes.size()), wide = classes * SampleSets::each;
  report::StripOptions o{.title = "Pictures of two samplers from the same noise", .columns = s.classes};
  Tensor<float> all(s.sets[0].images.shape().with(0, wide * static_cast<std::int64_t>(s.sets.size())));
  for (const SampleSet& set : s.sets) {
    const std::int64_t row = static_cast<std::int64_t>(o.rows.size()) * wide;
    for (std::int64_t i = 0; i < wide; ++i) {  // from class by class to draw by draw
      const std::int64_t to = row + i % SampleSets::each * classes + i / SampleSets::each;
      all.slice(to, to + 1).copy_from(set.images.slice(i, i + 1));
    }
    if (set.name.starts_with("student")) o.below = static_cast<int>(o.rows.size());
    o.rows.push_back(set.name);
  }
  return report::image_strip(all, o);
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

/// The teacher alone: a row for each class, a column for each number of steps, all from the same noise.
template <Device D>
std::string teacher_grid(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                         const Latents<D>& latents, const Teacher<D>& teacher) {
  const Prompts prompts(data, data.classes(), run.options.seed, "picture.noise");
  std::vector<Tensor<float>> groups;
  std::vector<std::string> titles;
  for (const std::int64_t steps : {std::int64_t{1}, std::int64_t{4}, run.options.teacher_inference_steps}) {
    const auto z = sample_latents(teacher.unet, teacher.text, prompts.captions, prompts.noise,
                                  {steps, run.options.guidance, 0, 0});
    groups.push_back(decode_all(autoencoder, latents, z));
    titles.push_back(std::to_string(steps) + (steps == 1 ? " step" : " steps"));
  }
  return side_by_side(groups, titles, class_names(data));
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
