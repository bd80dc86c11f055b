// SPDX-License-Identifier: Apache-2.0
#include <fake_cuda/cases/check.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/interop/dlpack.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/reduce.hpp>

using namespace hypersd;
using fake_cuda::Clean;
using fake_cuda::contains;
using Array = Tensor<float, Cuda>;

TEST_CASE("a program sees what it has launched, copied and waited for") {
  const Clean clean;
  const CudaCounts before = cuda_counts();
  const auto x = Array::from({3}, {1, 2, 3});
  const Array y = ops::map(ops::Add{}, x, x), z = x.clone();
  CudaCounts now = cuda_counts();
  CHECK(now.launches - before.launches == 1);
  CHECK(now.uploads - before.uploads == 1);
  CHECK(now.downloads == before.downloads);
  CHECK(now.synchronisations == before.synchronisations);
  CHECK(z.to_vector() == std::vector<float>{1, 2, 3});
  now = cuda_counts();
  CHECK(now.downloads - before.downloads == 1);
  CHECK(now.synchronisations - before.synchronisations == 1);
  // The library's counts are those of the runtime.
  CHECK(fake_cuda::counts().kernels == 1);
  CHECK(fake_cuda::counts().uploads == 1);
  CHECK(fake_cuda::counts().downloads == 1);
  CHECK(fake_cuda::counts().synchronisations == 1);
  REQUIRE(fake_cuda::kernels().size() == 1);
  CHECK(contains(fake_cuda::kernels()[0], "hypersd::ops::Add"));
}

TEST_CASE("counts are a thread's own") {
  const Clean clean;
  const CudaCounts before = cuda_counts();
  CudaCounts theirs;
  std::thread([&] {
    (void)Array::zeros({8});
    theirs = cuda_counts();
  }).join();
  CHECK(theirs.launches == 1);
  CHECK(cuda_counts().launches == before.launches);
}

TEST_CASE("DLPack: memory of the GPU goes out and comes in with its device, and the GPU is waited for") {
  const Clean clean;
  const auto x = Array::from({3}, {1, 2, 3});
  CudaCounts before = cuda_counts();
  auto managed = interop::to_dlpack(x);
  CHECK(cuda_counts().synchronisations - before.synchronisations == 1);
  CHECK(managed->array.device == interop::dlpack::Device{interop::dlpack::DeviceType::Cuda, 0});
  CHECK_THROWS_AS((interop::from_dlpack<float, Cpu>(managed.get())), DeviceError);
  {
    const auto back = interop::from_dlpack<float, Cuda>(managed.release());
    CHECK(back.data() == x.data());
    before = cuda_counts();
  }
  CHECK(cuda_counts().synchronisations - before.synchronisations == 1);  // before the owner may reuse the memory
  CHECK(x.unique());
  const Tensor<float> host = Tensor<float>::ones({3});
  managed = interop::to_dlpack(host);
  CHECK_THROWS_AS((interop::from_dlpack<float, Cuda>(managed.get())), DeviceError);
}

TEST_CASE("no device: the error says so and what is needed") {
  const Clean clean;
  fake_cuda::device().present = false;
  const std::string error = fake_cuda::device_error_of_new_thread([] { (void)Array(Shape{1}); });
  CHECK(contains(error, "no usable CUDA device"));
  CHECK(contains(error, "no CUDA-capable device is detected"));
  CHECK(contains(error, "compute capability " + detail::capability_text(detail::compiled_capabilities[0] / 100, 0)));
  CHECK(contains(error, "the driver here is for CUDA 0.0"));
  fake_cuda::device().present = true;  // a device that comes back is used
  CHECK(fake_cuda::device_error_of_new_thread([] { (void)Array(Shape{1}); }).empty());
}

TEST_CASE("a device that is too old is named with its capability and those of the program") {
  const Clean clean;
  fake_cuda::device().major = 7;
  fake_cuda::device().minor = 5;
  const std::string error = fake_cuda::device_error_of_new_thread([] { (void)Array(Shape{1}); });
  CHECK(contains(error, "CUDA device 0, Stand-in GPU, is too old: it has compute capability 7.5"));
  CHECK(contains(error, "compiled for " + detail::compiled_for()));
}

TEST_CASE("a device for which the program holds no code is told what it was compiled for") {
  const Clean clean;
  const Array x(Shape{4});
  fake_cuda::device().runs_program = false;
  CHECK(fake_cuda::device_error([&] { x.fill(1); }) ==
        "fill: this GPU cannot run what was compiled for compute capability " + detail::compiled_for() +
            "; compile for it with nvcc -arch=native");
}

TEST_CASE("out of memory: the pool is released first, the error has the numbers, and smaller work goes on") {
  const Clean clean;
  Memory<Cuda>::release_pool();
  fake_cuda::device().memory = 1000;
  {
    const Array kept(Shape{50});  // 200 bytes
    { const Array dropped(Shape{150}); }
    CHECK(fake_cuda::pooled() == 600);
    const Array fits(Shape{175});  // 700 bytes: only once the pooled 600 are released
    CHECK(fake_cuda::pooled() == 0);
  }
  CHECK(fake_cuda::pooled() == 900);
  const Array kept(Shape{50});  // from the pool
  const std::string error = fake_cuda::device_error([] { (void)Array(Shape{1000}); });
  CHECK(error ==
        "out of GPU memory: 4000 bytes asked; 800 of 1000 bytes free on the device, 200 bytes pooled, 200 of them in "
        "use");
  CHECK(fake_cuda::device_error([] { (void)Array::zeros(Shape{100}); }).empty());
}

TEST_CASE("an error in a kernel has its operation's name where kernels are checked") {
  const Clean clean;
  const auto x = Array::zeros({4});
  fake_cuda::fail_kernels("hypersd::ops::Add");
  const auto wrong = [&] {
    const Array y = ops::map(ops::Add{}, x, x);
    return ops::sum(y).item();
  };
  CHECK(contains(fake_cuda::device_error(wrong), "copy to host: CUDA error cudaErrorIllegalAddress"));
  check_cuda_kernels(true);
  CHECK(contains(fake_cuda::device_error(wrong), "map: CUDA error cudaErrorIllegalAddress"));
  check_cuda_kernels(false);
  fake_cuda::fail_kernels("");
  CHECK(fake_cuda::device_error(wrong).empty());
}

TEST_CASE("a launch that the device refuses is an error of its operation") {
  const Clean clean;
  const auto x = Array::zeros({4});
  const auto refused = [&] {
    detail::launch("too_wide", {1, 2048}, detail::fill_kernel<float>, x.data(), 1.0F, x.size());
  };
  CHECK(contains(fake_cuda::device_error(refused), "too_wide: CUDA error cudaErrorInvalidConfiguration"));
  CHECK(fake_cuda::faults().size() == 1);
  fake_cuda::reset();
  CHECK(fake_cuda::device_error([&] { x.fill(2); }).empty());  // and is told once
}
