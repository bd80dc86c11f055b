// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/stable_diffusion/scheduler.hpp>

#include <cmath>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

/// Tables of the usual 1000 times and more show nothing new and take most of the time.
io::Json shortened(const io::Json& json) {
  const io::Json* times = json.find("num_train_timesteps");
  const bool keep = times != nullptr && (times->as<std::int64_t>() == nullptr || *times->as<std::int64_t>() <= 64 ||
                                         *times->as<std::int64_t>() > 100000);
  return keep ? json : sd::with_scheduler_options(json, std::array<std::string, 1>{"num_train_timesteps=64"});
}

}  // namespace

/// The first byte chooses the scheduler and the number of steps, the rest is a `scheduler_config.json`: what is read
/// gives plans whose numbers are finite.
void fuzz::run(std::string_view input) {
  if (input.empty()) return;
  const unsigned choice = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  const fuzz::File file(input);
  fuzz::accepted([&] {
    sd::Notes notes;
    const io::Json json = shortened(sd::read_scheduler_json(file.path()));
    const auto& name = sd::detail::scheduler_names[choice % sd::detail::scheduler_names.size()];
    const auto config =
        sd::scheduler_config(choice >= 128 ? sd::corrected_by_pipeline(json) : json, "file", name.kind, notes);
    const sd::RunPlan plan = sd::plan_run(config, {.steps = choice % 2 == 0 ? 1 : 3});
    expect(!plan.steps.empty() && plan.steps.size() == plan.peer_factors.size(), "a factor for each step");
    expect(std::isfinite(plan.start_scale), "a finite start");
    for (const double t : plan.network_times()) expect(t >= 0 && t < config.table.size(), "a training time");
    for (const auto& step : plan.steps)
      for (const auto& e : step.evaluations)
        expect(std::isfinite(e.update.x) && std::isfinite(e.update.prediction) && std::isfinite(e.update.noise),
               "finite coefficients");
  });
}
