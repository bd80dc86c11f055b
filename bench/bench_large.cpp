// SPDX-License-Identifier: Apache-2.0
/// Matmuls, 3x3 convolutions and attention at the sizes of Stable Diffusion's UNet and autoencoder, float32. Prints one
/// JSON line: wall and CPU milliseconds of the fastest of some runs of each shape.

#include "fastest_run.hpp"

#include <hypersd/ops/attention.hpp>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/linear.hpp>
#include <hypersd/ops/random.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

using namespace hypersd;

namespace {

struct Row {
  std::string name;
  double flop, wall_ms = 1e300, cpu_ms = 1e300;
};

struct Bench {
  int iterations = 5, warmup = 1;
  std::string only;
  std::vector<Row> rows;

  template <class F>
  void operator()(const std::string& name, double flop, F&& f) {
    if (name.find(only) == std::string::npos) return;
    Row row{name, flop};
    fastest_run(row.wall_ms, row.cpu_ms, iterations, warmup, f);
    rows.push_back(row);
  }
};

Tensor<float> random(const Shape& shape, const char* name) { return ops::normal<float>(shape, stream(1, name)); }

void linears(Bench& bench) {
  struct Size {
    std::int64_t m, n, k;
  };
  for (const Size s : {Size{1024, 1024, 1024}, Size{4096, 320, 2880}, Size{1024, 640, 5760}, Size{4096, 2560, 320},
                       Size{256, 1280, 11520}, Size{4096, 320, 320}, Size{77, 3072, 768}}) {
    const auto x = random({s.m, s.k}, "x"), w = random({s.n, s.k}, "w"), bias = random({s.n}, "b");
    const std::string name =
        "linear " + std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k);
    const double flop = 2.0 * static_cast<double>(s.m * s.n * s.k);
    bench(name, flop, [&] { (void)ops::linear(x, w, bias); });
    const auto packed = ops::packed(ConstantTensor(w));
    bench(name + ", packed", flop, [&] { (void)ops::linear(x, packed, bias); });
  }
}

void convolutions(Bench& bench) {
  struct Size {
    std::int64_t side, in, out;
  };
  for (const Size s :
       {Size{64, 320, 320}, Size{32, 640, 640}, Size{16, 1280, 1280}, Size{8, 1280, 1280}, Size{64, 512, 512},
        Size{128, 512, 512}, Size{256, 256, 256}, Size{512, 128, 128}, Size{64, 4, 320}, Size{64, 320, 4}}) {
    const auto x = random({1, s.side, s.side, s.in}, "x"), w = random({s.out, 3, 3, s.in}, "w"),
               bias = random({s.out}, "b");
    const std::string name = "conv 3x3 " + std::to_string(s.side) + " x " + std::to_string(s.side) + ", " +
                             std::to_string(s.in) + " to " + std::to_string(s.out);
    const double flop = 18.0 * static_cast<double>(s.side * s.side * s.in * s.out);
    bench(name, flop, [&] { (void)ops::conv2d(x, w, bias); });
    if (s.side > 64 || s.out < 32) continue;  // the others spend little on packing
    const auto packed = ops::packed(ConstantTensor(w));
    bench(name + ", packed", flop, [&] { (void)ops::conv2d(x, packed, bias); });
  }
}

void attentions(Bench& bench) {
  struct Size {
    std::int64_t queries, keys, channels;
  };
  for (const Size s : {Size{4096, 4096, 320}, Size{1024, 1024, 640}, Size{256, 256, 1280}, Size{4096, 77, 320}}) {
    const auto q = random({1, s.queries, s.channels}, "q"), k = random({1, s.keys, s.channels}, "k"),
               v = random({1, s.keys, s.channels}, "v");
    bench("attention " + std::to_string(s.queries) + " x " + std::to_string(s.keys) + ", " +
              std::to_string(s.channels) + " channels, 8 heads",
          4.0 * static_cast<double>(s.queries * s.keys * s.channels), [&] { (void)ops::attention(q, k, v, 8); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench;
  int threads = 2;
  CLI::App app{"Times operations at Stable Diffusion's sizes (see bench/run.sh --large)"};
  app.add_option("--threads", threads, "CPU threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--iters", bench.iterations, "timed runs")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warmup", bench.warmup, "runs before")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--only", bench.only, "only shapes with this text in their name");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  set_num_threads(threads);
  linears(bench);
  convolutions(bench);
  attentions(bench);
  double total = 0;
  for (const Row& row : bench.rows) total += row.wall_ms;
  std::printf(R"({"bench": "large", "ms": %.6g, "threads": %d, "rows": [)", total, threads);
  for (std::size_t i = 0; i < bench.rows.size(); ++i)
    std::printf(R"(%s{"name": "%s", "gflop": %.6g, "ms": %.6g, "cpu_ms": %.6g})", i == 0 ? "" : ", ",
                bench.rows[i].name.c_str(), 1e-9 * bench.rows[i].flop, bench.rows[i].wall_ms, bench.rows[i].cpu_ms);
  std::printf("]}\n");
}
