// SPDX-License-Identifier: Apache-2.0
#include <fake_cuda/cases/check.hpp>
#include <hypersd/core/graph.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/reduce.hpp>
#include <optional>

using namespace hypersd;
using fake_cuda::Clean;
using fake_cuda::contains;
using Array = Tensor<float, Cuda>;

namespace {

Array twice(const Array& x) { return ops::map(ops::Add{}, x, x); }

}  // namespace

TEST_CASE("a graph records without running, and a launch runs everything at once") {
  const Clean clean;
  const auto x = Array::from({2}, {1, 2});
  const Array y(x.shape());
  const CudaCounts before = cuda_counts();
  fake_cuda::reset();
  const Graph<Cuda> graph([&] {
    ops::map_into(y, ops::Add{}, twice(x), x);
    y.copy_from(x);
    ops::gemm(y.reshape({1, 2}), x.reshape({1, 2}), false, Array::zeros({2, 2}), false);
  });
  CHECK(fake_cuda::counts().kernels == 0);
  CHECK(graph.kernels() == 4);  // two maps, a fill and a product
  graph.launch();
  graph.launch();
  CHECK(fake_cuda::counts().graphs == 2);
  CHECK(fake_cuda::counts().kernels == 6);
  CHECK(fake_cuda::counts().products == 2);
  CHECK(fake_cuda::counts().synchronisations == 0);
  const CudaCounts now = cuda_counts();
  CHECK(now.graphs - before.graphs == 2);
  CHECK(now.launches == before.launches);
  CHECK(y.to_vector() == std::vector<float>{1, 2});  // the copy in the graph
}

TEST_CASE("a graph reads what its inputs hold when it is launched") {
  const Clean clean;
  const auto x = Array::from({2}, {1, 2});
  const Array y(x.shape());
  const Graph<Cuda> graph([&] { y.copy_from(x); });
  x.copy_from(Array::from({2}, {5, 6}));
  graph.launch();
  CHECK(y.to_vector() == std::vector<float>{5, 6});
}

TEST_CASE("memory of a graph's work: freed in it, left behind, kept from before") {
  const Clean clean;
  std::optional<Array> x = Array::from({2}, {1, 2});
  Array left;
  const std::int64_t before = fake_cuda::blocks();
  {
    Graph<Cuda> graph([&] {
      const Array y = twice(*x);  // freed in the work
      left = x->clone();          // left behind
      x.reset();                  // from before: stays with the graph
    });
    CHECK(fake_cuda::blocks() == before);
    graph.launch();
    CHECK(fake_cuda::blocks() == before + 1);
    CHECK(left.to_vector() == std::vector<float>{1, 2});
    graph.launch();
    CHECK(fake_cuda::blocks() == before + 1);
    CHECK(left.to_vector() == std::vector<float>{1, 2});
    graph = {};
  }
  CHECK(left.to_vector() == std::vector<float>{1, 2});  // shares the graph's memory
  left = {};
  CHECK(fake_cuda::blocks() == before - 1);
}

TEST_CASE("a graph that left a tensor behind and was never launched frees nothing") {
  const Clean clean;
  const auto x = Array::zeros({2});
  Array left;
  {
    const Graph<Cuda> graph([&] { left = twice(x); });
  }
  left = {};
}

TEST_CASE("a graph's own work may hold what it leaves behind") {
  const Clean clean;
  const auto x = Array::zeros({2});
  struct Work {
    Array x, left;
    void operator()() { left = twice(x); }
  };
  const Graph<Cuda> graph(Work{x, {}});
  graph.launch();
}

TEST_CASE("work that waits or copies from the host is refused by name, and the thread goes on") {
  const Clean clean;
  const auto x = Array::zeros({1});
  const auto refused = [&](auto&& work) {
    const std::string error = fake_cuda::device_error([&] { const Graph<Cuda> graph(work); });
    CHECK(fake_cuda::device_error([&] { (void)ops::sum(twice(x)).item(); }).empty());
    return error;
  };
  CHECK(refused([&] { (void)twice(x).item(); }) ==
        "copy to host: waits for the GPU, not possible in the work of a graph");
  CHECK(refused([&] { (void)Array::from({1}, {3}); }) ==
        "copy from host: reads host memory, not possible in the work of a graph");
  CHECK(contains(refused([&] { Memory<Cuda>::release_pool(); }), "release_pool: waits for the GPU"));
  CHECK(contains(refused([&] { const Graph<Cuda> inner([] {}); }), "graph: records another graph"));
  const Graph<Cuda> other([&] { (void)twice(x); });
  CHECK(contains(refused([&] { other.launch(); }), "graph: launches another graph"));
}

TEST_CASE("an exception of the work is let through and the capture ended") {
  const Clean clean;
  const auto x = Array::zeros({1});
  Array left;
  CHECK_THROWS_WITH_AS(Graph<Cuda>([&] {
                         left = twice(x);
                         fail<OptionError>("no");
                       }),
                       "no", OptionError);
  left = {};
  CHECK(detail::current_capture() == nullptr);
  CHECK(fake_cuda::device_error([&] { (void)ops::sum(twice(x)).item(); }).empty());
}

TEST_CASE("calls that break a capture behind the library's back end in an error") {
  const auto x = Array::zeros({1});
  {
    const Clean clean;
    const std::string error =
        fake_cuda::device_error([] { const Graph<Cuda> graph([] { (void)cudaDeviceSynchronize(); }); });
    CHECK(
        contains(error, "graph: the work contains a call that cannot be captured: CUDA error cudaErrorStreamCapture"));
    CHECK(fake_cuda::faults().size() == 1);
    fake_cuda::reset();
  }
  // The stand-in sees what the library never does.
  const auto fault = [&](auto&& work) {
    fake_cuda::reset();
    (void)fake_cuda::device_error([&] { const Graph<Cuda> graph(work); });
    const std::string out = fake_cuda::faults().empty() ? "" : fake_cuda::faults()[0];
    fake_cuda::reset();
    return out;
  };
  float host = 0;
  const auto stream = [] { return detail::CudaContext::current().stream(); };
  CHECK(fault([&] { (void)cudaMemcpyAsync(x.data(), &host, 4, cudaMemcpyHostToDevice, stream()); }) ==
        "copy between host and device in a capture");
  CHECK(fault([&] { (void)cudaFreeAsync(x.data(), stream()); }) == "free in a capture of memory from outside");
  CHECK(fault([&] { (void)cudaMemsetAsync(x.data(), 0, 4, cudaStreamPerThread); }) ==
        "work on another stream in a capture");
  CHECK(fault([&] { (void)cudaMemsetAsync(x.data(), 0, 5000, stream()); }).empty());  // shows at the launch
  CHECK(fault([&] { (void)cudaStreamSynchronize(stream()); }) == "cudaStreamSynchronize in a capture");
}

TEST_CASE("a graph whose memory cannot be had says so") {
  const Clean clean;
  const auto x = Array::zeros({10});
  Memory<Cuda>::release_pool();
  const Graph<Cuda> graph([&] { (void)Array::zeros({250}); });
  fake_cuda::device().memory = 500;
  CHECK(contains(fake_cuda::device_error([&] { graph.launch(); }), "out of GPU memory: graph; "));
  fake_cuda::device().memory = 2000;
  CHECK(fake_cuda::device_error([&] { graph.launch(); }).empty());
}
