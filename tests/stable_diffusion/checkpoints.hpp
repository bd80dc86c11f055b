// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/file.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/stable_diffusion/load.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include <temp_folder.hpp>

/// The model folders of tests/golden/data/checkpoints and what diffusers computes with them.
namespace checkpoints {

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

inline std::string folder(const std::string& name) { return std::string(HYPERSD_TEST_DATA) + "/checkpoints/" + name; }

/// Reference values.
class Values {
 public:
  explicit Values(const std::string& name) : file_(folder(name) + ".safetensors") {}
  [[nodiscard]] Tensor<float> get(const std::string& name) const {
    return file_.get<float>(name, io::Convert::AnyNumber);
  }
  [[nodiscard]] Var<float> image(const std::string& name) const { return Var<float>(ops::nchw_to_nhwc(get(name))); }
  [[nodiscard]] Tensor<std::int32_t> ids() const { return file_.get<std::int32_t>("ids"); }
  [[nodiscard]] bool contains(const std::string& name) const { return file_.contains(name); }

 private:
  io::SafetensorsFile file_;
};

/// Largest difference of two tensors, relative to the largest element of `want` (or 1 if that is larger).
inline double difference(const Tensor<float>& got, const Tensor<float>& want) {
  REQUIRE(got.shape() == want.shape());
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::abs(got[i] - want[i])));
    scale = std::max(scale, static_cast<double>(std::abs(want[i])));
  }
  return worst / scale;
}
/// The same of an image, channels last, with one of the file.
inline double image_difference(const Var<float>& got, const Tensor<float>& want) {
  return difference(got.value(), ops::nchw_to_nhwc(want));
}

/// The condition of the reference's call of the UNet.
inline nn::UnetCondition<float> condition(const Values& v, const nn::UnetConfig& config) {
  nn::UnetCondition<float> c{Var<float>(v.get("tokens")), {}};
  if (v.contains("pooled")) c.added = Var<float>(nn::text_time_features(v.get("pooled"), v.get("time_ids"), config));
  return c;
}
/// How far a model's UNet is from `name` of the reference file.
inline double unet_difference(const sd::Model<float>& model, const Values& v, const std::string& name = "unet") {
  const autograd::NoGrad guard;
  return image_difference(model.unet(v.image("x"), v.get("t"), condition(v, model.unet.config())), v.get(name));
}

/// A copy of a checkpoint folder that a test may damage.
class Copy : public test::TempFolder {
 public:
  explicit Copy(const std::string& name) { std::filesystem::copy(folder(name), path(), options); }
  void rename(const std::string& from, const std::string& to) const {
    std::filesystem::rename(*this / from, *this / to);
  }
  void replace(const std::string& file, const std::string& from, const std::string& to) const {
    std::string text = io::read_file(*this / file);
    const auto at = text.find(from);
    REQUIRE_MESSAGE(at != std::string::npos, file << " has no " << from);
    io::atomic_write(*this / file, text.replace(at, from.size(), to));
  }

 private:
  static constexpr auto options =
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing;
};

/// The message of the exception that `call` throws.
template <class E, class F>
std::string message(F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace checkpoints
