// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/data/augment.hpp>
#include <hypersd/data/batches.hpp>
#include <hypersd/data/captions.hpp>
#include <hypersd/data/fashion_mnist.hpp>
#include <hypersd/ops/gather.hpp>

namespace fashion {

using namespace hypersd;

/// A labelled image set with a caption for each class.
struct Dataset {
  data::LabelledImages images;
  data::Captions words;

  explicit Dataset(const std::string& folder) : images(data::load_images(folder)), words(images.class_names) {
    const auto& train = images.train;
    require<OptionError>(train.height() == 32 && train.width() == 32 && train.channels() == 1, "pictures of ", folder,
                         " are ", train.height(), " x ", train.width(), " x ", train.channels(),
                         " after padding; this program is built for 32 x 32 x 1");
  }
  [[nodiscard]] std::int64_t classes() const { return images.train.classes(); }
  /// Caption tokens [N, L] of labels [N].
  [[nodiscard]] Tensor<std::int32_t> captions(const Tensor<std::int32_t>& labels) const {
    return words.encode_labels(labels, words.longest());
  }
};

/// Samples of x [N, ...] by number, where x is.
template <class T, Device D>
Tensor<T, D> take(const Tensor<T, D>& x, const std::vector<std::int64_t>& ids) {
  const auto count = static_cast<std::int64_t>(ids.size()), n = x.shape().numel_from(1);
  Tensor<std::int32_t> rows(Shape{count});
  for (std::int64_t i = 0; i < count; ++i) rows[i] = static_cast<std::int32_t>(ids[static_cast<std::size_t>(i)]);
  return ops::embedding(x.reshape(Shape{x.dim(0), n}), rows.template to<D>()).reshape(x.shape().with(0, count));
}
template <class T>
Tensor<T> take(const Tensor<T>& x, const std::vector<std::int64_t>& ids) {
  Tensor<T> out(x.shape().with(0, static_cast<std::int64_t>(ids.size())));
  const std::int64_t n = x.shape().numel_from(1);
  T* to = out.data();
  for (const std::int64_t i : ids) to = std::copy_n(x.data() + i * n, n, to);
  return out;
}

}  // namespace fashion
