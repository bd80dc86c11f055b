// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sample.hpp"

#include <hypersd/data/scenes.hpp>
#include <hypersd/feedback/bradley_terry.hpp>
#include <hypersd/feedback/frozen.hpp>
#include <hypersd/feedback/solo_loss.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/metrics/bootstrap.hpp>
#include <hypersd/nn/models/aesthetic_head.hpp>
#include <hypersd/nn/models/reward_model.hpp>

/// \file
/// The rewards of the feedback. Nobody rated these pictures: which of two is preferred follows from how they were made,
/// real before the teacher's 25 steps, those before fewer steps, all before pictures that were spoilt and pictures of
/// another caption. [Hyper-SD Sec. 3.2, Eq. 9]

namespace fashion {

/// Pictures of known origin. Of caption n there is one of each grade; a higher grade is preferred.
struct Rated {
  static constexpr int grades = 7;  // another caption's, spoilt, 1, 2, 4, 25 steps, real
  Tensor<float> images;             ///< [n grades, 32, 32, 1], the grades of a caption one after another
  Tensor<std::int32_t> captions;    ///< [n, L]

  [[nodiscard]] std::int64_t size() const { return captions.dim(0); }
  [[nodiscard]] static std::int64_t at(std::int64_t n, int grade) { return n * grades + grade; }
};

/// Spoils picture b in one of four ways: blurred, noisy, with a pattern of lines, faint.
inline Tensor<float> spoil(const Tensor<float>& x, Stream random) {
  const std::int64_t h = x.dim(1), w = x.dim(2);
  Tensor<float> out(x.shape());
  for (std::int64_t b = 0; b < x.dim(0); ++b) {
    const auto way = integer_at(random, static_cast<std::uint64_t>(b), 4);
    const auto noise = ops::normal<float>(Shape{h, w}, stream(random.seed, "spoil", static_cast<std::uint64_t>(b)));
    const float* from = x.data() + b * h * w;
    for (std::int64_t i = 0; i < h; ++i)
      for (std::int64_t j = 0; j < w; ++j) {
        float v = from[i * w + j];
        if (way == 0) {
          float sum = 0, count = 0;
          for (std::int64_t p = std::max<std::int64_t>(0, i - 2); p <= std::min(h - 1, i + 2); ++p)
            for (std::int64_t q = std::max<std::int64_t>(0, j - 2); q <= std::min(w - 1, j + 2); ++q)
              sum += from[p * w + q], ++count;
          v = sum / count;
        } else if (way == 1) {
          v += 0.25F * noise[i * w + j];
        } else if (way == 2) {
          v += 0.2F * static_cast<float>((i + j) % 4 < 2 ? 1 : -1);
        } else {
          v = -1 + 0.5F * (v + 1);
        }
        out[b * h * w + i * w + j] = std::clamp(v, -1.0F, 1.0F);
      }
  }
  return out;
}

/// Draws `n` captions of each grade, or reads them from the run's folder. `name` decides the noise and, with `first`,
/// which real pictures are used.
template <Device D>
Rated rated_pictures(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                     const Latents<D>& latents, const Teacher<D>& teacher, const std::string& name, std::int64_t n,
                     std::int64_t first) {
  const Options& o = run.options;
  Rated out;
  const data::ImageSet& train = data.images.train;
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < n; ++i) ids.push_back((first + i) % train.size());
  const auto labels = train.labels(ids);
  out.captions = data.captions(labels);
  const std::string phase = "pictures, " + name, path = run.directory.checkpoint(phase);
  if (run.directory.done(phase)) {
    out.images = io::SafetensorsFile(path).get<float>("images");
    return out;
  }
  const auto real = in_batches(train.images(ids), 250, [&](const Tensor<float>& x) {
    const autograd::NoGrad guard;
    return autoencoder.decode(autoencoder.encode(Var<float, D>(x.template to<D>())).mean).value().template to<Cpu>();
  });
  out.images = Tensor<float>(real.shape().with(0, n * Rated::grades));
  const auto put = [&](int grade, const auto& picture_of) {
    for (std::int64_t i = 0; i < n; ++i)
      out.images.slice(Rated::at(i, grade), Rated::at(i, grade) + 1).copy_from(picture_of(i));
  };
  // The next picture of another class.
  put(0, [&](std::int64_t i) {
    std::int64_t j = (i + 1) % n;
    while (labels[j] == labels[i] && j != i) j = (j + 1) % n;
    return real.slice(j, j + 1);
  });
  const auto spoilt = spoil(real, stream(o.seed, "spoil " + name));
  put(1, [&](std::int64_t i) { return spoilt.slice(i, i + 1); });
  int grade = 2;
  for (const std::int64_t steps : {1, 2, 4, 25}) {
    const auto noise = ops::normal<float>(Shape{n, 8, 8, 4}, stream(o.seed, "rated " + name + std::to_string(steps)));
    const auto z = sample_latents(teacher.unet, teacher.text, out.captions, noise, {steps, o.guidance, 0, 0},
                                  run.progress, phase + ", " + std::to_string(steps));
    const auto made = decode_all(autoencoder, latents, z);
    put(grade++, [&](std::int64_t i) { return made.slice(i, i + 1); });
  }
  put(6, [&](std::int64_t i) { return real.slice(i, i + 1); });
  io::SafetensorsWriter writer;
  writer.add("images", out.images);
  writer.write(path);
  run.directory.mark_done(phase);
  return out;
}

/// Pairs of two grades of the same caption, the higher one preferred.
struct PairBatch {
  Tensor<float> preferred, other;
  Tensor<std::int32_t> captions;
};
inline PairBatch draw_pairs(const Rated& r, const std::vector<std::int64_t>& captions, Stream random) {
  std::vector<std::int64_t> high, low;
  for (std::size_t b = 0; b < captions.size(); ++b) {
    const auto at = static_cast<std::uint64_t>(2 * b);
    const auto i = static_cast<int>(integer_at(random, at, Rated::grades));
    const auto j = (i + 1 + static_cast<int>(integer_at(random, at + 1, Rated::grades - 1))) % Rated::grades;
    high.push_back(Rated::at(captions[b], std::max(i, j)));
    low.push_back(Rated::at(captions[b], std::min(i, j)));
  }
  return {take(r.images, high), take(r.images, low), take(r.captions, captions)};
}

template <Device D>
using RewardModel = nn::RewardModel<float, D>;

/// A preference model by Eq 9 on the first nine tenths of `rated`; the rest tells how often it is right.
template <Device D>
RewardModel<D> train_reward(const Run& run, const Rated& rated, const nn::TextEncoder<float, D>& text,
                            const std::string& name, const nn::RewardModelConfig& config, std::uint64_t seed) {
  const Options& o = run.options;
  RewardModel<D> net(config);
  nn::init_parameters(net, seed, name);
  pipeline::TrainOptions t;
  t.phase = name;
  t.steps = o.reward_steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{2e-3, t.steps}, 20};
  const std::int64_t known = std::max<std::int64_t>(1, rated.size() * 9 / 10);
  const data::Batches batches(known, std::min<std::int64_t>(64, known), seed);
  const auto tokens = [&](const Tensor<std::int32_t>& captions) {
    const autograd::NoGrad guard;
    return text(captions.template to<D>());
  };
  run.train(t, trainable(net), [&](std::int64_t step) {
    const auto sub = static_cast<std::uint64_t>(step);
    const auto pairs = draw_pairs(rated, batches(step), stream(seed, name + " pairs", sub));
    const Stream moved = stream(seed, name + " augment", sub);
    const auto caption = tokens(pairs.captions);
    const auto score = [&](const Tensor<float>& images) {
      return net(Var<float, D>(data::augment(images, moved).template to<D>()), caption);
    };
    return feedback::bradley_terry(score(pairs.preferred), score(pairs.other));
  });
  nn::set_requires_grad(net, false);
  return net;
}

/// Share of held-out pairs that `net` orders rightly.
template <Device D>
double held_out_accuracy(const RewardModel<D>& net, const Rated& rated, const nn::TextEncoder<float, D>& text) {
  const autograd::NoGrad guard;
  std::vector<std::int64_t> rest;
  for (std::int64_t i = rated.size() * 9 / 10; i < rated.size(); ++i) rest.push_back(i);
  const auto pairs = draw_pairs(rated, rest, stream(1234, "held out"));
  const auto caption = text(pairs.captions.template to<D>());
  const auto score = [&](const Tensor<float>& images) { return net(Var<float, D>(images.template to<D>()), caption); };
  return feedback::pair_accuracy(score(pairs.preferred), score(pairs.other));
}

/// An aesthetic predictor as LAION's: a head on the normalised embedding of a frozen network, here the pooled features
/// of all blocks of a classifier that has no other use. It knows no caption.
template <Device D>
struct Aesthetic {
  nn::Classifier<float, D> backbone;
  nn::AestheticHead<float, D> head;

  [[nodiscard]] Var<float, D> embedding(const Var<float, D>& images) const {
    std::vector<Var<float, D>> pooled;
    auto h = images;
    for (const auto& block : backbone.blocks) {
      h = block(h);
      pooled.push_back(autograd::mean_positions(h));
    }
    return autograd::concat_channels(pooled);
  }
  Var<float, D> operator()(const Var<float, D>& images, const Condition<D>&) const { return head(embedding(images)); }
};

/// Regression on the grade, from 1 for spoilt pictures to 6 for real ones.
template <Device D>
Aesthetic<D> train_aesthetic(const Run& run, const Dataset& data, const Rated& rated) {
  const Options& o = run.options;
  fashion::Options other = o;
  other.seed = o.seed + 1000003;
  other.classifier_steps = o.reward_steps;
  Aesthetic<D> out{train_classifier<D>({other, run.directory, run.progress}, data, "aesthetic backbone"), {}};
  const std::int64_t width = out.embedding(Var<float, D>(rated.images.slice(0, 1).template to<D>())).dim(1);
  out.head = nn::AestheticHead<float, D>(nn::ScoreHeadConfig{width, {64, 16}});
  nn::init_parameters(out.head, other.seed, "aesthetic");
  pipeline::TrainOptions t;
  t.phase = "aesthetic";
  t.steps = 3 * o.reward_steps;  // few parameters on frozen features
  t.learning_rate = optim::WarmUp{optim::Cosine{2e-2, t.steps}, 20};
  const data::Batches batches(rated.size(), std::min<std::int64_t>(64, rated.size()), other.seed);
  run.train(t, trainable(out.head), [&](std::int64_t step) {
    const auto sub = static_cast<std::uint64_t>(step);
    const auto captions = batches(step);
    std::vector<std::int64_t> ids;
    Tensor<float> grade(Shape{static_cast<std::int64_t>(captions.size())});
    for (std::size_t b = 0; b < captions.size(); ++b) {
      const auto g = 1 + static_cast<int>(integer_at(stream(other.seed, "aesthetic.grade", sub), b, Rated::grades - 1));
      ids.push_back(Rated::at(captions[b], g));
      grade[static_cast<std::int64_t>(b)] = static_cast<float>(g);
    }
    const auto x = data::augment(take(rated.images, ids), stream(other.seed, "aesthetic.augment", sub));
    return autograd::mse(out.head(out.embedding(Var<float, D>(x.template to<D>()))), grade.template to<D>());
  });
  nn::set_requires_grad(out.head, false);
  return out;
}

/// The instance-segmentation network of Eq 14, trained on composed scenes.
template <Device D>
nn::Segmenter<float, D> train_segmenter(const Run& run, const Dataset& data) {
  const Options& o = run.options;
  nn::SegmenterConfig config;
  config.classes = data.classes();
  nn::Segmenter<float, D> net(config);
  nn::init_parameters(net, o.seed, "segmenter");
  pipeline::TrainOptions t;
  t.phase = "segmenter";
  t.steps = o.reward_steps;
  t.learning_rate = optim::WarmUp{optim::Cosine{2e-3, t.steps}, 20};
  run.train(t, trainable(net), [&](std::int64_t step) {
    const auto scenes = data::compose_scenes(data.images.train, 32,
                                             stream(o.seed, "segmenter.scenes", static_cast<std::uint64_t>(step)));
    const auto out = net(Var<float, D>(scenes.images.template to<D>()));
    return feedback::solo_loss(
        out, feedback::solo_targets<float, D>(scenes.objects, out.category.dim(1), out.mask.dim(1), config.classes));
  });
  nn::set_requires_grad(net, false);
  return net;
}

/// All that the feedback is made of, and the judge that it never sees.
template <Device D>
struct Rewards {
  RewardModel<D> preference;
  Aesthetic<D> aesthetic;
  nn::Segmenter<float, D> segmenter;
  RewardModel<D> judge;  ///< other pictures, another architecture, another seed; for evaluation alone
  double preference_alpha = 0, aesthetic_alpha = 0;  ///< mean scores of real pictures
  double preference_accuracy = 0, judge_accuracy = 0;

  /// A score of each picture [N, 32, 32, 1] for its caption.
  template <class R>
  static std::vector<double> score(const R& reward, const Tensor<float>& images, const nn::TextEncoder<float, D>& text,
                                   const Tensor<std::int32_t>& captions) {
    const autograd::NoGrad guard;
    std::vector<double> out;
    for (std::int64_t b = 0; b < images.dim(0); b += 250) {
      const std::int64_t end = std::min(images.dim(0), b + 250);
      const Condition<D> condition{text(captions.slice(b, end).template to<D>()), {}};
      const Var<float, D> x(images.slice(b, end).template to<D>());
      for (const float v : reward(x, condition).value().to_vector()) out.push_back(v);
    }
    return out;
  }
};

template <Device D>
Rewards<D> train_rewards(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                         const Latents<D>& latents, const Teacher<D>& teacher) {
  const Options& o = run.options;
  const auto seen = rated_pictures(run, data, autoencoder, latents, teacher, "feedback", o.rated, 0);
  const auto unseen = rated_pictures(run, data, autoencoder, latents, teacher, "judge", o.rated, 30000);
  Rewards<D> out;
  nn::RewardModelConfig own, other;
  own.caption = other.caption = text_width;
  other.channels = {16, 32, 64, 96};
  other.features = 48;
  out.preference = train_reward(run, seen, teacher.text, "preference", own, o.seed);
  out.judge = train_reward(run, unseen, teacher.text, "judge", other, o.seed + 2000003);
  out.aesthetic = train_aesthetic<D>(run, data, seen);
  out.segmenter = train_segmenter<D>(run, data);
  out.preference_accuracy = held_out_accuracy(out.preference, seen, teacher.text);
  out.judge_accuracy = held_out_accuracy(out.judge, unseen, teacher.text);
  // No more than good pictures have is asked for.
  std::vector<std::int64_t> real;
  for (std::int64_t i = 0; i < seen.size(); ++i) real.push_back(Rated::at(i, Rated::grades - 1));
  const auto pictures = take(seen.images, real);
  const auto mean = [&](const auto& reward) {
    return metrics::bootstrap_mean(Rewards<D>::score(reward, pictures, teacher.text, seen.captions), {.resamples = 2})
        .estimate;
  };
  out.preference_alpha = mean(out.preference);
  out.aesthetic_alpha = mean(out.aesthetic);
  return out;
}

}  // namespace fashion
