// SPDX-License-Identifier: Apache-2.0
// The stand-in that carries kernels out: what it computes, and that it sees what a GPU may not.
#include <array>
#include <cstring>
#include <fake_cuda/cases/check.hpp>
#include <hypersd/core/tensor.hpp>
#include <vector>

using namespace hypersd;
using fake_cuda::contains;

namespace {

/// A device that runs kernels; what was there at the start is there in the end.
struct Running {
  fake_cuda::Clean clean;
  explicit Running(bool backward = false) {
    fake_cuda::device().runs_kernels = true;
    fake_cuda::device().backward = backward;
  }
  ~Running() { fake_cuda::device() = {}; }
};

using Floats = Tensor<float, Cuda>;

template <class... P, class... A>
void start(void (*kernel)(P...), unsigned blocks, unsigned threads, A... arguments) {
  hypersd::detail::launch("test", {blocks, threads}, kernel, static_cast<P>(arguments)...);
}

/// The one fault of a launch, taken off the list.
template <class... P, class... A>
std::string fault_of(void (*kernel)(P...), unsigned blocks, unsigned threads, A... arguments) {
  start(kernel, blocks, threads, arguments...);
  CHECK_THROWS_AS(hypersd::detail::CudaContext::current().synchronise("test"), DeviceError);
  const auto all = fake_cuda::faults();
  fake_cuda::reset();
  return all.size() == 1 ? all[0] : "not one fault";
}

__global__ void add_one(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1.0F;
}
__global__ void sums(const float* x, float* y) {
  __shared__ float warps[2];
  float v = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (unsigned d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffffU, v, d);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = warps[0] + warps[1];
}
template <bool waits>
__global__ void neighbour(float* y) {
  __shared__ float shared[64];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (waits) __syncthreads();
  y[threadIdx.x] = shared[(threadIdx.x + 1) % 64];
}
__global__ void all_to_one(float* y) { y[0] = static_cast<float>(blockIdx.x); }
__global__ void half_waits(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 0;
}
__global__ void half_shuffles(float* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_down_sync(0xffffffffU, y[threadIdx.x], 1);
}
__global__ void crooked(float* y) { *reinterpret_cast<float4*>(y + 1) = float4{0, 0, 0, 0}; }
__global__ void unwritten(float* y) {
  __shared__ float shared[32];
  if (y[1] > 0) shared[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  if (threadIdx.x == 0) y[0] = shared[3];
}
__global__ void functions(const double* x, double* y, const float* f, float* g, const long long* n, long long* m) {
  const double a = x[0], b = x[1];
  y[0] = a / b, y[1] = sqrt(a), y[2] = fma(a, b, 1.0), y[3] = exp(b), y[4] = log(a), y[5] = floor(a);
  const float c = f[0], d = f[1];
  g[0] = c / d, g[1] = sqrtf(c), g[2] = expf(d), g[3] = sinf(1000.0F * c), g[4] = rsqrtf(c), g[5] = fminf(c, nanf(""));
  g[6] = log1pf(d), g[7] = erff(d), g[8] = powf(c, d), g[9] = tanhf(d), g[10] = rintf(2.5F * d);
  const long long i = n[0], j = n[1];
  m[0] = i / j, m[1] = i % j, m[2] = __mul64hi(i, j), m[3] = __popcll(static_cast<unsigned long long>(i)),
  m[4] = __clzll(j), m[5] = i >> 3, m[6] = static_cast<int>(i) / 3, m[7] = static_cast<unsigned char>(i);
}

__device__ unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

/// Copies 16 bytes a thread, the last `missing` of them as zeros, with or without waiting for them.
template <bool waits>
__global__ void copied(const float* x, float* y, int missing) {
  __shared__ alignas(16) float shared[32 * 4];
  const unsigned bytes = threadIdx.x == 31 ? 16 - 4 * static_cast<unsigned>(missing) : 16;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared + 4 * threadIdx.x)),
               "l"(x + 4 * threadIdx.x), "r"(bytes));
  asm volatile("cp.async.commit_group;");
  if (waits) asm volatile("cp.async.wait_group 0;");
  __syncthreads();
  for (int k = 0; k < 4; ++k) y[4 * threadIdx.x + k] = shared[(4 * threadIdx.x + k + 4) % 128];
}
/// Element (r, c) of matrix m is 64 m + 8 r + c.
__global__ void matrices(unsigned* y) {
  __shared__ alignas(16) unsigned short shared[4 * 64];
  for (int k = 0; k < 8; ++k) shared[8 * threadIdx.x + k] = static_cast<unsigned short>(8 * threadIdx.x + k);
  __syncthreads();
  unsigned a[4], b[2];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(shared_address(shared + 8 * threadIdx.x)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(b[0]), "=r"(b[1])
               : "r"(shared_address(shared + 8 * threadIdx.x)));
  for (int k = 0; k < 4; ++k) y[6 * threadIdx.x + k] = a[k];
  for (int k = 0; k < 2; ++k) y[6 * threadIdx.x + 4 + k] = b[k];
}

}  // namespace

TEST_CASE("Executed kernels: threads, blocks, shuffles and shared memory") {
  for (const bool backward : {false, true}) {
    const Running running(backward);
    std::vector<float> x(300);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    const auto on_device = Tensor<float>::from(Shape{300}, x).to<Cuda>();
    start(add_one, 3, 128, on_device.data(), 299);
    const auto got = on_device.to_vector();
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(got[i] == x[i] + (i < 299 ? 1.0F : 0.0F));

    const Floats y(Shape{4});
    start(sums, 4, 64, on_device.data(), y.data());
    for (std::size_t b = 0; b < 4; ++b) {
      float sum = 0;
      for (std::size_t i = 0; i < 64; ++i) sum += got[64 * b + i];
      CHECK(y.to_vector()[b] == sum);
    }
  }
}

TEST_CASE("Executed kernels: arithmetic is the host's") {
  const Running running;
  const double a = 7.3, b = -0.7;
  const float c = 2.7F, d = 0.6F;
  const long long i = -123456789012345LL, j = 97;
  const auto x = Tensor<double>::from(Shape{2}, std::vector<double>{a, b}).to<Cuda>();
  const auto f = Tensor<float>::from(Shape{2}, std::vector<float>{c, d}).to<Cuda>();
  const auto n = Tensor<double>(Shape{2});
  std::memcpy(n.data(), std::array{i, j}.data(), sizeof(i) * 2);
  const auto on_device = n.to<Cuda>();
  const Tensor<double, Cuda> y(Shape{6}), m(Shape{8});
  const Floats g(Shape{11});
  start(functions, 1, 1, x.data(), y.data(), f.data(), g.data(), reinterpret_cast<const long long*>(on_device.data()),
        reinterpret_cast<long long*>(m.data()));
  const std::vector<double> exact{a / b, std::sqrt(a), std::fma(a, b, 1.0), std::exp(b), std::log(a), std::floor(a)};
  const auto got = y.to_vector();
  for (std::size_t k = 0; k < exact.size(); ++k)
    CHECK(std::abs(got[k] - exact[k]) <= (k < 3 ? 0 : 1e-15 * std::abs(exact[k])));
  const std::vector<float> floats{
      c / d,         std::sqrt(c), std::exp(d),    std::sin(1000.0F * c), 1 / std::sqrt(c),   c,
      std::log1p(d), std::erf(d),  std::pow(c, d), std::tanh(d),          std::rint(2.5F * d)};
  const auto single = g.to_vector();
  for (std::size_t k = 0; k < floats.size(); ++k)
    CHECK(std::abs(single[k] - floats[k]) <= (k < 2 ? 0 : 1e-6F * std::abs(floats[k])));
  std::array<long long, 8> integers{};
  std::memcpy(integers.data(), m.to<Cpu>().data(), sizeof(integers));
  const std::array<long long, 8> expected{i / j,
                                          i % j,
                                          -1,
                                          __builtin_popcountll(static_cast<unsigned long long>(i)),
                                          57,
                                          i >> 3,
                                          static_cast<int>(i) / 3,
                                          static_cast<unsigned char>(i)};
  for (std::size_t k = 0; k < expected.size(); ++k) {
    CAPTURE(k);
    CHECK(integers[k] == expected[k]);
  }
}

TEST_CASE("Executed kernels: what a GPU would refuse or not define is a fault that names the line") {
  const Running running;
  const Floats y = Floats::full(Shape{64}, 0);
  start(neighbour<true>, 1, 64, y.data());
  CHECK(y.to_vector()[63] == 0);
  CHECK(y.to_vector()[5] == 6);
  CHECK(contains(fault_of(neighbour<false>, 1, 64, y.data()), "no barrier is between: st.shared"));
  CHECK(
      contains(fault_of(all_to_one, 2, 1, y.data()), "blocks use the same memory, and one of them writes: st.global"));
  CHECK(contains(fault_of(half_waits, 1, 64, y.data()), "others wait for it at a barrier"));
  CHECK(contains(fault_of(half_shuffles, 1, 32, y.data()), "not the lanes of the mask"));
  CHECK(contains(fault_of(crooked, 1, 1, y.data()), "not aligned: st.global.v4"));
  CHECK(contains(fault_of(add_one, 1, 65, y.data(), 65), "memory that is not allocated: ld.global"));
  CHECK(contains(fault_of(add_one, 1, 32, y.data() + 64, 1), "not allocated"));
  const Floats zeros = Floats::full(Shape{64}, 0);
  start(unwritten, 1, 32, zeros.data());
  CHECK(std::isnan(zeros.to_vector()[0]));
}

TEST_CASE("Executed kernels: asynchronous copies arrive when they are waited for") {
  const Running running;
  const Floats x = Floats::full(Shape{128}, 5), y(Shape{128});
  start(copied<true>, 1, 32, x.data(), y.data(), 3);
  const auto got = y.to_vector();
  CHECK(got[0] == 5);
  CHECK(got[120] == 5);
  CHECK(got[121] == 0);
  CHECK(got[124] == 5);
  start(copied<false>, 1, 32, x.data(), y.data(), 0);
  CHECK(std::isnan(y.to_vector()[0]));
}

TEST_CASE("Executed kernels: matrices are handed out as the PTX ISA has it") {
  const Running running;
  const Floats y(Shape{32 * 6});
  start(matrices, 1, 32, reinterpret_cast<unsigned*>(y.data()));
  std::array<unsigned, 32 * 6> got{};
  std::memcpy(got.data(), y.to<Cpu>().data(), sizeof(got));
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned row = lane / 4, col = lane % 4 * 2;
    for (unsigned m = 0; m < 4; ++m) {
      const unsigned e = 64 * m + 8 * row + col, turned = 64 * m + 8 * col + row;
      CHECK(got[6 * lane + m] == (e | (e + 1) << 16));
      if (m < 2) CHECK(got[6 * lane + 4 + m] == (turned | (turned + 8) << 16));
    }
  }
}

TEST_CASE("Executed kernels: a graph's, and memory that begins as NaN") {
  const Running running;
  CHECK(std::isnan(Floats(Shape{3}).to_vector()[2]));
  const Floats y = Floats::full(Shape{4}, 0);
  {
    const Graph<Cuda> graph([&] { start(add_one, 1, 32, y.data(), 4); });
    CHECK(y.to_vector()[0] == 0);
    for (int k = 0; k < 3; ++k) graph.launch();
  }
  CHECK(y.to_vector() == std::vector<float>{3, 3, 3, 3});
}
