// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <hypersd/core/storage_cuda.cuh>
#include <hypersd/ops/geometry.hpp>
#include <hypersd/ops/tf32.hpp>
#include <map>
#include <memory>
#include <tuple>

/// \file
/// Convolutions by cuDNN 9 or newer (https://docs.nvidia.com/deeplearning/cudnn); descriptors are created once for each
/// shape. Needs cudnn.h and the library.

namespace hypersd::ops::cudnn {

/// What is computed: the result of a convolution, or the gradient of its input or weight.
enum class Direction { forward, input_gradient, weight_gradient };

inline void check(cudnnStatus_t status, const char* op) {
  if (status != CUDNN_STATUS_SUCCESS) [[unlikely]]
    fail<DeviceError>(op, ": cuDNN error: ", cudnnGetErrorString(status));
}
/// True for errors of the category "not supported", after which the caller can take another implementation.
inline bool unsupported(cudnnStatus_t status) {
  return static_cast<int>(status) / 1000 * 1000 == static_cast<int>(CUDNN_STATUS_NOT_SUPPORTED);
}

/// A handle or descriptor with its lifetime.
template <class Handle, auto create, auto destroy>
class Owned {
 public:
  Owned() { check(create(&handle_), "conv2d"); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { (void)destroy(handle_); }
  [[nodiscard]] Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

template <class T>
inline constexpr bool has_type = std::same_as<T, float> || Narrow<T>;

template <class T>
constexpr cudnnDataType_t type_of() {
  if constexpr (std::same_as<T, float>) {
    return CUDNN_DATA_FLOAT;
  } else {
    return std::same_as<T, bfloat16> ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  }
}

/// Descriptors of a convolution and the first algorithm of cuDNN's heuristics that is deterministic and, for float,
/// does not round the operands to TF32 unless that is allowed.
class Plan {
 public:
  Plan(cudnnHandle_t handle, const Conv2dGeometry& g, Direction direction, cudnnDataType_t type, bool tf32)
      : direction_(direction) {
    constexpr const char* op = "conv2d";
    const auto n = [](std::int64_t size) { return static_cast<int>(size); };
    check(cudnnSetTensor4dDescriptor(x_.get(), CUDNN_TENSOR_NHWC, type, n(g.batch), n(g.in), n(g.height), n(g.width)),
          op);
    check(cudnnSetTensor4dDescriptor(y_.get(), CUDNN_TENSOR_NHWC, type, n(g.batch), n(g.out), n(g.out_height),
                                     n(g.out_width)),
          op);
    check(cudnnSetFilter4dDescriptor(w_.get(), type, CUDNN_TENSOR_NHWC, n(g.out), n(g.in), n(g.kernel_height),
                                     n(g.kernel_width)),
          op);
    check(cudnnSetConvolution2dDescriptor(conv_.get(), n(g.pad), n(g.pad), n(g.stride), n(g.stride), 1, 1,
                                          CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
          op);
    const bool exact = type == CUDNN_DATA_FLOAT && !tf32;
    check(cudnnSetConvolutionMathType(conv_.get(), exact                      ? CUDNN_FMA_MATH
                                                   : type == CUDNN_DATA_FLOAT ? CUDNN_DEFAULT_MATH
                                                                              : CUDNN_TENSOR_OP_MATH),
          op);
    switch (direction) {
      case Direction::forward:
        choose<cudnnConvolutionFwdAlgoPerf_t>(exact, [&](int requested, int* found, auto* best) {
          return cudnnGetConvolutionForwardAlgorithm_v7(handle, x_.get(), w_.get(), conv_.get(), y_.get(), requested,
                                                        found, best);
        });
        break;
      case Direction::input_gradient:
        choose<cudnnConvolutionBwdDataAlgoPerf_t>(exact, [&](int requested, int* found, auto* best) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, w_.get(), y_.get(), conv_.get(), x_.get(),
                                                             requested, found, best);
        });
        break;
      case Direction::weight_gradient:
        choose<cudnnConvolutionBwdFilterAlgoPerf_t>(exact, [&](int requested, int* found, auto* best) {
          return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, x_.get(), y_.get(), conv_.get(), w_.get(),
                                                               requested, found, best);
        });
        break;
    }
  }

  /// Enqueues it: (x, w) -> y, (gy, w) -> gx or (gy, x) -> gw. False, with nothing enqueued, if cuDNN does not support
  /// it.
  bool run(cudnnHandle_t handle, const void* first, const void* second, void* result) {
    if (!found_) return false;
    const float one = 1, zero = 0;
    const auto memory = Memory<Cuda>::allocate(workspace_);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (direction_) {
      case Direction::forward:
        status = cudnnConvolutionForward(handle, &one, x_.get(), first, w_.get(), second, conv_.get(),
                                         static_cast<cudnnConvolutionFwdAlgo_t>(algorithm_), memory.get(), workspace_,
                                         &zero, y_.get(), result);
        break;
      case Direction::input_gradient:
        status = cudnnConvolutionBackwardData(handle, &one, w_.get(), second, y_.get(), first, conv_.get(),
                                              static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm_), memory.get(),
                                              workspace_, &zero, x_.get(), result);
        break;
      case Direction::weight_gradient:
        status = cudnnConvolutionBackwardFilter(handle, &one, x_.get(), second, y_.get(), first, conv_.get(),
                                                static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm_), memory.get(),
                                                workspace_, &zero, w_.get(), result);
        break;
    }
    found_ = !unsupported(status);
    if (found_) check(status, "conv2d");
    return found_;
  }

 private:
  using Tensor4 = Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
  using Filter = Owned<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
  using Convolution =
      Owned<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

  template <class Found, class F>
  void choose(bool exact, F&& heuristics) {
    std::array<Found, 16> best{};
    int count = 0;
    const cudnnStatus_t status = heuristics(static_cast<int>(best.size()), &count, best.data());
    if (unsupported(status)) return;
    check(status, "conv2d");
    const auto fits = [exact](const Found& f) {
      return f.status == CUDNN_STATUS_SUCCESS && f.determinism == CUDNN_DETERMINISTIC &&
             f.memory <= std::size_t{1} << 30 && (!exact || f.mathType == CUDNN_FMA_MATH);
    };
    const auto end = best.begin() + std::clamp(count, 0, static_cast<int>(best.size()));
    const auto first = std::find_if(best.begin(), end, fits);
    if (first == end) return;
    found_ = true;
    algorithm_ = static_cast<int>(first->algo);
    workspace_ = first->memory;
    check(cudnnSetConvolutionMathType(conv_.get(), first->mathType), "conv2d");
  }

  Direction direction_;
  Tensor4 x_, y_;
  Filter w_;
  Convolution conv_;
  bool found_ = false;
  int algorithm_ = 0;
  std::size_t workspace_ = 0;
};

/// Key of a plan.
using Key = std::tuple<std::array<std::int64_t, 11>, Direction, cudnnDataType_t, bool>;
template <class T>
Key key_of(const Conv2dGeometry& g, Direction direction) {
  return {{g.batch, g.height, g.width, g.in, g.out, g.kernel_height, g.kernel_width, g.stride, g.pad, g.out_height,
           g.out_width},
          direction,
          type_of<T>(),
          std::same_as<T, float> && ops::detail::tf32_allowed()};
}

/// The cuDNN handle and plans of one host thread.
struct Library {
  Owned<cudnnHandle_t, cudnnCreate, cudnnDestroy> handle;
  std::map<Key, Plan> plans;
  std::map<Key, bool> faster;  ///< than im2col and matmul

  /// On the thread's stream; null during a capture if not used before, since creating it allocates and synchronizes.
  static Library* current() {
    auto& context = hypersd::detail::CudaContext::current();  // first, so that it outlives the library
    thread_local std::unique_ptr<Library> library;
    if (!library) {
      if (hypersd::detail::current_capture()) return nullptr;
      library = std::make_unique<Library>();
    }
    check(cudnnSetStream(library->handle.get(), context.stream()), "conv2d");
    return library.get();
  }
};

/// True for convolutions that cuDNN may do: not 1x1 convolutions, which are one matmul, asymmetric padding, empty
/// tensors, or more elements than 32 bits count.
inline bool fits(const Conv2dGeometry& g) {
  constexpr std::int64_t limit = 2147483647;
  const std::int64_t x = g.batch * g.height * g.width * g.in, y = g.batch * g.positions() * g.out;
  const std::int64_t w = g.out * g.depth();
  return !g.pointwise() && g.symmetric() && std::min({x, y, w}) > 0 && std::max({x, y, w}) <= limit;
}

/// Enqueues (x, w) -> y, (gy, w) -> gx or (gy, x) -> gw; false if another implementation has to be taken.
template <Direction direction, class T>
bool convolve(const Conv2dGeometry& g, const T* first, const T* second, T* result) {
  if constexpr (has_type<T>) {
    if (!fits(g)) return false;
    Library* library = Library::current();
    if (!library) return false;
    const Key key = key_of<T>(g, direction);
    const auto plan =
        library->plans
            .try_emplace(key, library->handle.get(), g, direction, std::get<cudnnDataType_t>(key), std::get<bool>(key))
            .first;
    if (!plan->second.run(library->handle.get(), first, second, result)) return false;
    hypersd::detail::CudaContext::current().enqueued("conv2d");
    return true;
  } else {
    return false;
  }
}

}  // namespace hypersd::ops::cudnn
