// SPDX-License-Identifier: Apache-2.0
/// One seed of the study: the shared networks, then method by method training, sampling and measuring.
#include "seed_run.hpp"

#include "peak_memory.hpp"

#include <hypersd/nn/models/pixart_cost.hpp>
#include <hypersd/nn/models/unet_cost.hpp>

namespace compare {

namespace {

std::string seed_folder(const StudyOptions& o, std::uint64_t seed) {
  return (o.base.out / ("seed" + std::to_string(seed))).string();
}

/// Multiply-adds of one evaluation of a sample.
template <Device D>
std::int64_t cost_of(const Seed<D>& s, const Student<D>& student) {
  const auto net = [&](const Net<D>& n) {
    const std::int64_t words = s.data.words.longest();
    if constexpr (requires { n.config(); })
      return nn::multiply_adds(n.config(), 8, 8, words);
    else
      return nn::multiply_adds(n.config, 8, 8, words);
  };
  if (const auto* policies = std::get_if<Policies<D>>(&student)) return net(policies->net);
  const auto* map = std::get_if<FlowMap<D>>(&student);
  if (!map) return net(s.teacher.unet);
  const auto& end = map->end_embedding;
  return net(s.teacher.unet) + end.linear_1.weight.get().size() + end.linear_2.weight.get().size();
}

/// Measures a trained method with each of its samplers.
template <Device D>
class Examiner {
 public:
  Examiner(const Seed<D>& s, const nn::Autoencoder<float, D>& autoencoder, const nn::Classifier<float, D>& classifier)
      : s_(s),
        autoencoder_(autoencoder),
        evaluator_(s.run, s.data, classifier),
        prompts_(s.data, s.run.options.eval_samples, s.seed(), "evaluation.noise"),
        shown_(s.data, s.data.classes(), s.seed(), "picture.noise"),
        few_(std::min(s.run.options.trajectory_samples, s.run.options.eval_samples)) {
    const auto teacher = teacher_methods<D>().front().samplers.front();
    Evaluations uncounted;
    ends_ = draw(teacher, s.teacher.unet, prompts_.noise.slice(0, few_), prompts_.captions.slice(0, few_), 50,
                 "teacher, 50 steps", uncounted)
                .template to<Cpu>();
  }

  /// `training` holds the measures of the training alone.
  void measure(const Method<D>& m, const Trained<D>& trained, const Row& training, std::vector<Row>& rows) const {
    std::vector<int> counts(s_.options.steps.begin(), s_.options.steps.end());
    if (!m.train) counts.push_back(static_cast<int>(s_.run.options.teacher_inference_steps));
    for (const SamplerChoice<D>& sampler : m.samplers)
      for (const int n : counts) {
        // One step injects no noise: a second, stochastic sampler would only repeat the first.
        if (!sampler.takes(n) || (n == 1 && !sampler.deterministic && &sampler != &m.samplers.front())) continue;
        const Student<D>& net = student(m, trained, n);
        Evaluations spent;
        const auto z = draw(sampler, net, prompts_.noise, prompts_.captions, n,
                            m.name + s_.suffix() + ", " + std::to_string(n) + (n == 1 ? " step" : " steps"), spent);
        const auto images = fashion::decode_all(autoencoder_, s_.latents, z);
        Row r = training;
        r.method = m.name, r.sampler = sampler.name, r.steps = n, r.seed = s_.seed(), r.varied = s_.varied;
        r.guidance = s_.run.options.guidance;
        r.sample_evaluations = spent.forward / static_cast<double>(prompts_.noise.dim(0));
        r.sample_multiply_adds = r.sample_evaluations * static_cast<double>(cost_of(s_, net));
        const auto fd = evaluator_.frechet(images);
        r.fd = fd.estimate, r.fd_low = fd.low, r.fd_high = fd.high;
        r.agreement = 100 * evaluator_.agreement(images, prompts_.labels).estimate;
        if (sampler.deterministic)
          r.trajectory = metrics::trajectory_error(z.slice(0, few_).template to<Cpu>(), ends_).mean();
        rows.push_back(r);
        if (&sampler == &m.samplers.front()) {
          const auto latents = draw(sampler, net, shown_.noise, shown_.captions, n, "", spent);
          io::write_npy(picture_file(s_.options, s_.seed(), m.name + s_.suffix(), n),
                        fashion::decode_all(autoencoder_, s_.latents, latents));
        }
      }
  }

 private:
  static const Student<D>& student(const Method<D>& m, const Trained<D>& trained, int steps) {
    if (!m.model_per_count) return trained.last;
    // The student of the stage with as many steps, or the nearest with more.
    const Student<D>* best = &trained.last;
    for (const auto& [k, net] : trained.stages)
      if (k <= steps) best = &net;
    return *best;
  }
  Tensor<float, D> draw(const SamplerChoice<D>& sampler, const Student<D>& net, const Tensor<float>& noise,
                        const Tensor<std::int32_t>& captions, int steps, const std::string& phase,
                        Evaluations& count) const {
    std::int64_t first = 0;
    return fashion::in_batches(noise, 250, [&](const Tensor<float>& part) {
      const std::int64_t next = first + part.dim(0);
      if (!phase.empty()) notify(s_.run.progress, {phase, first, noise.dim(0), {}, {}});
      auto x =
          sampler.draw(net, part.template to<D>(), fashion::condition_of(s_.teacher.text, captions.slice(first, next)),
                       {steps, s_.run.options.guidance, s_.seed(), first}, count);
      first = next;
      if (!phase.empty()) notify(s_.run.progress, {phase, next, noise.dim(0), {}, {}});
      return x;
    });
  }

  const Seed<D>& s_;
  const nn::Autoencoder<float, D>& autoencoder_;
  fashion::Evaluator<D> evaluator_;
  fashion::Prompts prompts_, shown_;
  std::int64_t few_;
  Tensor<float> ends_;
};

/// A method with its own settings, or with one changed.
template <Device D>
struct Job {
  const Method<D>* method = nullptr;
  Settings settings = {};
  std::string varied = {};  ///< "rate=0.001"
};
/// `methods` as they are, and with each value of --vary.
template <Device D>
std::vector<Job<D>> jobs_of(const StudyOptions& o, const std::vector<Method<D>>& methods) {
  std::vector<Job<D>> out;
  for (const Method<D>& m : methods) {
    out.push_back({&m, m.settings});
    const auto own = m.settings.find(o.varied);
    if (own == m.settings.end()) continue;
    for (const double value : o.values) {
      if (value == own->second) continue;
      out.push_back({&m, m.settings, o.varied + "=" + io::number(value)});
      out.back().settings[o.varied] = value;
    }
  }
  return out;
}

/// Trains `m` with the settings of `s` and measures it.
template <Device D>
std::vector<Row> train_and_measure(const Seed<D>& s, const Examiner<D>& examiner, const Method<D>& m) {
  const PeakMemory peak;
  const auto begin = std::chrono::steady_clock::now();
  const Trained<D> trained = m.train ? m.train(s) : Trained<D>{.last = s.teacher.unet};
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  Row training;
  if (m.train) {
    training.evaluations = trained.planned;
    training.iterations = static_cast<double>(trained.iterations);
    training.seconds = took.count();
    if constexpr (std::derived_from<D, Cpu>) training.peak_mb = peak.megabytes();
  }
  // A resumed training counts only its rest, a whole one must cost what its plan says.
  if (trained.spent > 0 && std::abs(trained.spent - trained.planned) > 0.02 * trained.planned)
    notify(s.run.progress, {"",
                            0,
                            0,
                            {},
                            m.name + s.suffix() + ": " + io::compact(trained.spent) + " evaluations counted, " +
                                io::compact(trained.planned) + " planned"});
  std::vector<Row> rows;
  examiner.measure(m, trained, training, rows);
  return rows;
}

}  // namespace

std::string picture_file(const StudyOptions& o, std::uint64_t seed, const std::string& method, int steps) {
  return seed_folder(o, seed) + "/results/" + method + "_" + std::to_string(steps) + ".npy";
}

template <Device D>
std::vector<Row> run_seed(const StudyOptions& options, std::uint64_t seed, const std::vector<Method<D>>& methods,
                          const Progress& progress) {
  fashion::Options base = options.base;
  base.seed = seed;
  base.out = seed_folder(options, seed);
  base.student_steps = options.steps;
  records::RunDirectory directory(base.out.string(), settings_of(options, base),
                                  base.resume ? records::Existing::resume : records::Existing::refuse);
  io::ensure_writable_folder(directory.file("results"));
  const auto file = [&](const Job<D>& job, double guidance) {
    return directory.file("results/" + job.method->name + suffix_of(guidance, job.varied) + ".csv");
  };
  std::vector<Row> rows;
  const auto complete = [&](const Method<D>& m, const std::vector<Row>& found) {
    return std::all_of(options.steps.begin(), options.steps.end(), [&](std::int64_t n) {
      return !m.samplers.front().takes(static_cast<int>(n)) ||
             std::any_of(found.begin(), found.end(), [&](const Row& r) { return r.steps == n; });
    });
  };
  std::map<double, std::vector<Job<D>>> open;  // by guidance
  for (const double guidance : options.guidance)
    for (const Job<D>& job : jobs_of(options, methods)) {
      // One thing is varied at a time, and what learns from data alone has no guidance to sweep.
      if (guidance != options.guidance.front() && (job.method->guidance == Guidance::none || !job.varied.empty()))
        continue;
      const std::string path = file(job, guidance);
      const auto found = std::filesystem::exists(path) ? load_rows(path) : std::vector<Row>{};
      if (found.empty() || !complete(*job.method, found))
        open[guidance].push_back(job);
      else
        rows.insert(rows.end(), found.begin(), found.end());
    }
  if (open.empty()) return rows;

  const fashion::Dataset data(base.data.string());
  const fashion::Run run{base, directory, progress};
  const auto autoencoder = fashion::train_autoencoder<D>(run, data);
  const auto classifier = fashion::train_classifier<D>(run, data);
  const auto latents = fashion::encode_all(autoencoder, data.images.train.first(base.latent_images));
  const auto teacher = fashion::train_teacher(run, data, latents);
  for (const auto& [guidance, list] : open) {
    const fashion::Options guided = with_guidance(base, guidance);
    const fashion::Run guided_run{guided, directory, progress};
    Seed<D> s{options, guided_run, data, latents, teacher};
    const Examiner<D> examiner(s, autoencoder, classifier);
    for (const Job<D>& job : list) {
      s.settings = job.settings, s.varied = job.varied;
      auto mine = train_and_measure(s, examiner, *job.method);
      save_rows(file(job, guidance), mine);
      rows.insert(rows.end(), mine.begin(), mine.end());
    }
  }
  return rows;
}

template std::vector<Row> run_seed(const StudyOptions&, std::uint64_t, const std::vector<Method<Cpu>>&,
                                   const Progress&);
#if HYPERSD_HAS_CUDA
template std::vector<Row> run_seed(const StudyOptions&, std::uint64_t, const std::vector<Method<Cuda>>&,
                                   const Progress&);
#endif

}  // namespace compare
