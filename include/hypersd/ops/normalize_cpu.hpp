// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/functors.hpp>
#include <type_traits>
#include <vector>

namespace hypersd::ops {

/// Fused after a normalisation.
enum class Activation { none, silu };

/// Sizes of one group normalisation: x is [batch, positions, channels].
struct GroupNormGeometry {
  std::int64_t batch, positions, channels, groups;
  [[nodiscard]] std::int64_t per_group() const { return channels / groups; }
  [[nodiscard]] std::int64_t sample() const { return positions * channels; }
};

/// Slabs of rows over which the parameter gradients of a layer normalisation are summed apart.
inline std::int64_t layer_norm_slabs(std::int64_t rows) { return std::clamp<std::int64_t>(rows / 256, 1, 32); }

namespace backend {

/// Calls f(width, first) for tiles of channels; the width is a compile-time constant, so that a tile's sums and
/// coefficients stay in registers while its positions go by.
template <int widest, class F>
void for_channel_tiles(std::int64_t channels, F&& f) {
  std::int64_t c = 0;
  for (; c + widest <= channels; c += widest) f(std::integral_constant<int, widest>{}, c);
  if constexpr (widest > 32)
    for (; c + 32 <= channels; c += 32) f(std::integral_constant<int, 32>{}, c);
  for (; c + 16 <= channels; c += 16) f(std::integral_constant<int, 16>{}, c);
  for (; c + 4 <= channels; c += 4) f(std::integral_constant<int, 4>{}, c);
  for (; c < channels; ++c) f(std::integral_constant<int, 1>{}, c);
}

/// Adds sums of x - pivot and its square over `rows` positions to `sum` and `square`. The pivot (the sample's first
/// position) keeps one pass accurate for data far from zero; every 64 positions the sums move on to double.
template <int width, class T>
void add_moments(const T* x, std::int64_t rows, std::int64_t stride, const T* pivot, double* sum, double* square) {
  T k[width];
  std::copy(pivot, pivot + width, k);
  for (std::int64_t begin = 0; begin < rows; begin += 64) {
    T s[width] = {}, q[width] = {};
    const std::int64_t end = std::min(rows, begin + 64);
    for (std::int64_t r = begin; r < end; ++r, x += stride) {
      for (int c = 0; c < width; ++c) {
        const T d = x[c] - k[c];
        s[c] += d;
        q[c] += d * d;
      }
    }
    for (int c = 0; c < width; ++c) sum[c] += static_cast<double>(s[c]);
    for (int c = 0; c < width; ++c) square[c] += static_cast<double>(q[c]);
  }
}

/// y = act(scale x + shift).
template <int width, Activation activation, class T>
void apply_scale_shift(const T* x, T* y, std::int64_t rows, std::int64_t stride, const T* scale, const T* shift) {
  T a[width], b[width];
  std::copy(scale, scale + width, a);
  std::copy(shift, shift + width, b);
  for (std::int64_t r = 0; r < rows; ++r, x += stride, y += stride) {
    for (int c = 0; c < width; ++c) {
      const T z = a[c] * x[c] + b[c];
      if constexpr (activation == Activation::silu) y[c] = Silu{}(z);
      else y[c] = z;
    }
  }
}

/// Gradient at the normalised value into `gz` (only where there is an activation; it is `gy` otherwise), and its sums
/// with 1 and with xhat = r x + m.
template <int width, Activation activation, class T>
void add_gradient_sums(const T* gy, const T* x, T* gz, std::int64_t rows, std::int64_t stride, const T* coefficient,
                       std::int64_t channels, double* sum, double* product) {
  const T* r = coefficient;
  const T* m = r + channels;
  const T* gamma = m + channels;
  const T* beta = gamma + channels;
  for (std::int64_t begin = 0; begin < rows; begin += 64) {
    T s[width] = {}, p[width] = {};
    const std::int64_t end = std::min(rows, begin + 64);
    for (std::int64_t row = begin; row < end; ++row, x += stride, gy += stride, gz += stride) {
      for (int c = 0; c < width; ++c) {
        const T xhat = r[c] * x[c] + m[c];
        T g = gy[c];
        if constexpr (activation == Activation::silu) {
          g *= Silu{}.template d<0>(gamma[c] * xhat + beta[c]);
          gz[c] = g;
        }
        s[c] += g;
        p[c] += g * xhat;
      }
    }
    for (int c = 0; c < width; ++c) sum[c] += static_cast<double>(s[c]);
    for (int c = 0; c < width; ++c) product[c] += static_cast<double>(p[c]);
  }
}

/// gx = a gz + b x + d; gz may be gx.
template <int width, class T>
void apply_gradient(const T* gz, const T* x, T* gx, std::int64_t rows, std::int64_t stride, const T* coefficient,
                    std::int64_t channels) {
  T a[width], b[width], d[width];
  std::copy_n(coefficient, width, a);
  std::copy_n(coefficient + channels, width, b);
  std::copy_n(coefficient + 2 * channels, width, d);
  for (std::int64_t r = 0; r < rows; ++r, gz += stride, x += stride, gx += stride)
    for (int c = 0; c < width; ++c) gx[c] = a[c] * gz[c] + (b[c] * x[c] + d[c]);
}

/// Runs first(b, begin, end, sums), then middle(b, sums, coefficients), then last(b, begin, end, coefficients) for every
/// sample b and ranges of its positions. Large samples of a small batch are cut, so that all threads have work; the
/// cuts and the order in which their sums are added depend on the shape alone.
template <class T, class First, class Middle, class Last>
void two_passes(const GroupNormGeometry& g, std::int64_t sums, std::int64_t coefficients, First&& first,
                Middle&& middle, Last&& last) {
  const std::int64_t rows = std::clamp<std::int64_t>(32768 / std::max<std::int64_t>(1, g.channels), 1,
                                                     std::max<std::int64_t>(1, g.positions));
  const std::int64_t cuts = (g.positions + rows - 1) / rows;
  const auto width = static_cast<std::size_t>(sums), depth = static_cast<std::size_t>(coefficients);
  if (cuts <= 1 || g.batch >= 16) {
    parallel_for(g.batch, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, g.sample())),
                 [&](std::int64_t begin, std::int64_t end) {
                   std::vector<double> sum(width);
                   std::vector<T> coefficient(depth);
                   for (std::int64_t b = begin; b < end; ++b) {
                     std::fill(sum.begin(), sum.end(), 0.0);
                     first(b, 0, g.positions, sum.data());
                     middle(b, sum.data(), coefficient.data());
                     last(b, 0, g.positions, coefficient.data());
                   }
                 });
    return;
  }
  std::vector<double> parts(width * static_cast<std::size_t>(g.batch * cuts), 0.0);
  std::vector<T> coefficient(depth * static_cast<std::size_t>(g.batch));
  parallel_for(g.batch * cuts, 1, [&](std::int64_t i, std::int64_t) {
    const std::int64_t begin = i % cuts * rows;
    first(i / cuts, begin, std::min(g.positions, begin + rows), parts.data() + i * sums);
  });
  for (std::int64_t b = 0; b < g.batch; ++b) {
    double* total = parts.data() + b * cuts * sums;
    for (std::int64_t j = 1; j < cuts; ++j)
      for (std::int64_t c = 0; c < sums; ++c) total[c] += total[j * sums + c];
    middle(b, total, coefficient.data() + b * coefficients);
  }
  parallel_for(g.batch * cuts, 1, [&](std::int64_t i, std::int64_t) {
    const std::int64_t begin = i % cuts * rows;
    last(i / cuts, begin, std::min(g.positions, begin + rows), coefficient.data() + i / cuts * coefficients);
  });
}

template <class T>
void group_norm(const Cpu&, const GroupNormGeometry& g, const T* x, const T* gamma, const T* beta, double eps,
                Activation activation, T* y, T* mean, T* rstd) {
  const std::int64_t channels = g.channels, per = g.per_group();
  const double n = static_cast<double>(g.positions), size = n * static_cast<double>(per);
  two_passes<T>(
      g, 2 * channels, 2 * channels,
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, double* sum) {
        const T* sample = x + b * g.sample();
        for_channel_tiles<64>(channels, [&](auto width, std::int64_t c) {
          add_moments<decltype(width)::value>(sample + begin * channels + c, end - begin, channels, sample + c,
                                              sum + c, sum + channels + c);
        });
      },
      [&](std::int64_t b, double* sum, T* coefficient) {
        const T* pivot = x + b * g.sample();
        double* square = sum + channels;
        for (std::int64_t c = 0; c < channels; ++c) {  // to mean and sum of squared deviations of each channel
          const double shift = sum[c] / n;
          square[c] -= shift * sum[c];
          sum[c] = static_cast<double>(pivot[c]) + shift;
        }
        for (std::int64_t group = 0; group < g.groups; ++group) {
          const double* s = sum + group * per;
          const double* q = square + group * per;
          double center = 0, total = 0, between = 0;
          for (std::int64_t c = 0; c < per; ++c) center += s[c];
          center /= static_cast<double>(per);
          for (std::int64_t c = 0; c < per; ++c) total += q[c];
          for (std::int64_t c = 0; c < per; ++c) between += (s[c] - center) * (s[c] - center);
          const double inverse = 1.0 / std::sqrt(std::max(0.0, (total + n * between) / size) + eps);
          mean[b * g.groups + group] = static_cast<T>(center);
          rstd[b * g.groups + group] = static_cast<T>(inverse);
          const T scale = static_cast<T>(inverse), offset = static_cast<T>(-center * inverse);
          for (std::int64_t c = group * per; c < (group + 1) * per; ++c) {
            const T factor = gamma ? gamma[c] : T(1);
            coefficient[c] = factor * scale;
            coefficient[channels + c] = factor * offset + (beta ? beta[c] : T(0));
          }
        }
      },
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, const T* coefficient) {
        const std::int64_t at = b * g.sample() + begin * channels;
        for_channel_tiles<64>(channels, [&](auto width, std::int64_t c) {
          constexpr int w = decltype(width)::value;
          const auto apply = activation == Activation::silu ? &apply_scale_shift<w, Activation::silu, T>
                                                            : &apply_scale_shift<w, Activation::none, T>;
          apply(x + at + c, y + at + c, end - begin, channels, coefficient + c, coefficient + channels + c);
        });
      });
}

/// `gamma_parts` and `beta_parts` ([batch, channels], or null) receive each sample's share.
template <class T>
void group_norm_gradient(const Cpu&, const GroupNormGeometry& g, const T* gy, const T* x, const T* gamma,
                         const T* beta, const T* mean, const T* rstd, Activation activation, T* gx, T* gamma_parts,
                         T* beta_parts) {
  const std::int64_t channels = g.channels, per = g.per_group();
  const double size = static_cast<double>(g.positions * per);
  const bool silu = activation == Activation::silu;
  const auto expand = [&](std::int64_t b, T* out) {
    for (std::int64_t group = 0; group < g.groups; ++group) {
      const T r = rstd[b * g.groups + group], m = -r * mean[b * g.groups + group];
      for (std::int64_t c = group * per; c < (group + 1) * per; ++c) {
        out[c] = r;
        out[channels + c] = m;
        out[2 * channels + c] = gamma ? gamma[c] : T(1);
        out[3 * channels + c] = beta ? beta[c] : T(0);
      }
    }
  };
  two_passes<T>(
      g, 2 * channels, 3 * channels,
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, double* sum) {
        std::vector<T> coefficient(static_cast<std::size_t>(4 * channels));
        expand(b, coefficient.data());
        const std::int64_t at = b * g.sample() + begin * channels;
        for_channel_tiles<32>(channels, [&](auto width, std::int64_t c) {
          constexpr int w = decltype(width)::value;
          const auto add = silu ? &add_gradient_sums<w, Activation::silu, T> : &add_gradient_sums<w, Activation::none, T>;
          add(gy + at + c, x + at + c, gx + at + c, end - begin, channels, coefficient.data() + c, channels, sum + c,
              sum + channels + c);
        });
      },
      [&](std::int64_t b, const double* sum, T* coefficient) {
        const double* product = sum + channels;
        if (gamma_parts) {
          std::transform(product, product + channels, gamma_parts + b * channels, [](double v) { return static_cast<T>(v); });
          std::transform(sum, sum + channels, beta_parts + b * channels, [](double v) { return static_cast<T>(v); });
        }
        for (std::int64_t group = 0; group < g.groups; ++group) {
          double s = 0, p = 0;
          for (std::int64_t c = group * per; c < (group + 1) * per; ++c) {
            const double factor = gamma ? static_cast<double>(gamma[c]) : 1.0;
            s += factor * sum[c];
            p += factor * product[c];
          }
          const auto r = static_cast<double>(rstd[b * g.groups + group]);
          const auto m = static_cast<double>(mean[b * g.groups + group]);
          const double slope = -r * r * p / size;
          const T along = static_cast<T>(slope), constant = static_cast<T>(-r * s / size - slope * m);
          for (std::int64_t c = group * per; c < (group + 1) * per; ++c) {
            coefficient[c] = static_cast<T>(r) * (gamma ? gamma[c] : T(1));
            coefficient[channels + c] = along;
            coefficient[2 * channels + c] = constant;
          }
        }
      },
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, const T* coefficient) {
        const std::int64_t at = b * g.sample() + begin * channels;
        for_channel_tiles<64>(channels, [&](auto width, std::int64_t c) {
          apply_gradient<decltype(width)::value>((silu ? gx : gy) + at + c, x + at + c, gx + at + c, end - begin,
                                                 channels, coefficient + c, channels);
        });
      });
}

/// Sum of sixteen lanes in a fixed order that halves them.
template <class T>
T sum_lanes(T* lanes) {
  for (int w = 8; w > 0; w /= 2)
    for (int l = 0; l < w; ++l) lanes[l] += lanes[l + w];
  return lanes[0];
}

/// Sum of f(c) over [0, cols), sixteen at a time.
template <class T, class F>
T sum_row(std::int64_t cols, F&& f) {
  alignas(64) T lanes[16] = {};
  std::int64_t c = 0;
  for (; c + 16 <= cols; c += 16)
    for (int l = 0; l < 16; ++l) lanes[l] += f(c + l);
  for (int l = 0; c < cols; ++c, ++l) lanes[l] += f(c);
  return sum_lanes(lanes);
}

template <class T>
void layer_norm(const Cpu&, std::int64_t rows, std::int64_t cols, const T* x, const T* gamma, const T* beta, double eps,
                T* y, T* mean, T* rstd) {
  std::vector<T> scale(static_cast<std::size_t>(cols), T(1)), shift(static_cast<std::size_t>(cols), T(0));
  if (gamma) std::copy(gamma, gamma + cols, scale.begin());
  if (beta) std::copy(beta, beta + cols, shift.begin());
  const T* a = scale.data();
  const T* b = shift.data();
  const T one_over = T(1) / static_cast<T>(cols);
  parallel_for(rows, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) {
                   const T* in = x + r * cols;
                   T* out = y + r * cols;
                   const T center = sum_row<T>(cols, [=](std::int64_t c) { return in[c]; }) * one_over;
                   const T variance = sum_row<T>(cols, [=](std::int64_t c) {
                                        return (in[c] - center) * (in[c] - center);
                                      }) * one_over;
                   const T inverse = T(1) / math::sqrt(variance + static_cast<T>(eps));
                   mean[r] = center;
                   rstd[r] = inverse;
                   for (std::int64_t c = 0; c < cols; ++c) out[c] = (in[c] - center) * inverse * a[c] + b[c];
                 }
               });
}

/// `gamma_parts` and `beta_parts` ([slabs, cols], or null) receive each slab's share.
template <class T>
void layer_norm_gradient(const Cpu&, std::int64_t rows, std::int64_t cols, std::int64_t slabs, const T* gy, const T* x,
                         const T* gamma, const T* mean, const T* rstd, T* gx, T* gamma_parts, T* beta_parts) {
  std::vector<T> scale(static_cast<std::size_t>(cols), T(1));
  if (gamma) std::copy(gamma, gamma + cols, scale.begin());
  const T* a = scale.data();
  const std::int64_t per = (rows + slabs - 1) / slabs;
  const T one_over = T(1) / static_cast<T>(cols);
  parallel_for(slabs, 1, [&](std::int64_t slab, std::int64_t) {
    std::vector<T> own(gamma_parts ? 0 : static_cast<std::size_t>(2 * cols));
    T* ggamma = gamma_parts ? gamma_parts + slab * cols : own.data();
    T* gbeta = gamma_parts ? beta_parts + slab * cols : own.data() + cols;
    std::fill_n(ggamma, cols, T(0));
    std::fill_n(gbeta, cols, T(0));
    for (std::int64_t r = std::min(rows, slab * per); r < std::min(rows, (slab + 1) * per); ++r) {
      const T* g = gy + r * cols;
      const T* in = x + r * cols;
      T* out = gx + r * cols;
      const T inverse = rstd[r], center = mean[r];
      const T s = sum_row<T>(cols, [=](std::int64_t c) { return a[c] * g[c]; }) * one_over;
      const T p = sum_row<T>(cols, [=](std::int64_t c) { return a[c] * g[c] * (in[c] - center); }) * one_over *
                  inverse * inverse;
      for (std::int64_t c = 0; c < cols; ++c) {
        const T deviation = in[c] - center;
        out[c] = inverse * (a[c] * g[c] - s - deviation * p);
        ggamma[c] += g[c] * deviation * inverse;
        gbeta[c] += g[c];
      }
    }
  });
}

}  // namespace backend

}  // namespace hypersd::ops
