// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<nccl.h>)
#include <nccl.h>

#include <exception>
#include <hypersd/core/context_cuda.cuh>
#include <hypersd/dist/group.hpp>

/// \file
/// Reductions between GPUs by NCCL (2.10 or newer). Empty if nccl.h is not found.

namespace hypersd::dist {

/// One process per GPU. NCCL reduces memory of the current CUDA device in the order of the thread's stream. Host memory
/// goes through `host`, which also broadcasts the unique id of NCCL. Call `cudaSetDevice` first. Errors are
/// CommunicationError with the rank.
class Nccl {
 public:
  /// All ranks of `host` call this. The communicator of `host` must outlive this object.
  explicit Nccl(Group host) : host_(host) {
    ncclUniqueId id{};
    host_.on_root([&] { check(ncclGetUniqueId(&id), "ncclGetUniqueId"); });
    id = host_.shared(id);
    check(ncclCommInitRank(&comm_, host_.size(), id, host_.rank()), "ncclCommInitRank");
  }
  /// Waits for the other ranks, except during stack unwinding.
  ~Nccl() {
    if (std::uncaught_exceptions() > exceptions_)
      (void)ncclCommAbort(comm_);
    else
      (void)ncclCommDestroy(comm_);
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  [[nodiscard]] int rank() const { return host_.rank(); }
  [[nodiscard]] int size() const { return host_.size(); }

  /// Enqueues a reduction on the thread's stream; returns at once.
  void all_reduce_device(float* data, std::int64_t n, Reduce how) const { reduce(data, n, ncclFloat32, how); }
  void all_reduce_device(double* data, std::int64_t n, Reduce how) const { reduce(data, n, ncclFloat64, how); }
  template <Real T>
  void all_reduce(std::span<T> values, Reduce how) const {
    host_.all_reduce(values, how);
  }
  void broadcast(std::span<std::byte> bytes, int root) const { host_.broadcast(bytes, root); }
  void barrier() const { host_.barrier(); }

 private:
  void reduce(void* data, std::int64_t n, ncclDataType_t type, Reduce how) const {
    check(ncclAllReduce(data, data, static_cast<std::size_t>(n), type, how == Reduce::mean ? ncclAvg : ncclSum, comm_,
                        hypersd::detail::CudaContext::current().stream()),
          "ncclAllReduce");
  }
  void check(ncclResult_t status, const char* what) const {
    if (status != ncclSuccess) [[unlikely]]
      fail<CommunicationError>("rank ", rank(), " of ", size(), ": ", what, ": ", ncclGetErrorString(status));
  }

  Group host_;
  ncclComm_t comm_ = nullptr;
  int exceptions_ = std::uncaught_exceptions();
};
static_assert(DeviceCommunicator<Nccl>);

}  // namespace hypersd::dist
#endif
