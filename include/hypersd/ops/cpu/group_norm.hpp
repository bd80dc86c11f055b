// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/vectorized.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/geometry.hpp>
#include <type_traits>
#include <vector>

namespace hypersd::ops::backend {

/// Calls f(width, channel, position, positions) for tiles of channels of positions [begin, end). The width is a
/// compile-time constant, so that the sums and coefficients of a tile stay in registers; a tile has as many positions
/// as the L1 cache holds for all channels.
template <int widest, class F>
void for_tiles(std::int64_t channels, std::int64_t begin, std::int64_t end, F&& f) {
  const std::int64_t rows = std::max<std::int64_t>(8, 4096 / std::max<std::int64_t>(1, channels));
  for (std::int64_t at = begin; at < end; at += rows) {
    const std::int64_t n = std::min(rows, end - at);
    std::int64_t c = 0;
    for (; c + widest <= channels; c += widest) f(std::integral_constant<int, widest>{}, c, at, n);
    if constexpr (widest > 32)
      for (; c + 32 <= channels; c += 32) f(std::integral_constant<int, 32>{}, c, at, n);
    for (; c + 16 <= channels; c += 16) f(std::integral_constant<int, 16>{}, c, at, n);
    for (; c + 4 <= channels; c += 4) f(std::integral_constant<int, 4>{}, c, at, n);
    for (; c < channels; ++c) f(std::integral_constant<int, 1>{}, c, at, n);
  }
}

/// Calls f(width) with the channels of a group as a compile-time number if it is a common one, else with 0.
template <class F>
void with_group_width(std::int64_t per_group, F&& f) {
  switch (per_group) {
    case 1: return f(std::integral_constant<int, 1>{});
    case 2: return f(std::integral_constant<int, 2>{});
    case 4: return f(std::integral_constant<int, 4>{});
    case 8: return f(std::integral_constant<int, 8>{});
    case 16: return f(std::integral_constant<int, 16>{});
    default: return f(std::integral_constant<int, 0>{});
  }
}

/// Mean and rstd of each group and each channel's scale and shift, from sums of deviations from `pivot`; `sum` and
/// `square` are overwritten.
template <int width, class T>
void finish_moments(const GroupNormGeometry& g, const T* pivot, double* sum, double* square, double eps, const T* gamma,
                    const T* beta, T* mean, T* rstd, T* coefficient) {
  const std::int64_t per = width > 0 ? width : g.per_group();
  const double n = static_cast<double>(g.positions), one_over_n = 1.0 / n,
               one_over_per = 1.0 / static_cast<double>(per);
  const double one_over_size = one_over_n * one_over_per;
  for (std::int64_t c = 0; c < g.channels; ++c) {  // to mean and sum of squared deviations of each channel
    const double shift = sum[c] * one_over_n;
    square[c] -= shift * sum[c];
    sum[c] = static_cast<double>(pivot[c]) + shift;
  }
  for (std::int64_t group = 0; group < g.groups; ++group) {
    const double* s = sum + group * per;
    const double* q = square + group * per;
    double center = 0, total = 0, between = 0;
    for (std::int64_t c = 0; c < per; ++c) center += s[c];
    center *= one_over_per;
    for (std::int64_t c = 0; c < per; ++c) {
      total += q[c];
      between += (s[c] - center) * (s[c] - center);
    }
    const auto variance = static_cast<T>(std::max(0.0, (total + n * between) * one_over_size) + eps);
    const T inverse = T(1) / math::sqrt(variance);
    mean[group] = static_cast<T>(center);
    rstd[group] = inverse;
    const T offset = static_cast<T>(-center) * inverse;
    T* scale = coefficient + group * per;
    for (std::int64_t c = 0; c < per; ++c) {
      scale[c] = inverse;
      scale[g.channels + c] = offset;
    }
  }
  T* shift = coefficient + g.channels;
  if (gamma)
    for (std::int64_t c = 0; c < g.channels; ++c) coefficient[c] *= gamma[c];
  if (gamma)
    for (std::int64_t c = 0; c < g.channels; ++c) shift[c] *= gamma[c];
  if (beta)
    for (std::int64_t c = 0; c < g.channels; ++c) shift[c] += beta[c];
}

/// Adds sums of x - pivot and its square over `rows` positions to `sum` and `square`. The pivot (the sample's first
/// position) keeps one pass accurate for data far from zero; the sums are added to double every 64 positions.
template <int width, class T>
void add_moments(const T* x, std::int64_t rows, std::int64_t stride, const T* pivot, double* sum, double* square) {
  vectorized([=]() mutable {
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
  });
}

/// y = act(scale x + shift).
template <int width, Activation activation, class T>
void apply_scale_shift(const T* x, T* y, std::int64_t rows, std::int64_t stride, const T* scale, const T* shift) {
  T a[width], b[width];
  std::copy(scale, scale + width, a);
  std::copy(shift, shift + width, b);
  vectorized_loop(rows, [=, &a, &b](std::int64_t r) {
    const T* from = x + r * stride;
    T* to = y + r * stride;
    for (int c = 0; c < width; ++c) {
      const T z = a[c] * from[c] + b[c];
      if constexpr (activation == Activation::silu)
        to[c] = Silu{}(z);
      else
        to[c] = z;
    }
  });
}

/// Gradient at the normalised value into `gz` (only where there is an activation; it is `gy` otherwise), and its sums
/// with 1 and with xhat = r x + m.
template <int width, Activation activation, class T>
void add_gradient_sums(const T* gy, const T* x, T* gz, std::int64_t rows, std::int64_t stride, const T* coefficient,
                       std::int64_t channels, double* sum, double* product) {
  vectorized([=]() mutable {
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
  });
}

/// gx = a gz + b x + d; gz may be gx.
template <int width, class T>
void apply_gradient(const T* gz, const T* x, T* gx, std::int64_t rows, std::int64_t stride, const T* coefficient,
                    std::int64_t channels) {
  T a[width], b[width], d[width];
  std::copy_n(coefficient, width, a);
  std::copy_n(coefficient + channels, width, b);
  std::copy_n(coefficient + 2 * channels, width, d);
  vectorized_loop(rows, [=, &a, &b, &d](std::int64_t r) {
    const std::int64_t at = r * stride;
    for (int c = 0; c < width; ++c) gx[at + c] = a[c] * gz[at + c] + (b[c] * x[at + c] + d[c]);
  });
}

/// Runs first(b, begin, end, sums, scratch), then middle(b, sums, coefficients), then last(b, begin, end, coefficients)
/// for every sample b and ranges of its positions. Large samples of a small batch are split, so that all threads have
/// work; the splits and the order of their sums depend on the shape alone.
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
                     first(b, 0, g.positions, sum.data(), coefficient.data());
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
    std::vector<T> scratch(depth);
    first(i / cuts, begin, std::min(g.positions, begin + rows), parts.data() + i * sums, scratch.data());
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
  const std::int64_t channels = g.channels;
  two_passes<T>(
      g, 2 * channels, 2 * channels,
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, double* sum, T*) {
        const T* sample = x + b * g.sample();
        for_tiles<64>(channels, begin, end, [&](auto width, std::int64_t c, std::int64_t at, std::int64_t rows) {
          add_moments<decltype(width)::value>(sample + at * channels + c, rows, channels, sample + c, sum + c,
                                              sum + channels + c);
        });
      },
      [&](std::int64_t b, double* sum, T* coefficient) {
        with_group_width(g.per_group(), [&](auto width) {
          finish_moments<decltype(width)::value>(g, x + b * g.sample(), sum, sum + channels, eps, gamma, beta,
                                                 mean + b * g.groups, rstd + b * g.groups, coefficient);
        });
      },
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, const T* coefficient) {
        for_tiles<64>(channels, begin, end, [&](auto width, std::int64_t c, std::int64_t at, std::int64_t rows) {
          constexpr int w = decltype(width)::value;
          const std::int64_t i = b * g.sample() + at * channels + c;
          const auto apply = activation == Activation::silu ? &apply_scale_shift<w, Activation::silu, T>
                                                            : &apply_scale_shift<w, Activation::none, T>;
          apply(x + i, y + i, rows, channels, coefficient + c, coefficient + channels + c);
        });
      });
}

/// Each channel's rstd, -mean rstd, gamma and beta, side by side.
template <int width, class T>
void spread_statistics(const GroupNormGeometry& g, const T* gamma, const T* beta, const T* mean, const T* rstd,
                       T* out) {
  const std::int64_t per = width > 0 ? width : g.per_group(), channels = g.channels;
  for (std::int64_t group = 0; group < g.groups; ++group) {
    const T r = rstd[group], m = -r * mean[group];
    T* to = out + group * per;
    for (std::int64_t c = 0; c < per; ++c) {
      to[c] = r;
      to[channels + c] = m;
    }
  }
  if (gamma)
    std::copy_n(gamma, channels, out + 2 * channels);
  else
    std::fill_n(out + 2 * channels, channels, T(1));
  if (beta)
    std::copy_n(beta, channels, out + 3 * channels);
  else
    std::fill_n(out + 3 * channels, channels, T(0));
}

/// Coefficients of `apply_gradient` from the sums of each channel, which are overwritten.
template <int width, class T>
void finish_gradient_sums(const GroupNormGeometry& g, double* sum, double* product, const T* gamma, const T* mean,
                          const T* rstd, T* coefficient) {
  const std::int64_t per = width > 0 ? width : g.per_group(), channels = g.channels;
  const double one_over_size = 1.0 / static_cast<double>(g.positions * per);
  if (gamma) {
    for (std::int64_t c = 0; c < channels; ++c) sum[c] *= static_cast<double>(gamma[c]);
    for (std::int64_t c = 0; c < channels; ++c) product[c] *= static_cast<double>(gamma[c]);
  }
  for (std::int64_t group = 0; group < g.groups; ++group) {
    double s = 0, p = 0;
    for (std::int64_t c = group * per; c < (group + 1) * per; ++c) {
      s += sum[c];
      p += product[c];
    }
    const auto r = static_cast<double>(rstd[group]);
    const double slope = -r * r * p * one_over_size;
    const T along = static_cast<T>(slope);
    const T constant = static_cast<T>(-r * s * one_over_size - slope * static_cast<double>(mean[group]));
    T* to = coefficient + group * per;
    for (std::int64_t c = 0; c < per; ++c) {
      to[c] = rstd[group];
      to[channels + c] = along;
      to[2 * channels + c] = constant;
    }
  }
  if (gamma)
    for (std::int64_t c = 0; c < channels; ++c) coefficient[c] *= gamma[c];
}

/// `gamma_parts` and `beta_parts` ([batch, channels], or null) receive the partial sums of each sample.
template <class T>
void group_norm_gradient(const Cpu&, const GroupNormGeometry& g, const T* gy, const T* x, const T* gamma, const T* beta,
                         const T* mean, const T* rstd, Activation activation, T* gx, T* gamma_parts, T* beta_parts) {
  const std::int64_t channels = g.channels;
  const bool silu = activation == Activation::silu;
  two_passes<T>(
      g, 2 * channels, 4 * channels,
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, double* sum, T* coefficient) {
        with_group_width(g.per_group(), [&](auto width) {
          spread_statistics<decltype(width)::value>(g, gamma, beta, mean + b * g.groups, rstd + b * g.groups,
                                                    coefficient);
        });
        for_tiles<32>(channels, begin, end, [&](auto width, std::int64_t c, std::int64_t at, std::int64_t rows) {
          constexpr int w = decltype(width)::value;
          const std::int64_t i = b * g.sample() + at * channels + c;
          const auto add =
              silu ? &add_gradient_sums<w, Activation::silu, T> : &add_gradient_sums<w, Activation::none, T>;
          add(gy + i, x + i, gx + i, rows, channels, coefficient + c, channels, sum + c, sum + channels + c);
        });
      },
      [&](std::int64_t b, double* sum, T* coefficient) {
        double* product = sum + channels;
        if (gamma_parts) {
          std::transform(product, product + channels, gamma_parts + b * channels,
                         [](double v) { return static_cast<T>(v); });
          std::transform(sum, sum + channels, beta_parts + b * channels, [](double v) { return static_cast<T>(v); });
        }
        with_group_width(g.per_group(), [&](auto width) {
          finish_gradient_sums<decltype(width)::value>(g, sum, product, gamma, mean + b * g.groups, rstd + b * g.groups,
                                                       coefficient);
        });
      },
      [&](std::int64_t b, std::int64_t begin, std::int64_t end, const T* coefficient) {
        for_tiles<64>(channels, begin, end, [&](auto width, std::int64_t c, std::int64_t at, std::int64_t rows) {
          const std::int64_t i = b * g.sample() + at * channels + c;
          apply_gradient<decltype(width)::value>((silu ? gx : gy) + i, x + i, gx + i, rows, channels, coefficient + c,
                                                 channels);
        });
      });
}

}  // namespace hypersd::ops::backend
