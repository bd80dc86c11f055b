// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_attention.hpp>
#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_gated.hpp>
#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/autograd/grad_normalize.hpp>
#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/autograd/grad_softmax.hpp>
#include <hypersd/io/safetensors.hpp>
#include <map>
#include <numbers.hpp>
#include <set>
#include <string>

using namespace hypersd;

namespace {

io::SafetensorsFile file(const char* name) { return io::SafetensorsFile(std::string(HYPERSD_TEST_DATA) + "/" + name); }

/// The file of float and double holds float32; a float pass has roundings of its own on top. Two units of bfloat16's:
/// PyTorch rounds the steps within an operation too.
template <class T>
inline constexpr double tolerance = sizeof(T) == 2   ? 2 * 0x1p-8
                                    : sizeof(T) == 4 ? 3e-6
                                                     : 2e-7;

/// Largest difference, relative to the largest element of `want` (or 1 if that is larger).
template <class T>
double difference(const Tensor<T>& got, const Tensor<T>& want) {
  REQUIRE(got.shape() == want.shape());
  double worst = 0, scale = 1;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    worst = numbers::worse(worst, error);
    scale = std::max(scale, std::abs(static_cast<double>(want[i])));
  }
  return worst / scale;
}

/// The inputs of one operation by name, in PyTorch's layout.
template <class T>
using Inputs = std::map<std::string, Var<T>>;

template <class T>
Var<T> last(const Var<T>& nchw) {
  return autograd::permute(nchw, {0, 2, 3, 1});
}
template <class T>
Var<T> first(const Var<T>& nhwc) {
  return autograd::permute(nhwc, {0, 3, 1, 2});
}

template <class T>
Var<T> group_norm(Inputs<T>& in, ops::Activation activation) {
  return first(autograd::group_norm(last(in["x"]), in["weight"], in["bias"], 4, 1e-5, activation));
}
template <class T>
Var<T> conv2d(Inputs<T>& in, ops::Conv2dOptions options) {
  return first(autograd::conv2d(last(in["x"]), last(in["weight"]), in["bias"], options));
}
/// [B, heads, N, D] <-> [B, N, heads D].
template <class T>
Var<T> attention(Inputs<T>& in) {
  const auto q = in["q"];
  auto joined = [&](const Var<T>& v) {
    return autograd::reshape(autograd::permute(v, {0, 2, 1, 3}), {v.dim(0), v.dim(2), v.dim(1) * v.dim(3)});
  };
  const auto y = autograd::attention(joined(q), joined(in["k"]), joined(in["v"]), q.dim(1));
  return autograd::permute(autograd::reshape(y, {q.dim(0), q.dim(2), q.dim(1), q.dim(3)}), {0, 2, 1, 3});
}

template <class T>
Var<T> evaluate(const std::string& op, Inputs<T>& in) {
  if (op == "group_norm") return group_norm(in, ops::Activation::none);
  if (op == "group_norm_silu") return group_norm(in, ops::Activation::silu);
  if (op == "layer_norm") return autograd::layer_norm(in["x"], in["weight"], in["bias"]);
  if (op == "linear") return autograd::linear(in["x"], in["weight"], in["bias"]);
  if (op == "attention_self" || op == "attention_cross") return attention(in);
  if (op == "softmax") return autograd::softmax(autograd::affine(in["x"], 4));
  if (op == "silu") return autograd::silu(in["x"]);
  if (op == "gelu") return autograd::gelu(in["x"]);
  if (op == "geglu") return autograd::geglu(in["x"]);
  if (op == "conv3x3") return conv2d(in, {1, 1});
  if (op == "conv3x3_stride2") return conv2d(in, {2, 1});
  if (op == "conv1x1") return conv2d(in, {1, 0});
  if (op == "upsample_nearest")
    return first(autograd::upsample_nearest(last(in["x"]), 2 * in["x"].dim(2), 2 * in["x"].dim(3)));
  FAIL("no operation here is called " << op);
  return {};
}

/// Every operation of the file, its result and all its gradients.
template <class T>
void check_file(const io::SafetensorsFile& file, std::size_t operations) {
  std::set<std::string> all;
  for (const std::string& name : file.names()) all.insert(name.substr(0, name.find('.')));
  CHECK(all.size() == operations);
  for (const std::string& op : all) {
    CAPTURE(op);
    Inputs<T> in;
    const std::string prefix = op + ".in.";
    for (const std::string& name : file.names())
      if (name.rfind(prefix, 0) == 0) in[name.substr(prefix.size())] = Var<T>(file.get<T>(name), true);
    const auto y = evaluate(op, in);
    CHECK(difference(y.value(), file.get<T>(op + ".out")) < tolerance<T>);
    autograd::backward(y, file.get<T>(op + ".grad_out"));
    for (const auto& [key, v] : in) {
      CAPTURE(key);
      REQUIRE(v.grad().defined());
      CHECK(difference(v.grad(), file.get<T>(op + ".grad_in." + key)) < tolerance<T>);
    }
  }
}

}  // namespace

TEST_CASE("Results and gradients equal PyTorch's, in double") { check_file<double>(file("ops.safetensors"), 14); }

TEST_CASE("Results and gradients equal PyTorch's, in float") { check_file<float>(file("ops.safetensors"), 14); }

TEST_CASE("Results and gradients are near PyTorch's, in bfloat16") {
  check_file<bfloat16>(file("ops_bf16.safetensors"), 8);
}
