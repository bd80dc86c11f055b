// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/reduce_cpu.hpp>

namespace hypersd::ops {

/// What follows a normalisation in the same pass.
enum class Activation { none, silu };

/// [batch, positions, channels] with `groups` runs of consecutive channels normalised together.
struct GroupNormGeometry {
  std::int64_t batch, positions, channels, groups;
  [[nodiscard]] std::int64_t width() const { return channels / groups; }
};

namespace backend {

/// Samples a task: about 32 Ki elements, so that a task's data stays in the cache between its passes.
inline std::int64_t norm_grain(const GroupNormGeometry& g) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, g.positions * g.channels));
}

/// Sums of f(row, c) over positions into out[channels]; f sees pointers to a row.
template <class T>
void channel_moments(const GroupNormGeometry& g, const T* x, T* sum, T* square) {
  std::int64_t c = 0;
  auto block = [&](auto width_tag) {
    constexpr int width = decltype(width_tag)::value;
    for (; c + width <= g.channels; c += width) {
      T s[width] = {}, q[width] = {};
      const T* row = x + c;
      for (std::int64_t p = 0; p < g.positions; ++p, row += g.channels)
        for (int i = 0; i < width; ++i) {
          s[i] += row[i];
          q[i] += row[i] * row[i];
        }
      std::copy(s, s + width, sum + c);
      std::copy(q, q + width, square + c);
    }
  };
  block(std::integral_constant<int, 32>{});
  block(std::integral_constant<int, 16>{});
  block(std::integral_constant<int, 1>{});
}

/// Writes y = act(gamma (x - mean) rstd + beta) and mean, rstd per (sample, group).
template <class T>
void group_norm(const Cpu&, const GroupNormGeometry& g, T eps, Activation act, const T* x, const T* gamma,
                const T* beta, T* y, T* mean, T* rstd) {
  parallel_for(g.batch, norm_grain(g), [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> buffer(static_cast<std::size_t>(4 * g.channels));
    T *sum = buffer.data(), *square = sum + g.channels, *scale = square + g.channels, *shift = scale + g.channels;
    for (std::int64_t b = begin; b < end; ++b) {
      const T* in = x + b * g.positions * g.channels;
      T* out = y + b * g.positions * g.channels;
      channel_moments(g, in, sum, square);
      const double n = static_cast<double>(g.positions * g.width());
      for (std::int64_t k = 0; k < g.groups; ++k) {
        double s = 0, q = 0;
        for (std::int64_t c = k * g.width(); c < (k + 1) * g.width(); ++c) {
          s += static_cast<double>(sum[c]);
          q += static_cast<double>(square[c]);
        }
        const double m = s / n, r = 1.0 / std::sqrt(std::max(0.0, q / n - m * m) + static_cast<double>(eps));
        mean[b * g.groups + k] = static_cast<T>(m);
        rstd[b * g.groups + k] = static_cast<T>(r);
        for (std::int64_t c = k * g.width(); c < (k + 1) * g.width(); ++c) {
          scale[c] = gamma[c] * static_cast<T>(r);
          shift[c] = beta[c] - scale[c] * static_cast<T>(m);
        }
      }
      auto pass = [&](auto f) {
        for (std::int64_t p = 0; p < g.positions; ++p)
          for (std::int64_t c = 0; c < g.channels; ++c)
            out[p * g.channels + c] = f(in[p * g.channels + c] * scale[c] + shift[c]);
      };
      if (act == Activation::silu) pass(Silu{});
      else pass(Identity{});
    }
  });
}

/// Gradients of `group_norm`: gx, and per-sample gradients of gamma and beta [batch, channels] for the caller to sum.
template <class T>
void group_norm_backward(const Cpu&, const GroupNormGeometry& g, Activation act, const T* gy, const T* x,
                         const T* gamma, const T* beta, const T* mean, const T* rstd, T* gx, T* ggamma, T* gbeta) {
  parallel_for(g.batch, norm_grain(g), [&](std::int64_t begin, std::int64_t end) {
    const auto channels = static_cast<std::size_t>(g.channels);
    std::vector<T> buffer(6 * channels), inner(static_cast<std::size_t>(g.positions) * channels);
    T *scale = buffer.data(), *shift = scale + g.channels, *r = shift + g.channels, *mr = r + g.channels,
      *a = mr + g.channels, *e = a + g.channels;
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t offset = b * g.positions * g.channels;
      const T *in = x + offset, *go = gy + offset;
      T *sum_g = gbeta + b * g.channels, *sum_gx = ggamma + b * g.channels;
      for (std::int64_t c = 0; c < g.channels; ++c) {
        const std::int64_t k = b * g.groups + c / g.width();
        r[c] = rstd[k];
        mr[c] = mean[k] * rstd[k];
        scale[c] = gamma[c] * r[c];
        shift[c] = beta[c] - gamma[c] * mr[c];
      }
      // First pass: gradient before the activation, and its channel sums with 1 and with the normalised input.
      auto pass = [&](auto silu) {
        std::int64_t c = 0;
        auto block = [&](auto width_tag) {
          constexpr int width = decltype(width_tag)::value;
          for (; c + width <= g.channels; c += width) {
            T s[width] = {}, q[width] = {};
            for (std::int64_t p = 0; p < g.positions; ++p) {
              const T *xi = in + p * g.channels + c, *gi = go + p * g.channels + c;
              T* out = inner.data() + p * g.channels + c;
              for (int i = 0; i < width; ++i) {
                T v = gi[i];
                if constexpr (decltype(silu)::value) v *= Silu{}.template d<0>(xi[i] * scale[c + i] + shift[c + i]);
                out[i] = v;
                s[i] += v;
                q[i] += v * (xi[i] * r[c + i] - mr[c + i]);
              }
            }
            std::copy(s, s + width, sum_g + c);
            std::copy(q, q + width, sum_gx + c);
          }
        };
        block(std::integral_constant<int, 16>{});
        block(std::integral_constant<int, 1>{});
      };
      if (act == Activation::silu) pass(std::true_type{});
      else pass(std::false_type{});
      // Second pass: gx = rstd (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), means over the group.
      const T inv = T(1) / static_cast<T>(g.positions * g.width());
      for (std::int64_t k = 0; k < g.groups; ++k) {
        T s = 0, q = 0;
        for (std::int64_t c = k * g.width(); c < (k + 1) * g.width(); ++c) {
          s += gamma[c] * sum_g[c];
          q += gamma[c] * sum_gx[c];
        }
        for (std::int64_t c = k * g.width(); c < (k + 1) * g.width(); ++c) {
          a[c] = -r[c] * r[c] * q * inv;
          e[c] = r[c] * inv * (mr[c] * q - s);
        }
      }
      T* out = gx + offset;
      for (std::int64_t p = 0; p < g.positions; ++p)
        for (std::int64_t c = 0; c < g.channels; ++c) {
          const std::int64_t i = p * g.channels + c;
          out[i] = scale[c] * inner[static_cast<std::size_t>(i)] + a[c] * in[i] + e[c];
        }
    }
  });
}

/// Row-wise normalisation of [rows, channels].
template <class T>
void layer_norm(const Cpu&, std::int64_t rows, std::int64_t channels, T eps, const T* x, const T* gamma, const T* beta,
                T* y, T* mean, T* rstd) {
  parallel_for(rows, std::max<std::int64_t>(1, 16384 / channels), [&](std::int64_t begin, std::int64_t end) {
    constexpr int lanes = 16;
    for (std::int64_t row = begin; row < end; ++row) {
      const T* in = x + row * channels;
      T s[lanes] = {}, q[lanes] = {};
      std::int64_t c = 0;
      for (; c + lanes <= channels; c += lanes)
        for (int i = 0; i < lanes; ++i) {
          s[i] += in[c + i];
          q[i] += in[c + i] * in[c + i];
        }
      for (; c < channels; ++c) {
        s[0] += in[c];
        q[0] += in[c] * in[c];
      }
      T total = 0, square = 0;
      for (int i = 0; i < lanes; ++i) {
        total += s[i];
        square += q[i];
      }
      const T m = total / static_cast<T>(channels);
      const T r = T(1) / math::sqrt(std::max(T(0), square / static_cast<T>(channels) - m * m) + eps);
      mean[row] = m;
      rstd[row] = r;
      T* out = y + row * channels;
      for (c = 0; c < channels; ++c) out[c] = (in[c] - m) * r * gamma[c] + beta[c];
    }
  });
}

/// Gradients of `layer_norm`: gx, and per-chunk gradients of gamma and beta, [chunks, channels] each.
template <class T>
void layer_norm_backward(const Cpu&, std::int64_t rows, std::int64_t channels, std::int64_t grain, const T* gy,
                         const T* x, const T* gamma, const T* mean, const T* rstd, T* gx, T* ggamma, T* gbeta) {
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    constexpr int lanes = 16;
    T *gg = ggamma + begin / grain * channels, *gb = gbeta + begin / grain * channels;
    std::fill_n(gg, channels, T(0));
    std::fill_n(gb, channels, T(0));
    for (std::int64_t row = begin; row < end; ++row) {
      const T *in = x + row * channels, *go = gy + row * channels;
      const T m = mean[row], r = rstd[row];
      T s[lanes] = {}, q[lanes] = {};
      std::int64_t c = 0;
      for (; c + lanes <= channels; c += lanes)
        for (int i = 0; i < lanes; ++i) {
          const T v = go[c + i] * gamma[c + i], h = (in[c + i] - m) * r;
          s[i] += v;
          q[i] += v * h;
          gg[c + i] += go[c + i] * h;
          gb[c + i] += go[c + i];
        }
      for (; c < channels; ++c) {
        const T v = go[c] * gamma[c], h = (in[c] - m) * r;
        s[0] += v;
        q[0] += v * h;
        gg[c] += go[c] * h;
        gb[c] += go[c];
      }
      T total = 0, with = 0;
      for (int i = 0; i < lanes; ++i) {
        total += s[i];
        with += q[i];
      }
      const T inv = T(1) / static_cast<T>(channels);
      T* out = gx + row * channels;
      for (c = 0; c < channels; ++c)
        out[c] = r * (go[c] * gamma[c] - total * inv - (in[c] - m) * r * with * inv);
    }
  });
}

}  // namespace backend

}  // namespace hypersd::ops
