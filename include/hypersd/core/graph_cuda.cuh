// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/graph.hpp>
#include <hypersd/core/storage_cuda.cuh>

namespace hypersd {

namespace detail {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { (void)cudaGraphDestroy(graph); }
};
using GraphHandle = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

/// Captures what this thread enqueues, on a separate stream, from construction to `end()`.
class Capture {
 public:
  explicit Capture(const std::shared_ptr<CapturedGraph>& graph) : context_(CudaContext::current()), graph_(graph) {
    context_.require_eager("graph", "records another graph");
    (void)context_.cublas();  // creating a handle allocates and waits
    cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "graph");
    before_ = context_.stream();
    try {
      context_.use(stream_);
      cuda_check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "graph");
    } catch (...) {
      leave();
      throw;
    }
    graph_->stream = stream_;
    current_capture() = graph_.get();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (!stream_) return;
    cudaGraph_t raw = nullptr;
    (void)cudaStreamEndCapture(stream_, &raw);  // the error is already reported
    const GraphHandle discarded(raw);
    (void)cudaGetLastError();
    leave();
  }

  GraphHandle end() {
    cudaGraph_t raw = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream_, &raw);
    GraphHandle out(raw);
    leave();
    cuda_check(status, "graph: the work contains a call that cannot be captured");
    return out;
  }

 private:
  void leave() {
    current_capture() = nullptr;
    (void)cudaStreamDestroy(stream_);
    stream_ = nullptr;
    context_.use(before_);
  }

  CudaContext& context_;
  std::shared_ptr<CapturedGraph> graph_;
  cudaStream_t stream_ = nullptr, before_ = nullptr;
};

inline std::int64_t count_kernels(cudaGraph_t graph) {
  std::size_t n = 0;
  cuda_check(cudaGraphGetNodes(graph, nullptr, &n), "graph");
  std::vector<cudaGraphNode_t> nodes(n);
  if (n > 0) cuda_check(cudaGraphGetNodes(graph, nodes.data(), &n), "graph");
  return std::count_if(nodes.begin(), nodes.end(), [](cudaGraphNode_t node) {
    cudaGraphNodeType type{};
    cuda_check(cudaGraphNodeGetType(node, &type), "graph");
    return type == cudaGraphNodeTypeKernel;
  });
}

/// Calls `attempt()`. If memory runs out, releases the cached memory and calls it once more.
template <class F>
void with_memory(const char* op, F&& attempt) {
  cudaError_t status = attempt();
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    Memory<Cuda>::release_pool();
    status = attempt();
  }
  if (status == cudaErrorMemoryAllocation) fail_out_of_memory(op);
  cuda_check(status, op);
}

}  // namespace detail

/// See core/graph.hpp.
template <std::derived_from<Cuda> D>
class Graph<D> {
 public:
  Graph() = default;
  template <std::invocable F>
  requires(!std::same_as<std::remove_cvref_t<F>, Graph>) explicit Graph(F&& work)
      : graph_(std::make_shared<detail::CapturedGraph>()) {
    const auto held = std::make_shared<std::decay_t<F>>(std::forward<F>(work));
    work_ = held;
    detail::Capture capture(graph_);
    (void)(*held)();
    const detail::GraphHandle recorded = capture.end();
    kernels_ = detail::count_kernels(recorded.get());
    detail::with_memory("graph", [&] {
      return cudaGraphInstantiateWithFlags(&graph_->exec, recorded.get(), cudaGraphInstantiateFlagAutoFreeOnLaunch);
    });
  }

  [[nodiscard]] bool defined() const { return graph_ != nullptr; }
  void launch() const {
    require<DeviceError>(defined(), "launch of an empty graph");
    auto& context = detail::CudaContext::current();
    context.require_eager("graph", "launches another graph");
    detail::with_memory("graph", [&] { return cudaGraphLaunch(graph_->exec, context.stream()); });
    graph_->launched = true;
    graph_->stream = context.stream();
    context.launched_graph("graph");
  }
  [[nodiscard]] std::int64_t kernels() const { return kernels_; }

 private:
  std::shared_ptr<detail::CapturedGraph> graph_;
  std::shared_ptr<void> work_;
  std::int64_t kernels_ = 0;
};

}  // namespace hypersd
