// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/error_cuda.cuh>
#include <hypersd/ops/conv2d.hpp>
#include <hypersd/ops/cuda/cudnn_plan.cuh>

/// \file
/// Devices whose convolutions are those of cuDNN: `nn::Unet<bfloat16, ops::cudnn::Fastest>`. All other operations are
/// those of `Cuda`, and `t.to<ops::cudnn::Fastest>()` of a tensor of `Cuda`, and back, shares its storage.

namespace hypersd::ops::cudnn {

/// `Cuda` with the convolutions of cuDNN, forward and backward pass, in float, bfloat16 and half. What cuDNN does not
/// support or `fits` excludes runs as on `Cuda`; so do convolutions during a capture if the thread has not used cuDNN
/// before.
struct Always : Cuda {};

/// `Cuda` with the faster of cuDNN and im2col. The first convolution of a shape by a thread runs both and is timed,
/// which synchronizes; during a capture it runs as on `Cuda` and nothing is decided. The decision may differ in the
/// next run, and with it the last bits of the result.
struct Fastest : Cuda {};

/// Measures time on the thread's stream with CUDA events.
class Stopwatch {
 public:
  Stopwatch() {
    for (cudaEvent_t& e : events_) hypersd::detail::cuda_check(cudaEventCreate(&e), "conv2d");
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    for (const cudaEvent_t e : events_)
      if (e) (void)cudaEventDestroy(e);
  }
  /// Milliseconds of three times `f()`. Synchronizes.
  template <class F>
  float time(F&& f) {
    auto& context = hypersd::detail::CudaContext::current();
    hypersd::detail::cuda_check(cudaEventRecord(events_[0], context.stream()), "conv2d");
    for (int i = 0; i < 3; ++i) f();
    hypersd::detail::cuda_check(cudaEventRecord(events_[1], context.stream()), "conv2d");
    context.synchronise("conv2d");
    float ms = 0;
    hypersd::detail::cuda_check(cudaEventElapsedTime(&ms, events_[0], events_[1]), "conv2d");
    return ms;
  }

 private:
  cudaEvent_t events_[2] = {};
};

/// Runs `cudnn()`, which returns false if it is not supported, or `patches()`: see `Fastest`.
template <Direction direction, class T, class F, class G>
void choose(const Conv2dGeometry& g, F&& cudnn, G&& patches) {
  Library* library = has_type<T> && fits(g) ? Library::current() : nullptr;
  if (!library) return patches();
  const Key key = key_of<T>(g, direction);
  const auto known = library->faster.find(key);
  if (known == library->faster.end()) {
    if (hypersd::detail::current_capture()) return patches();
    patches();  // the first call of each, with its set-up, is not timed
    bool wins = cudnn();
    if (wins) {
      Stopwatch watch;
      const float theirs = watch.time(cudnn);
      wins = theirs < watch.time(patches);
    }
    if (!library->faster.emplace(key, wins).first->second) return;  // the result of `patches` was written last
    (void)cudnn();
  } else if (!known->second || !cudnn()) {
    patches();
  }
}

template <class T>
bool conv2d_with_bias(const Conv2dGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  if (!convolve<Direction::forward>(g, x, w, y)) return false;
  const std::int64_t rows = g.batch * g.positions();
  if (bias)
    backend::map(Cuda{}, y, ops::detail::Layout{rows, g.out}, Add{}, FullOperand<T>{y}, ColumnOperand<T>{bias, rows});
  return true;
}

// Found by argument-dependent lookup from ops/conv2d.hpp.

template <class T>
void conv2d(const Always&, const Conv2dGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  if (!conv2d_with_bias(g, x, w, bias, y)) backend::conv2d(Cuda{}, g, x, w, bias, y);
}
template <class T>
void conv2d_input_gradient(const Always&, const Conv2dGeometry& g, const T* gy, const T* w, T* gx) {
  if (!convolve<Direction::input_gradient>(g, gy, w, gx)) backend::conv2d_input_gradient(Cuda{}, g, gy, w, gx);
}
template <class T>
void conv2d_weight_gradient(const Always&, const Conv2dGeometry& g, const T* gy, const T* x, T* gw) {
  if (!convolve<Direction::weight_gradient>(g, gy, x, gw)) backend::conv2d_weight_gradient(Cuda{}, g, gy, x, gw);
}

template <class T>
void conv2d(const Fastest&, const Conv2dGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  choose<Direction::forward, T>(
      g, [&] { return conv2d_with_bias(g, x, w, bias, y); }, [&] { backend::conv2d(Cuda{}, g, x, w, bias, y); });
}
template <class T>
void conv2d_input_gradient(const Fastest&, const Conv2dGeometry& g, const T* gy, const T* w, T* gx) {
  choose<Direction::input_gradient, T>(
      g, [&] { return convolve<Direction::input_gradient>(g, gy, w, gx); },
      [&] { backend::conv2d_input_gradient(Cuda{}, g, gy, w, gx); });
}
template <class T>
void conv2d_weight_gradient(const Fastest&, const Conv2dGeometry& g, const T* gy, const T* x, T* gw) {
  choose<Direction::weight_gradient, T>(
      g, [&] { return convolve<Direction::weight_gradient>(g, gy, x, gw); },
      [&] { backend::conv2d_weight_gradient(Cuda{}, g, gy, x, gw); });
}

}  // namespace hypersd::ops::cudnn
