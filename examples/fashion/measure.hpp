// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluate.hpp"
#include "prompts.hpp"
#include "rewards.hpp"

#include <hypersd/io/metric_log.hpp>

namespace fashion {

/// One strength of the feedback adapter: quality against nearness to the teacher. [Hyper-SD Sec. 3.2]
struct SweepPoint {
  double weight = 0, judge = 0, teacher_distance = 0;
};

/// Samples, measures and logs (`metrics.csv`): a line for each model and sampler.
template <Device D>
class Measure {
 public:
  Measure(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder, const Latents<D>& latents,
          const Teacher<D>& teacher, const nn::Classifier<float, D>& classifier, const Rewards<D>* rewards)
      : run_(run),
        data_(data),
        autoencoder_(autoencoder),
        latents_(latents),
        teacher_(teacher),
        rewards_(rewards),
        evaluator_(run, data, classifier),
        fidelity_(data, run.options.eval_samples, run.options.latent_images,
                  [this](const Tensor<float>& images) { return evaluator_.features(images); }),
        prompts_(data, run.options.eval_samples, run.options.seed, "evaluation.noise"),
        few_(std::min(run.options.trajectory_samples, run.options.eval_samples)),
        log_(run.directory.file("metrics"), {"method",
                                             "steps",
                                             "eta",
                                             "fd",
                                             "fd_low",
                                             "fd_high",
                                             "agreement",
                                             "agreement_low",
                                             "agreement_high",
                                             "trajectory",
                                             "trajectory_low",
                                             "trajectory_high",
                                             "judge",
                                             "judge_low",
                                             "judge_high",
                                             "preference",
                                             "aesthetic",
                                             "fd_infinity",
                                             "fd_infinity_error",
                                             "kernel",
                                             "kernel_error",
                                             "precision",
                                             "recall",
                                             "density",
                                             "coverage",
                                             "memorized",
                                             "diversity"}) {
    by_teacher_ =
        draw(teacher.unet, guided(), "teacher, " + std::to_string(guided().steps) + " steps", prompts_.noise.dim(0));
    ends_ = draw(teacher.unet, {50, run.options.guidance, 0, 0}, "teacher, 50 steps", few_).template to<Cpu>();
  }

  /// Measures latents with their labels.
  void latents(const std::string& method, const Tensor<float, D>& z, const Tensor<std::int32_t>& labels,
               const SampleOptions& s, bool trajectory) {
    const metrics::Interval none{std::nan(""), std::nan(""), std::nan("")};
    Result r{method, s.steps, s.eta, {}, {}, none, none, none, none, {}};
    const auto images = decode_all(autoencoder_, latents_, z);
    const Tensor<float> features = evaluator_.features(images);
    r.frechet = evaluator_.frechet_of(features);
    r.fidelity = fidelity_(features, labels, evaluator_.frechet_infinity(features));
    r.agreement = evaluator_.agreement(images, labels);
    if (trajectory)
      r.trajectory = metrics::trajectory_error(z.slice(0, few_).template to<Cpu>(), ends_)
                         .interval({.resamples = run_.options.bootstrap});
    if (rewards_ != nullptr) {
      const auto captions = data_.captions(labels);
      const auto mean = [&](const auto& reward) {
        return metrics::bootstrap_mean(Rewards<D>::score(reward, images, teacher_.text, captions),
                                       {.resamples = run_.options.bootstrap});
      };
      r.judge = mean(rewards_->judge);
      r.preference = mean(rewards_->preference);
      r.aesthetic = mean(rewards_->aesthetic);
    }
    io::MetricRow row{{"method", method}, {"steps", s.steps}, {"eta", s.eta}};
    const auto add = [&row](const std::string& name, const metrics::Interval& v) {
      row.emplace_back(name, v.estimate), row.emplace_back(name + "_low", v.low);
      row.emplace_back(name + "_high", v.high);
    };
    add("fd", r.frechet), add("agreement", r.agreement), add("trajectory", r.trajectory), add("judge", r.judge);
    row.emplace_back("preference", r.preference.estimate), row.emplace_back("aesthetic", r.aesthetic.estimate);
    const auto add_estimate = [&row](const std::string& name, const metrics::Estimate& v) {
      row.emplace_back(name, v.value), row.emplace_back(name + "_error", v.standard_error);
    };
    const Fidelity& f = r.fidelity;
    add_estimate("fd_infinity", f.frechet), add_estimate("kernel", f.kernel);
    row.emplace_back("precision", f.manifold.precision), row.emplace_back("recall", f.manifold.recall);
    row.emplace_back("density", f.manifold.density), row.emplace_back("coverage", f.manifold.coverage);
    row.emplace_back("memorized", f.memorized), row.emplace_back("diversity", f.diversity);
    log_.append(row);
    results_.push_back(r);
  }
  /// Draws the evaluation samples from `net` and measures them.
  void sampler(const std::string& method, const Net<D>& net, const SampleOptions& s, bool trajectory) {
    const std::string steps = std::to_string(s.steps) + (s.steps == 1 ? " step" : " steps");
    latents(method, draw(net, s, method + ", " + steps, prompts_.noise.dim(0)), prompts_.labels, s, trajectory);
  }
  /// Measures the teacher's samples with its guidance.
  void teacher() { latents("teacher", by_teacher_, prompts_.labels, guided(), true); }
  /// All numbers of steps of the options, without noise and, where there is more than one step, with it.
  void student(const std::string& method, const Net<D>& net) {
    for (const std::int64_t n : run_.options.student_steps)
      for (const double eta : {0.0, run_.options.eta})
        if (eta == 0 || n > 1) sampler(method, net, {n, 1, eta, 0}, eta == 0);
  }

  /// The student with its adapter `feedback` at several strengths, 4 steps: what the judge says of the samples, and how
  /// far they are from the teacher's. Logged as `sweep.csv`.
  [[nodiscard]] std::vector<SweepPoint> sweep(const Net<D>& net, const std::vector<double>& weights) const {
    const std::int64_t n = std::min<std::int64_t>(1000, prompts_.noise.dim(0));
    const auto teacher = decode_all(autoencoder_, latents_, by_teacher_.slice(0, n));
    io::MetricLog log(run_.directory.file("sweep"), {"weight", "judge", "fd_to_teacher"});
    std::vector<SweepPoint> out;
    for (const double w : weights) {
      const auto z = draw(nn::merge_lora(net, {{"feedback", w}}), {4, 1, 0, 0}, "feedback at " + io::number(w), n);
      const auto x = decode_all(autoencoder_, latents_, z);
      const auto scores = Rewards<D>::score(rewards_->judge, x, teacher_.text, prompts_.captions.slice(0, n));
      out.push_back({w, metrics::bootstrap_mean(scores, {.resamples = 2}).estimate, evaluator_.between(x, teacher)});
      log.append({{"weight", w}, {"judge", out.back().judge}, {"fd_to_teacher", out.back().teacher_distance}});
    }
    return out;
  }

  [[nodiscard]] const std::vector<Result>& results() const { return results_; }
  [[nodiscard]] double accuracy() const { return evaluator_.accuracy(); }

 private:
  [[nodiscard]] SampleOptions guided() const {
    return {run_.options.teacher_inference_steps, run_.options.guidance, 0, 0};
  }
  [[nodiscard]] Tensor<float, D> draw(const Net<D>& net, SampleOptions s, const std::string& phase,
                                      std::int64_t n) const {
    s.seed = run_.options.seed;
    return sample_latents(net, teacher_.text, prompts_.captions.slice(0, n), prompts_.noise.slice(0, n), s,
                          run_.progress, phase);
  }

  const Run& run_;
  const Dataset& data_;
  const nn::Autoencoder<float, D>& autoencoder_;
  const Latents<D>& latents_;
  const Teacher<D>& teacher_;
  const Rewards<D>* rewards_;
  Evaluator<D> evaluator_;
  FidelityMeasure fidelity_;
  Prompts prompts_;
  std::int64_t few_;
  io::MetricLog log_;
  Tensor<float> ends_;
  Tensor<float, D> by_teacher_;  ///< the teacher's evaluation samples
  std::vector<Result> results_;
};

}  // namespace fashion
