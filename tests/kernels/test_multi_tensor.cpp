// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <hypersd/ops/random.hpp>
#include <hypersd/optim/multi_tensor.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace hypersd::optim;
using emulated::Kernels;

namespace {

/// Counts how often an element is visited, beside a value of another type.
struct Visit {
  HYPERSD_HD void operator()(std::int32_t& count, double& value) const {
    ++count;
    value += 0.5;
  }
};
struct Weighted {
  float weight;
  template <class T>
  HYPERSD_HD double operator()(T x) const {
    return static_cast<double>(weight) * static_cast<double>(x);
  }
};

const std::vector<std::int64_t> sizes{1, 0, 8192, 8193, 3, 20000, 0, 5, 16384, 1};

template <class D>
std::vector<Tensor<std::int32_t>> visited() {
  std::vector<Segment<Visit, std::int32_t, double>> segments;
  std::vector<Tensor<std::int32_t, D>> counts;
  std::vector<Tensor<double, D>> values;
  for (const std::int64_t n : sizes) {
    counts.push_back(Tensor<std::int32_t, D>::zeros(Shape{n}));
    values.push_back(Tensor<double, D>::zeros(Shape{n}));
    segments.push_back({{counts.back().data(), values.back().data()}, n, {}});
  }
  multi_update<D>(segments);
  std::vector<Tensor<std::int32_t>> out;
  for (const auto& c : counts) out.push_back(c.template to<Cpu>());
  return out;
}

template <class D>
double summed() {
  std::vector<Segment<Weighted, float>> segments;
  std::vector<Tensor<float, D>> values;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    values.push_back(ops::normal<float>(Shape{sizes[i]}, stream(1, "x", i)).template to<D>());
    segments.push_back({{values.back().data()}, sizes[i], {static_cast<float>(i) + 1}});
  }
  return multi_sum<D>(segments);
}

/// Blocks of all packs of segments of these sizes: every element must be in exactly one piece of its own segment.
template <std::size_t bytes>
void check_packs(const std::vector<std::int64_t>& lengths) {
  using S = Segment<Visit, std::int32_t, double>;
  std::vector<S> segments;
  for (const std::int64_t n : lengths) segments.push_back({{nullptr, nullptr}, n, {}});
  std::span<const S> rest(segments);
  SegmentPack<S, bytes> pack{};
  static_assert(sizeof(pack) <= bytes);
  std::size_t first = 0;
  while (!rest.empty()) {
    rest = pack.fill(rest);
    std::vector<std::int64_t> next(static_cast<std::size_t>(pack.count), 0);
    std::int64_t wrong = 0;
    for (std::int64_t b = 0; b < pack.blocks(); ++b) {
      const std::int64_t i = pack.segment_of(b);
      const ops::launch::Range piece = pack.piece(i, b);
      std::int64_t& at = next[static_cast<std::size_t>(i)];
      wrong += piece.begin != at || piece.end <= piece.begin;
      at = piece.end;
    }
    CHECK(wrong == 0);
    for (std::size_t i = 0; i < next.size(); ++i) CHECK(next[i] == lengths[first + i]);
    first += next.size();
  }
  CHECK(first == lengths.size());
}

}  // namespace

TEST_CASE("Updates of many tensors visit every element once, in however many launches") {
  for (const auto& counts : visited<Kernels>())
    for (const std::int32_t c : counts.span()) REQUIRE(c == 1);
  check_packs<multi_arguments>(sizes);
  check_packs<64>(sizes);   // one segment a launch
  check_packs<144>(sizes);  // three
}

TEST_CASE("Tensors beyond 2^31 elements are cut into pieces without overflow") {
  check_packs<multi_arguments>({5, (std::int64_t{1} << 31) + 12345, std::int64_t{3} << 31, 1});
}

TEST_CASE("Sums over many tensors are the CPU's, and do not depend on the order of threads") {
  const double expected = summed<Cpu>(), got = summed<Kernels>();
  CHECK(got == doctest::Approx(expected).epsilon(1e-12));
  emulated::backward = true;
  CHECK(summed<Kernels>() == got);
  emulated::backward = false;
  CHECK(multi_sum<Kernels>(std::vector<Segment<Weighted, float>>{}) == 0);
}
