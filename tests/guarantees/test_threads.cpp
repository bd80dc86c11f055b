// SPDX-License-Identifier: Apache-2.0
// What docs/guarantees.md promises on threads, one case a row of its table. `check.sh threads` runs them under
// ThreadSanitizer.
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/io/metric_log.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/report/progress.hpp>
#include <hypersd/text/clip_tokenizer.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <pipeline/toy_denoiser.hpp>
#include <temp_folder.hpp>
#include <thread>

using namespace hypersd;

namespace {

constexpr int count = 4;

/// body(i) on `count` threads at the same time.
template <class Body>
void on_threads(const Body& body) {
  std::atomic<int> waiting{count};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      body(i);
    });
  for (auto& t : threads) t.join();
}

toy::Denoiser network() {
  toy::Denoiser net;
  nn::init_parameters(net, 7, "toy");
  nn::set_requires_grad(net, false);
  return net;
}

}  // namespace

TEST_CASE("threads: one sampler and one frozen network, other seeds; each has what it has alone") {
  const toy::Denoiser net = network();
  const diffusion::Sampler<diffusion::Tcd, diffusion::Discrete<>> sampler({.eta = 0.5}, toy::process());
  const auto draw = [&](int i) {
    const auto noise = ops::normal<double>(Shape{16, 2}, stream(static_cast<std::uint64_t>(i), "noise"));
    return sampler(net, noise, diffusion::Unconditional{}, 4, {.seed = static_cast<std::uint64_t>(i)}).to_vector();
  };
  std::vector<std::vector<double>> alone, together(count);
  for (int i = 0; i < count; ++i) alone.push_back(draw(i));
  on_threads([&](int i) { together[static_cast<std::size_t>(i)] = draw(i); });
  CHECK(together == alone);
}

TEST_CASE("threads: graphs of their own over shared weights that are frozen; the gradient mode is a thread's own") {
  const Var<double> frozen(ops::normal<double>(Shape{8, 8}, stream(1, "w")));
  const auto gradient = [&](int i) {
    const Var<double> mine(ops::normal<double>(Shape{8, 8}, stream(static_cast<std::uint64_t>(i), "v")), true);
    autograd::backward(autograd::mean(autograd::silu(autograd::linear(mine, frozen, Var<double>{}))));
    return mine.grad().to_vector();
  };
  std::vector<std::vector<double>> alone, together(count);
  for (int i = 0; i < count; ++i) alone.push_back(gradient(i));
  on_threads([&](int i) {
    if (i % 2 == 1) {
      const autograd::NoGrad guard;  // of this thread only
      (void)autograd::mean(frozen);
    }
    together[static_cast<std::size_t>(i)] = gradient(i);
  });
  CHECK(together == alone);
}

TEST_CASE("threads: one text encoder and one tokenizer") {
  nn::TextEncoderConfig config{.vocabulary = 60, .max_length = 6, .channels = 16, .layers = 2, .heads = 2};
  nn::TextEncoder<float> encoder(config);
  nn::init_parameters(encoder, 3);
  nn::set_requires_grad(encoder, false);
  text::ClipVocabulary vocabulary = text::read_clip_merges(std::string(HYPERSD_TEST_DATA) + "/clip_merges.txt.gz");
  const text::ClipTokenizer tokenizer(std::move(vocabulary));
  const auto work = [&](int i) {
    Tensor<std::int32_t> ids(Shape{1, 6});
    const auto tokens = tokenizer.encode("caf\xC3\xA9 number " + std::to_string(i));
    for (std::size_t j = 0; j < 6; ++j) ids[static_cast<std::int64_t>(j)] = tokens[j % tokens.size()] % 60;
    return encoder(ids).value().to_vector();
  };
  std::vector<std::vector<float>> alone, together(count);
  for (int i = 0; i < count; ++i) alone.push_back(work(i));
  on_threads([&](int i) { together[static_cast<std::size_t>(i)] = work(i); });
  CHECK(together == alone);
}

TEST_CASE("threads: one safetensors file read by all; writes to one name leave one of the contents whole") {
  const test::TempFolder folder;
  io::SafetensorsWriter writer;
  for (int i = 0; i < count; ++i)
    writer.add(std::to_string(i), Tensor<float>::full(Shape{5000}, static_cast<float>(i)));
  writer.write(folder / "m.safetensors");
  for (const io::Access access : {io::Access::Read, io::Access::Map}) {
    const io::SafetensorsFile file(folder / "m.safetensors", access);
    std::atomic<int> right{0};
    on_threads([&](int i) {
      for (int k = 0; k < 10; ++k)
        right += file.get<float>(std::to_string(i)).to_vector() == std::vector<float>(5000, static_cast<float>(i));
    });
    CHECK(right == 10 * count);
  }
  std::atomic<int> refused{0};
  on_threads([&](int i) {
    for (int k = 0; k < 10; ++k) try {
        io::atomic_write(folder / "text", std::string(3000, static_cast<char>('a' + i)));
      } catch (const IoError&) {
        ++refused;  // another thread has renamed the partial file
      }
  });
  const std::string text = io::read_file(folder / "text");
  REQUIRE(text.size() == 3000);
  CHECK(text == std::string(3000, text[0]));
}

TEST_CASE("threads: a log behind a lock has whole rows; progress takes events from all") {
  const test::TempFolder folder;
  {
    io::MetricLog log(folder / "log", {"thread", "row"});
    const report::TerminalProgress bar;
    std::mutex mutex;
    on_threads([&](int i) {
      for (int k = 0; k < 20; ++k) {
        bar({"phase", k, 20, {}, {}});
        const std::lock_guard lock(mutex);
        log.append({{"thread", static_cast<double>(i)}, {"row", static_cast<double>(k)}});
      }
    });
  }
  std::size_t at = 0, rows = 0;
  const std::string text = io::read_file(folder / "log.csv");
  std::vector<std::string> fields;
  while (io::csv_record(text, at, fields)) rows += fields.size() == 2;
  CHECK(rows == 1 + 20 * count);
}
