// SPDX-License-Identifier: Apache-2.0
/// One prediction of a UNet with the sizes of Stable Diffusion 1.5 at 64 x 64 latents (images of 512 pixels) and 77
/// text tokens, in bfloat16 and float32, for one image and for eight: as a CUDA graph, and kernel by kernel.

#if defined(HYPERSD_HAS_CUDNN)
#include <hypersd/ops/cuda/conv2d_cudnn.cuh>
#endif
#include <hypersd/core/graph.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>
#include <string>

#include "timing.hpp"

using namespace hypersd;

namespace {

template <class T, class D>
void measure(const std::string& kind) {
  nn::Unet<T, D> unet(nn::UnetConfig::sd15());
  nn::init_parameters(unet, 1);
  const autograd::NoGrad guard;
  for (const std::int64_t batch : {1, 8}) {
    const Stream s = stream(1, "bench");
    const Var<T, D> x(ops::cast<T>(ops::normal<float, D>(Shape{batch, 64, 64, 4}, s)));
    const auto t = Numbers<T, D>::full(Shape{batch}, 499);
    const nn::UnetCondition<T, D> text{
        Var<T, D>(ops::cast<T>(ops::normal<float, D>(Shape{batch, 77, 768}, s, 1 << 22))), {}};
    Tensor<T, D> out;
    const auto predict = [&] { out = unet(x, t, text).value(); };
    const std::string name = "unet_" + kind + "_" + std::to_string(batch);
    bench::print((name + "_launches").c_str(), bench::milliseconds(predict, 20, 5), "", 0);
    const Graph<D> graph(predict);
    bench::print(name.c_str(), bench::milliseconds([&] { graph.launch(); }, 20, 5), "", 0);
  }
}

}  // namespace

int main() {
  if (!bench::have_device("unet")) return 77;
  measure<bfloat16, Cuda>("bfloat16");
#if defined(HYPERSD_HAS_CUDNN)
  measure<bfloat16, ops::cudnn::Fastest>("cudnn_bfloat16");
#endif
  measure<float, Cuda>("float32");
}
