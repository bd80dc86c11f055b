// SPDX-License-Identifier: Apache-2.0
/// The networks of Stable Diffusion at their published sizes with random weights, at 512 x 512: one UNet call, the
/// decoder of the autoencoder, the text encoder. Weights in float32, as half that stays as it is stored, and
/// as half that is packed once. Prints one JSON line: wall and CPU milliseconds of the fastest run, and the peak of
/// resident memory above that before the call.

#include "fastest_run.hpp"

#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <hypersd/nn/pack.hpp>
#include <hypersd/ops/random.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <string>

using namespace hypersd;

namespace {

struct Row {
  std::string name;
  double flop, wall_ms = 1e300, cpu_ms = 1e300, weights_mb = 0, peak_mb = 0;
};

/// A line of /proc/self/status in MiB, 0 where there is none.
double resident(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) return std::strtod(line.c_str() + key.size(), nullptr) / 1024;
  return 0;
}

struct Bench {
  int iterations = 2, warmup = 1;
  std::string only;
  std::vector<Row> rows;

  [[nodiscard]] bool wanted(const std::string& name) const {
    return only.empty() || name.find(only) != std::string::npos;
  }
  template <class F>
  void operator()(const std::string& name, double flop, std::int64_t bytes, F&& f) {
    Row row{name, flop};
    row.weights_mb = static_cast<double>(bytes) / 1048576;
    Memory<Cpu>::release_pool();
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts again
    fastest_run(row.wall_ms, row.cpu_ms, iterations, warmup, f);
    row.peak_mb = resident("VmHWM:");
    rows.push_back(row);
  }
};

/// Small weights whose values do not matter, in float32 or as stored half.
template <nn::Module M>
void fill(M& net, bool narrow) {
  std::uint32_t state = 1;
  const auto next = [&state] {
    state = state * 1664525U + 1013904223U;
    return (static_cast<float>(state >> 9U) / 4194304.0F - 1.0F) * 0.03F;
  };
  auto set = [&](const std::string&, auto& p) {
    if (narrow && p.rank() > 1) {
      const Tensor<half> values(p.shape());
      for (half& x : values.span()) x = half(next());
      return p.keep(ConstantTensor(values));
    }
    const Tensor<float> values(p.shape());
    for (float& x : values.span()) x = next() + (p.rank() == 1 ? 0.5F : 0.0F);
    p.assign(values);
  };
  nn::visit_parameters(net, set);
}
Var<float> random(const Shape& shape, const char* name) {
  return Var<float>(ops::normal<float>(shape, stream(1, name)));
}

enum class Weights { wide, half, packed };

/// A network's random weights as wanted.
template <nn::Module M>
void fill(M& net, Weights weights) {
  fill(net, weights != Weights::wide);
  if (weights == Weights::packed) nn::pack_weights(net);
}

void networks(Bench& bench, Weights weights) {
  const std::string suffix = weights == Weights::wide   ? ""
                             : weights == Weights::half ? ", half weights"
                                                        : ", packed half weights";
  for (const std::int64_t batch : {1, 2})
    if (const std::string name = (batch == 1 ? "UNet of SD 1.5, 64 x 64" : "UNet of SD 1.5, 64 x 64, batch 2") + suffix;
        bench.wanted(name)) {
      nn::Unet<float> net(nn::UnetConfig::sd15());
      fill(net, weights);
      const auto x = random({batch, 64, 64, 4}, "x"), tokens = random({batch, 77, 768}, "tokens");
      const auto t = Tensor<float>::full({batch}, 500);
      bench(name, static_cast<double>(batch) * 803e9, nn::parameter_bytes(net), [&] {
        (void)net(x, t, nn::UnetCondition<float>{tokens, {}});
      });
    }
  if (const std::string name = "VAE decoder, 512 x 512" + suffix; bench.wanted(name)) {
    nn::Autoencoder<float> net(nn::AutoencoderConfig::stable_diffusion());
    fill(net, weights);
    const auto z = random({1, 64, 64, 4}, "z");
    bench(name, 2514e9, nn::parameter_bytes(net), [&] { (void)net.decode(z); });
  }
  if (const std::string name = "CLIP-L, 77 tokens" + suffix; bench.wanted(name)) {
    nn::TextEncoder<float> net(nn::TextEncoderConfig::clip_large());
    fill(net, weights);
    Tensor<std::int32_t> ids(Shape{1, 77});
    for (std::int32_t i = 0; i < 77; ++i) ids[i] = 601 * i;
    bench(name, 13.3e9, nn::parameter_bytes(net), [&] { (void)net(ids); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench;
  int threads = 2;
  CLI::App app{"Times networks of Stable Diffusion's size (see bench/run.sh --large)"};
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", bench.iterations, "timed runs")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", bench.warmup, "runs before")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--only", bench.only, "only rows with this text in their name");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);
  const autograd::NoGrad guard;
  for (const auto weights : {Weights::wide, Weights::half, Weights::packed}) networks(bench, weights);
  double total = 0;
  for (const Row& row : bench.rows) total += row.wall_ms;
  std::printf(R"({"bench": "networks", "ms": %.6g, "threads": %d, "rows": [)", total, threads);
  for (std::size_t i = 0; i < bench.rows.size(); ++i) {
    const Row& r = bench.rows[i];
    std::printf(R"(%s{"name": "%s", "gflop": %.6g, "ms": %.6g, "cpu_ms": %.6g, "weights_mb": %.5g, "peak_mb": %.5g})",
                i == 0 ? "" : ", ", r.name.c_str(), 1e-9 * r.flop, r.wall_ms, r.cpu_ms, r.weights_mb, r.peak_mb);
  }
  std::printf("]}\n");
}
