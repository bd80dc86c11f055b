// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/stable_diffusion/scheduler.hpp>

#include <cmath>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

/// A `scheduler_config.json` for each scheduler in turn: what is read gives plans whose numbers are finite.
void fuzz::run(std::string_view input) {
  const fuzz::File file(input);
  for (const auto& name : sd::detail::scheduler_names) {
    fuzz::accepted([&] {
      sd::Notes notes;
      const io::Json json = sd::read_scheduler_json(file.path());
      const auto config = sd::scheduler_config(input.size() % 2 == 0 ? sd::corrected_by_pipeline(json) : json, "file",
                                               name.kind, notes);
      for (const int steps : {1, 3}) {
        const sd::RunPlan plan = sd::plan_run(config, {.steps = steps});
        expect(!plan.steps.empty() && plan.steps.size() == plan.peer_factors.size(), "a factor for each step");
        expect(std::isfinite(plan.start_scale), "a finite start");
        for (const double t : plan.network_times()) expect(t >= 0 && t < config.table.size(), "a training time");
        for (const auto& step : plan.steps)
          for (const auto& e : step.evaluations)
            expect(std::isfinite(e.update.x) && std::isfinite(e.update.prediction) && std::isfinite(e.update.noise),
                   "finite coefficients");
      }
    });
  }
}
