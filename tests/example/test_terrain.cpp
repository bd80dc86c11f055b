// SPDX-License-Identifier: Apache-2.0
#include <terrain/network.hpp>

#include <doctest/doctest.h>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/ops/copy.hpp>

#include <cstdlib>

using namespace hypersd;

TEST_CASE("terrain: the parameters of the published model") {
  const terrain::Network<float> net;
  CHECK(nn::count_parameters(net) == nn::ParameterCount{10456545, 788});
}

TEST_CASE("terrain: equals onnxruntime with the published weights") {
  const char* path = std::getenv("HYPERSD_TERRAIN");
  if (path == nullptr) {
    MESSAGE("skipped: set HYPERSD_TERRAIN to the file that examples/terrain/convert.py writes");
    return;
  }
  const io::SafetensorsFile file(path);
  terrain::Network<float> net;
  nn::StateDict<float> state;
  for (const std::string& name : file.names())
    if (name.rfind("reference.", 0) != 0) state.emplace(name, file.tensor<float>(name));
  nn::load_state_dict(net, state);
  const auto numbers = [&](const char* name) {
    const auto t = file.tensor<float>(name);
    return std::vector<double>(t.data(), t.data() + t.size());
  };
  const auto want = ops::nchw_to_nhwc(file.tensor<float>("reference.denoised"));
  const auto got = terrain::denoise(net, ops::nchw_to_nhwc(file.tensor<float>("reference.noisy")),
                                    numbers("reference.sigma"), numbers("reference.difficulty"));
  REQUIRE(got.shape() == want.shape());
  double worst = 0;
  for (std::int64_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
  CHECK(worst < 1e-5);
  MESSAGE("largest difference " << worst);
}
