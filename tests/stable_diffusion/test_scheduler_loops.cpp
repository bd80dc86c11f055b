// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/denoise.hpp>

#include <cmath>
#include <map>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

/// The golden's network: MATRIX x + VECTOR cos(t / 100) in each pixel.
struct Network {
  Tensor<float> operator()(const Tensor<float>& x, const Numbers<float>& t, const diffusion::Unconditional&) const {
    static constexpr float matrix[4][4] = {
        {0.6F, 0.2F, -0.1F, 0.1F}, {-0.2F, 0.5F, 0.2F, 0.0F}, {0.1F, -0.1F, 0.7F, 0.2F}, {0.0F, 0.1F, -0.2F, 0.4F}};
    static constexpr float vector[4] = {0.3F, -0.2F, 0.1F, 0.4F};
    asked.push_back(static_cast<double>(t[0]));
    Tensor<float> out(x.shape());
    const auto wave = static_cast<float>(std::cos(static_cast<double>(t[0]) / 100));
    for (std::int64_t p = 0; p < x.size() / 4; ++p)
      for (std::size_t o = 0; o < 4; ++o) {
        float sum = vector[o] * wave;
        for (std::size_t c = 0; c < 4; ++c) sum += matrix[o][c] * x[p * 4 + static_cast<std::int64_t>(c)];
        out[p * 4 + static_cast<std::int64_t>(o)] = sum;
      }
    return out;
  }
  mutable std::vector<double> asked{};
};

struct Golden {
  io::SafetensorsFile values{std::string(HYPERSD_TEST_DATA) + "/scheduler_loops.safetensors"};
  io::Json cases = io::read_json(std::string(HYPERSD_TEST_DATA) + "/scheduler_cases.json");
  [[nodiscard]] Tensor<float> image(const std::string& name) const {
    return ops::nchw_to_nhwc(values.get<float>(name));
  }
};

double number(const io::Json& c, const char* key, double fallback) {
  return c.find(key) != nullptr ? c.find(key)->number() : fallback;
}

}  // namespace

TEST_CASE("schedulers: whole loops equal diffusers") {
  const Golden golden;
  std::map<std::string, int> counted;
  for (const auto& [name, c] : *golden.cases.as<io::Json::Object>()) {
    CAPTURE(name);
    sd::Notes notes;
    const std::string kind = *c.find("kind")->as<std::string>();
    const auto config = sd::scheduler_config(*c.find("config"), "golden", sd::scheduler_kind(kind), notes);
    sd::RunOptions options;
    options.steps = static_cast<int>(number(c, "steps", 0));
    options.strength = number(c, "strength", 1);
    if (c.find("eta") != nullptr) options.eta = number(c, "eta", 0);
    if (const auto* times = c.find("timesteps"))
      for (const auto& t : *times->as<io::Json::Array>()) options.timesteps.push_back(t.number());
    const sd::RunPlan plan = sd::plan_run(config, options);

    const auto noise = golden.image(name + ".start");
    const bool from_image = golden.values.contains(name + ".image");
    const auto start = from_image ? sd::start_from_image(plan, golden.image(name + ".image"), noise)
                                  : sd::start_from_noise(plan, noise);
    Tensor<float> draws;
    if (golden.values.contains(name + ".noise")) draws = golden.values.get<float>(name + ".noise");
    std::int64_t drawn = 0;
    std::vector<Tensor<float>> after;
    sd::DenoiseOptions<float, Cpu> how;
    how.noise = [&] {
      REQUIRE(draws.defined());
      REQUIRE(drawn < draws.dim(0));
      ++drawn;
      return ops::nchw_to_nhwc(draws.slice(drawn - 1, drawn).reshape(Shape{1, 4, 1, 2}));
    };
    how.after = [&](std::int64_t, const Tensor<float>& x) { after.push_back(x.clone()); };
    const Network net;
    const auto x = sd::denoise<diffusion::NoGuidance>(plan, net, start, diffusion::Unconditional{}, how);

    const auto want_times = golden.values.get<double>(name + ".times");
    REQUIRE(static_cast<std::int64_t>(net.asked.size()) == want_times.size());
    CHECK(plan.network_times().size() == net.asked.size());
    for (std::int64_t i = 0; i < want_times.size(); ++i)
      CHECK(std::abs(net.asked[static_cast<std::size_t>(i)] - want_times[i]) < 2e-3);
    const auto want = golden.values.get<float>(name + ".x");
    // A step may take several calls of the network: the last of them ends it.
    std::size_t call = 0;
    // From sigma / alpha = 4096, the peer cancels digits.
    const double tolerance = name.rfind("v_zero.euler", 0) == 0 ? 1e-4 : 2e-5;
    double worst = 0;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      call += plan.steps[i].evaluations.size();
      const auto row = static_cast<std::int64_t>(call);
      const auto peer = ops::nchw_to_nhwc(want.slice(row - 1, row).reshape(Shape{1, 4, 1, 2}));
      worst = std::max(worst, checkpoints::difference(after[i], peer));
      if (i + 1 == plan.steps.size()) CHECK(checkpoints::difference(x, peer) < tolerance);
    }
    CHECK(worst < tolerance);
    ++counted[kind];
  }
  CHECK(counted.size() == 9);
  for (const auto& [kind, cases] : counted) CHECK_MESSAGE(cases >= 5, kind);
}
