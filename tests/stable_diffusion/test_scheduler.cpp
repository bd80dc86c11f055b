// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/scheduler.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/stable_diffusion/denoise.hpp>
#include <hypersd/stable_diffusion/hyper_sd.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using Kind = sd::SchedulerKind;

namespace {

const std::string sd15 = R"({"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "beta_end": 0.012, "clip_sample": false, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1})";

sd::SchedulerConfig read(const std::string& json, std::optional<Kind> as = {}, sd::Notes* notes = nullptr) {
  sd::Notes ignored;
  return sd::scheduler_config(io::Json::parse(json, "test"), "scheduler_config.json", as,
                              notes != nullptr ? *notes : ignored);
}
sd::SchedulerConfig changed(const std::vector<std::string>& options, std::optional<Kind> as = {}) {
  sd::Notes notes;
  return sd::scheduler_config(sd::with_scheduler_options(io::Json::parse(sd15, "test"), options), "file", as, notes);
}
template <class E = FormatError>
std::string refusal(const std::vector<std::string>& options, std::optional<Kind> as = {}) {
  return test::message_of<E>([&] { changed(options, as); });
}
diffusion::Times first_times(const sd::SchedulerConfig& c, const sd::RunOptions& o) {
  diffusion::Times out;
  for (const auto& step : sd::plan_run(c, o).steps) out.push_back(step.times.from);
  return out;
}

}  // namespace

TEST_CASE("scheduler: configurations have the defaults of the class that is asked for") {
  const auto pndm = read(sd15);
  CHECK(pndm.kind == Kind::pndm);
  CHECK(pndm.table.alphas_cumprod(999) == doctest::Approx(0.0046601));
  CHECK(pndm.steps_offset == 1);
  CHECK(!pndm.set_alpha_to_one);
  CHECK(read(sd15, Kind::ddim).spacing == sd::Spacing::leading);
  CHECK(read(sd15, Kind::euler).spacing == sd::Spacing::linspace);
  CHECK(!read(sd15, Kind::ddim).clip_sample);
  // What the file does not state.
  const std::string bare = R"({"_class_name": "DDIMScheduler"})";
  CHECK(read(bare).clip_sample);
  CHECK(read(bare).set_alpha_to_one);
  CHECK(!read(bare, Kind::pndm).set_alpha_to_one);
  CHECK(!read(bare, Kind::lcm).clip_sample);
  CHECK(read(bare).table.alphas_cumprod(0) == doctest::Approx(1 - 0.0001));
  CHECK(read(bare, Kind::tcd).table.alphas_cumprod(0) == doctest::Approx(1 - 0.00085));
  // The pipelines of SD1.x and SD2.x correct two values of the checkpoint, not those that the user sets.
  const auto corrected = sd::corrected_by_pipeline(io::Json::parse(bare, "bare"));
  sd::Notes notes;
  CHECK(!sd::scheduler_config(corrected, "file", {}, notes).clip_sample);
  CHECK(sd::scheduler_config(corrected, "file", {}, notes).steps_offset == 1);
  const std::vector<std::string> own{"clip_sample=true", "clip_sample_range=1.5", "steps_offset=0"};
  const auto set = sd::scheduler_config(sd::with_scheduler_options(corrected, own), "file", {}, notes);
  CHECK(set.clip_sample);
  CHECK(set.clip_sample_range == 1.5);
  CHECK(set.steps_offset == 0);
  CHECK(sd::scheduler_kind("euler-a") == Kind::euler_ancestral);
  CHECK(std::string(sd::scheduler_name(Kind::dpmpp_2m)) == "dpmpp2m");
  CHECK(sd::scheduler_kind("DPMSolverMultistepScheduler") == Kind::dpmpp_2m);
}

TEST_CASE("scheduler: what changes results and is not supported is refused by name") {
  CHECK(test::mentions(refusal({"thresholding=true"}), "'thresholding' is true: not supported"));
  CHECK(test::mentions(refusal({"beta_schedule=sigmoid"}), "'beta_schedule' is \"sigmoid\""));
  CHECK(test::mentions(refusal({"trained_betas=[0.1]"}), "'trained_betas'"));
  CHECK(test::mentions(refusal({"use_lu_lambdas=True"}, Kind::dpmpp_2m), "'use_lu_lambdas'"));
  CHECK(test::mentions(refusal({"interpolation_type=log_linear"}, Kind::euler), "'interpolation_type'"));
  CHECK(test::mentions(refusal({"solver_order=3"}, Kind::dpmpp_2m), "'solver_order' is 3"));
  CHECK(test::mentions(refusal({"algorithm_type=sde-dpmsolver++"}, Kind::dpmpp_2m), "'algorithm_type'"));
  CHECK(test::mentions(refusal({"solver_type=bh1"}, Kind::unipc), "'solver_type'"));
  CHECK(test::mentions(refusal({"timestep_spacing=trailing"}), "pndm is supported with 'leading' only"));
  CHECK(test::mentions(refusal({"prediction_type=flow_prediction"}, Kind::ddim), "'prediction_type'"));
  CHECK(test::mentions(refusal({"rescale_betas_zero_snr=true"}, Kind::ddim), "zero terminal SNR"));
  CHECK_NOTHROW(changed({"rescale_betas_zero_snr=true", "prediction_type=v_prediction"}, Kind::ddim));
  CHECK_NOTHROW(changed({"rescale_betas_zero_snr=true"}, Kind::euler));  // 2^-24 in place of 0
  CHECK(test::mentions(refusal<OptionError>({"_class_name=DEISMultistepScheduler"}), "'DEISMultistepScheduler'"));
  CHECK(test::mentions(refusal<OptionError>({"_class_name"}), "NAME=VALUE"));
  CHECK(test::mentions(test::message_of<OptionError>([] { read("{}"); }), "'_class_name' is absent"));
  // Values for another class have no effect.
  CHECK_NOTHROW(changed({"solver_type=bh1"}, Kind::ddim));
  CHECK_NOTHROW(changed({"solver_order=3"}, Kind::euler));
}

TEST_CASE("scheduler: notes say what is unknown or spoils pictures") {
  sd::Notes notes;
  read(R"({"_class_name": "DDIMScheduler", "surprise": 1, "_comment": 2})", {}, &notes);
  REQUIRE(notes.size() == 2);
  CHECK(test::mentions(notes[0], "'clip_sample' clips latents to [-1, 1], which spoils pictures"));
  CHECK(test::mentions(notes[1], "'surprise' is unknown"));
  notes.clear();
  read(R"({"_class_name": "PNDMScheduler", "rescale_betas_zero_snr": true})", {}, &notes);
  REQUIRE(notes.size() == 2);
  CHECK(test::mentions(notes[0], "'rescale_betas_zero_snr' has no effect on pndm"));
  CHECK(test::mentions(notes[1], "without Runge-Kutta steps"));
}

TEST_CASE("scheduler: the infinities that diffusers writes are read") {
  test::TempFolder folder;
  io::atomic_write(folder / "s.json", R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity,
      "text": "a \" -Infinity", "x": [NaN, Infinity]})");
  const auto json = sd::read_scheduler_json(folder / "s.json");
  CHECK(json.find("lambda_min_clipped")->is_null());
  CHECK(*json.find("text")->as<std::string>() == "a \" -Infinity");
  sd::Notes notes;
  CHECK(sd::scheduler_config(json, "s.json", {}, notes).kind == Kind::dpmpp_2m);
  CHECK(notes.size() == 2);  // text and x
  io::atomic_write(folder / "s.json", "{");
  CHECK_THROWS_AS(sd::read_scheduler_json(folder / "s.json"), FormatError);
}

TEST_CASE("scheduler: grids of few steps") {
  CHECK(first_times(read(sd15, Kind::tcd), {.steps = 4}) == diffusion::Times{999, 759, 499, 259});
  CHECK(first_times(changed({"timestep_spacing=trailing"}, Kind::ddim), {.steps = 4}) ==
        diffusion::Times{999, 749, 499, 249});
  CHECK(first_times(read(sd15, Kind::ddim), {.steps = 4}) == diffusion::Times{751, 501, 251, 1});
  CHECK(first_times(read(sd15, Kind::lcm), {.timesteps = {800}}) == diffusion::Times{800});
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::tcd), {.steps = 51}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::ddim), {.steps = 0}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::euler), {.steps = 1001}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::unipc), {.steps = 1000}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::tcd), {.timesteps = {400, 600}}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::tcd), {.timesteps = {1000}}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::tcd), {.timesteps = {500.5}}), OptionError);
  CHECK_NOTHROW(sd::plan_run(read(sd15, Kind::euler), {.timesteps = {500.5}}));
  CHECK_THROWS_AS(sd::plan_run(read(sd15), {.timesteps = {500}}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(changed({"use_karras_sigmas=true"}, Kind::euler), {.timesteps = {500}}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::euler), {.steps = 4, .eta = 0.5}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(read(sd15, Kind::tcd), {.steps = 4, .eta = 1.5}), OptionError);
}

TEST_CASE("scheduler: image-to-image with few steps is never empty") {
  const auto tcd = read(sd15, Kind::tcd);
  CHECK(first_times(tcd, {.steps = 4, .strength = 0.5}) == diffusion::Times{499, 259});
  CHECK(first_times(tcd, {.steps = 4, .strength = 0.3}) == diffusion::Times{259});
  const auto plan = sd::plan_run(tcd, {.steps = 2, .strength = 0.3});
  REQUIRE(plan.steps.size() == 1);
  CHECK(plan.steps[0].times.from == 499);
  REQUIRE(plan.notes.size() == 1);
  CHECK(test::mentions(plan.notes[0], "strength 0.3 of 2 steps is less than one: one step is taken"));
  CHECK(sd::plan_run(tcd, {.steps = 4, .strength = 0.5}).notes.empty());
  CHECK_THROWS_AS(sd::plan_run(tcd, {.steps = 4, .strength = 0}), OptionError);
  CHECK_THROWS_AS(sd::plan_run(tcd, {.steps = 4, .strength = 1.1}), OptionError);
  // DDIM's step stays that of all steps: T / n.
  CHECK(sd::plan_run(read(sd15, Kind::ddim), {.steps = 4, .strength = 0.5}).steps[0].times.to == 1);
}

TEST_CASE("denoise: guidance, noise by the seed and callbacks are the sampler's") {
  struct Net {
    Tensor<float> operator()(const Tensor<float>& x, const Numbers<float>&, const Tensor<float>& c) const {
      return ops::map(ops::Mul{}, x, c);
    }
  };
  const auto c = changed({"timestep_spacing=trailing"}, Kind::ddim);
  const auto plan = sd::plan_run(c, {.steps = 5, .eta = 0.7});
  const auto noise = ops::normal<float, Cpu>(Shape{2, 2, 2, 4}, stream(3, "test"));
  const auto one = ops::normal<float, Cpu>(noise.shape(), stream(4, "test")),
             two = ops::normal<float, Cpu>(noise.shape(), stream(5, "test"));
  const diffusion::GuidedCondition<Tensor<float>> condition{one, two};
  sd::DenoiseOptions<float, Cpu> o;
  o.guidance = {3, 1};
  o.guidance_rescale = 0.4;
  o.seed = 9;
  o.first_sample = 5;
  std::string order;
  o.before = [&](std::int64_t i) { order += "b" + std::to_string(i); };
  o.after = [&](std::int64_t i, const Tensor<float>&) { order += "a" + std::to_string(i); };
  o.progress = [&](const ProgressEvent& e) { order += "p" + std::to_string(e.step); };
  const auto got = sd::denoise(plan, Net{}, sd::start_from_noise(plan, noise), condition, o);
  CHECK(order == "p0b0a0p1b1a1p2b2a2p3b3a3p4b4a4p5");
  const diffusion::Sampler<diffusion::Ddim, diffusion::StableDiffusion, diffusion::ClassifierFree> sampler(
      {0.7}, {}, {.rescale = 0.4});
  const auto want = sampler(Net{}, noise, condition, 5, {.seed = 9, .guidance = {3, 1}, .first_sample = 5});
  CHECK(checkpoints::difference(got, want) < 1e-6);
  o.guidance = {1, 2, 3};
  CHECK_THROWS_AS(sd::denoise(plan, Net{}, noise, condition, o), OptionError);
  o.guidance = {1};
  o.noise = [] { return Tensor<float>::zeros({1}); };
  CHECK_THROWS_AS(sd::denoise(plan, Net{}, noise, condition, o), ShapeError);
}

TEST_CASE("hyper-sd: settings that the model card does not want are named with those that it wants") {
  const auto notes = [](const std::string& file, const sd::SchedulerConfig& c, const sd::RunOptions& o, double g) {
    return sd::few_step_notes(c, o, sd::plan_run(c, o), std::vector<std::string>{file}, g);
  };
  const auto trailing = changed({"timestep_spacing=trailing"}, Kind::ddim);
  const std::string four = "loras/Hyper-SD15-4steps-lora.safetensors", unified = "Hyper-SDXL-1step-lora.safetensors";
  CHECK(notes(four, trailing, {.steps = 4}, 0).empty());
  const auto leading = notes(four, read(sd15, Kind::ddim), {.steps = 4}, 7.5);
  REQUIRE(leading.size() == 2);
  CHECK(leading[0] ==
        "Hyper-SD15-4steps-lora.safetensors wants ddim with timestep_spacing=trailing, 4 steps, guidance scale 0; this "
        "run has a grid that is not trailing, a guidance scale of 7.5");
  CHECK(test::mentions(leading[1], "begins at time 751 of 999"));
  CHECK(notes(unified, read(sd15, Kind::tcd), {.steps = 1, .eta = 1}, 0).empty());
  CHECK(test::mentions(notes(unified, read(sd15, Kind::euler), {.steps = 20}, 0)[0], "the scheduler euler, 20 steps"));
  const auto wrong = notes(unified, read(sd15, Kind::tcd), {.timesteps = {800}}, 0);
  REQUIRE(wrong.size() == 1);
  CHECK(test::mentions(wrong[0], "only Hyper-SDXL-1step-Unet is made for a start at 800"));
  CHECK(notes("Hyper-SDXL-1step-Unet.safetensors", read(sd15, Kind::lcm), {.timesteps = {800}}, 0).empty());
  CHECK(test::mentions(notes("Hyper-SDXL-1step-Unet.safetensors", read(sd15, Kind::lcm), {.steps = 1}, 0)[0],
                       "a start at time 999"));
  CHECK(notes("Hyper-SD15-8steps-CFG-lora.safetensors", trailing, {.steps = 8}, 5).empty());
  CHECK(notes("Hyper-SD15-12steps-CFG-lora.safetensors", trailing, {.steps = 12}, 0).size() == 1);
  CHECK(notes("style.safetensors", read(sd15, Kind::ddim), {.steps = 30}, 7).empty());
  // Any run of few steps on a leading grid.
  CHECK(notes("my_lcm.safetensors", read(sd15, Kind::ddim), {.steps = 4}, 1).size() == 1);
}
