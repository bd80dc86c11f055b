// SPDX-License-Identifier: Apache-2.0
// Stream capture and graphs.
#include <algorithm>
#include <fake_cuda/state.hpp>

using namespace fake_cuda;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  State& s = state();
  if (stream == nullptr || stream == cudaStreamLegacy)
    return refuse(cudaErrorStreamCaptureUnsupported, "capture of the legacy stream");
  if (s.capturing) return refuse(cudaErrorIllegalState, "a capture within a capture");
  CUstream_st& on = at(stream);
  on.capture = new CUgraph_st;
  on.invalid = false;
  s.capturing = &on;
  ++s.objects;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  CUstream_st& on = at(stream);
  *graph = nullptr;
  if (!on.capture) return refuse(cudaErrorIllegalState, "the end of no capture");
  state().capturing = nullptr;
  cudaGraph_t out = on.capture;
  on.capture = nullptr;
  if (!on.invalid) {
    *graph = out;
    return cudaSuccess;
  }
  (void)cudaGraphDestroy(out);
  return result(cudaErrorStreamCaptureInvalidated);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const CUstream_st& on = at(stream);
  *status = !on.capture  ? cudaStreamCaptureStatusNone
            : on.invalid ? cudaStreamCaptureStatusInvalidated
                         : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --state().objects;
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* n) {
  if (!nodes) {
    *n = graph->nodes.size();
    return cudaSuccess;
  }
  *n = std::min(*n, graph->nodes.size());
  for (std::size_t i = 0; i < *n; ++i) nodes[i] = graph->nodes[i].get();
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = node->type;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  auto* out = new CUgraphExec_st;
  for (const auto& node : graph->nodes) out->work.push_back(node->run);
  out->allocated = graph->allocated;
  out->frees = (flags & cudaGraphInstantiateFlagAutoFreeOnLaunch) != 0;
  *exec = out;
  ++state().objects;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  --state().objects;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  State& s = state();
  if (at(stream).capture) return refuse(cudaErrorStreamCaptureUnsupported, "a graph launched within a capture");
  ++s.counts.graphs;
  for (const char* p : exec->allocated) {
    if (!s.blocks[p].live) continue;
    if (!exec->frees) return refuse(cudaErrorInvalidValue, "a graph is launched again with memory not freed");
    (void)cudaFreeAsync(const_cast<char*>(p), stream);
  }
  for (const auto& work : exec->work) {
    const cudaError_t status = work();
    if (status != cudaSuccess) return result(status);
  }
  return cudaSuccess;
}

}  // extern "C"
