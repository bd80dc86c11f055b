// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/denoising.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/preserve.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/feedback/stay_close.hpp>
#include <pipeline/toy_denoiser.hpp>

using namespace hypersd;

namespace {

using Points = diffusion::Batch<double, Cpu, diffusion::Unconditional>;

toy::Denoiser net(std::uint64_t seed) {
  toy::Denoiser out;
  nn::init_parameters(out, seed, "parts");
  return out;
}
/// What does not learn stands in for a fake score.
struct StillScore : toy::Denoiser {
  using process = diffusion::Discrete<>;
};

/// A batch of 12 in one piece, and in three parts that say where they begin.
template <class Loss>
void check_parts(const char* name, const Loss& loss) {
  INFO(name);
  const auto student = net(1), teacher = net(2), target = net(3);
  const auto x0 = ops::normal<double>(Shape{12, 2}, stream(1, "parts"));
  const auto at = [&](std::int64_t first, std::int64_t count) {
    return static_cast<double>(
        loss(student, teacher, target, Points{x0.slice(first, first + count), {}}, diffusion::Randomness{4, 5, first})
            .item());
  };
  CHECK((at(0, 4) + at(4, 4) + at(8, 4)) / 3 == doctest::Approx(at(0, 12)).epsilon(1e-12));
  const auto misplaced = [&](std::int64_t first) {
    return static_cast<double>(
        loss(student, teacher, target, Points{x0.slice(first, first + 4), {}}, diffusion::Randomness{4, 5, 0}).item());
  };
  CHECK((misplaced(0) + misplaced(4) + misplaced(8)) / 3 != doctest::Approx(at(0, 12)).epsilon(1e-9));
}
template <class O>
void check_objective(const char* name, const O& objective) {
  check_parts(
      name, [&](const auto& student, const auto& teacher, const auto& target, const Points& batch,
                diffusion::Randomness random) { return objective.loss(student, teacher, target, batch, random).loss; });
}

}  // namespace

TEST_CASE("a batch in parts is drawn as in one piece: the mean of the parts' losses is the whole's") {
  const diffusion::Discrete<> table = toy::table();
  check_objective("tscd", distill::Tscd<4>(table, {.noise_offset = 0.2}));
  check_objective("ctm", distill::Ctm<>(table, {.guidance_min = 1, .guidance_max = 1}));
  check_objective("lcm", distill::Lcm<diffusion::Discrete<>, distill::Mse>(table));
  check_objective("pd", distill::Pd<>(table));
  check_objective("perflow", distill::PerFlow<>(table));
  check_objective("lightning", distill::Lightning<distill::NoCritic>(table, nullptr));
  check_objective("preserve", distill::Preserve<>(table));
  check_objective("sds", distill::Sds<>(table));
  check_objective("denoising", distill::Denoising<>(table));
  StillScore fake;
  nn::init_parameters(fake, 9, "fake");
  check_objective("dmd", distill::Dmd<StillScore>(table, &fake, {.start = {499, 999}}));
  feedback::RolloutOptions walk{.steps = {2, 4}, .eta = 0.5};
  check_objective("stay close", feedback::StayClose<>(table, walk));
  check_parts("pretraining",
              [&](const auto& student, const auto&, const auto&, const Points& batch, diffusion::Randomness random) {
                return diffusion::denoising_loss(student, table, batch.x0, diffusion::Unconditional{}, random.seed,
                                                 random.step, random.first_sample);
              });
}
