// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cctype>
#include <hypersd/diffusion/noise_table.hpp>
#include <hypersd/diffusion/predictions/any_prediction.hpp>
#include <hypersd/diffusion/schedules/cosine.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/io/json_fields.hpp>
#include <hypersd/stable_diffusion/config.hpp>
#include <optional>
#include <span>

/// \file
/// `scheduler_config.json` of diffusers: the noise schedule, what the network predicts, and the solver with its
/// options.

namespace hypersd::stable_diffusion {

/// Schedulers of diffusers that are supported.
enum class SchedulerKind { tcd, lcm, ddim, euler, euler_ancestral, heun, dpmpp_2m, unipc, pndm };

/// How times are spread over the table: see `diffusion::trailing`, `leading` and `linspace`.
enum class Spacing { leading, trailing, linspace };

namespace detail {

struct SchedulerName {
  SchedulerKind kind;
  const char *option, *class_name;
};
inline constexpr std::array<SchedulerName, 9> scheduler_names{
    {{SchedulerKind::tcd, "tcd", "TCDScheduler"},
     {SchedulerKind::lcm, "lcm", "LCMScheduler"},
     {SchedulerKind::ddim, "ddim", "DDIMScheduler"},
     {SchedulerKind::euler, "euler", "EulerDiscreteScheduler"},
     {SchedulerKind::euler_ancestral, "euler-a", "EulerAncestralDiscreteScheduler"},
     {SchedulerKind::heun, "heun", "HeunDiscreteScheduler"},
     {SchedulerKind::dpmpp_2m, "dpmpp2m", "DPMSolverMultistepScheduler"},
     {SchedulerKind::unipc, "unipc", "UniPCMultistepScheduler"},
     {SchedulerKind::pndm, "pndm", "PNDMScheduler"}}};

}  // namespace detail

/// The name of a scheduler: `tcd`, `lcm`, `ddim`, `euler`, `euler-a`, `heun`, `dpmpp2m`, `unipc` or `pndm`.
inline const char* scheduler_name(SchedulerKind kind) {
  return detail::scheduler_names[static_cast<std::size_t>(kind)].option;
}
/// The scheduler of that name, or of that class of diffusers. Throws OptionError for others.
inline SchedulerKind scheduler_kind(const std::string& name) {
  std::string known;
  for (const auto& n : detail::scheduler_names) {
    if (name == n.option || name == n.class_name) return n.kind;
    known += (known.empty() ? "" : ", ") + std::string(n.option);
  }
  fail<OptionError>("scheduler ", io::in_quotes(name), " is not supported; there are ", known);
}

/// A scheduler with its options. Defaults are those of `DDIMScheduler`.
struct SchedulerConfig {
  SchedulerKind kind = SchedulerKind::ddim;
  diffusion::NoiseTable table{diffusion::ScaledLinear{}.alphas_cumprod()};  ///< levels of the training times
  diffusion::AnyPrediction prediction{};
  Spacing spacing = Spacing::leading;
  int steps_offset = 0;               ///< of the leading grid
  bool set_alpha_to_one = true;       ///< DDIM, PNDM: the last step lands on clean data, not on the first level
  bool clip_sample = false;           ///< DDIM, LCM, Heun: clean data are clipped
  double clip_sample_range = 1;       ///< to [-range, range]
  bool karras = false;                ///< Euler, Heun, DPM++ 2M, UniPC: sigmas spaced as Karras et al. do
  bool final_sigma_min = false;       ///< Euler, DPM++ 2M, UniPC: the last step lands on the first level
  bool lower_order_final = true;      ///< DPM++ 2M: the last of fewer than 15 steps is of first order
  bool euler_at_final = false;        ///< DPM++ 2M: the last step is of first order
  int original_inference_steps = 50;  ///< TCD, LCM: times that the model was distilled on
  double timestep_scaling = 10;       ///< LCM
};

/// Reads `scheduler_config.json`. diffusers writes the numbers -Infinity, Infinity and NaN, which JSON does not have:
/// they become null. Throws IoError and FormatError naming `path`.
inline io::Json read_scheduler_json(const std::string& path) {
  const std::string text = io::read_file(path);
  std::string out;
  out.reserve(text.size());
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted && text[i] == '\\' && i + 1 < text.size()) out += text[i++];
    std::string_view found;
    if (!quoted && (text[i] == '-' || text[i] == 'I' || text[i] == 'N'))
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (text.compare(i, word.size(), word) == 0) found = word;
    if (found.empty()) {
      out += text[i];
    } else {
      out += "null";
      i += found.size() - 1;
    }
  }
  return io::Json::parse(out, io::in_quotes(path));
}

/// `config` with fields replaced or added by texts NAME=VALUE; a value that is no JSON is a text. Throws OptionError
/// for a text without `=`.
inline io::Json with_scheduler_options(const io::Json& config, std::span<const std::string> options) {
  const auto* stated = config.as<io::Json::Object>();
  io::Json::Object members = stated != nullptr ? *stated : io::Json::Object{};
  for (const std::string& option : options) {
    const std::size_t at = option.find('=');
    require<OptionError>(at != std::string::npos && at > 0, "scheduler option ", io::in_quotes(option),
                         ": NAME=VALUE is needed, such as timestep_spacing=trailing");
    const std::string name = option.substr(0, at), text = option.substr(at + 1);
    io::Json value(text);
    try {
      value = io::Json::parse(text == "True" ? "true" : text == "False" ? "false" : text, name);
    } catch (const FormatError&) {  // a text
    }
    std::erase_if(members, [&](const io::Json::Member& m) { return m.first == name; });
    members.emplace_back(name, value);
  }
  return io::Json(std::move(members));
}

/// A checkpoint's configuration as the pipelines of SD1.x and SD2.x in diffusers correct it: an offset of 1 and no
/// clipping. Options that are set afterwards hold.
inline io::Json corrected_by_pipeline(const io::Json& config) {
  return with_scheduler_options(config, std::array<std::string, 2>{"steps_offset=1", "clip_sample=false"});
}

namespace detail {

/// The table of a configuration. Solvers in sigma / alpha use 2^-24 in place of a signal of zero, as diffusers does.
inline diffusion::NoiseTable read_table(io::JsonFields& f, SchedulerKind kind, Notes& notes) {
  const bool few = kind == SchedulerKind::tcd || kind == SchedulerKind::lcm;
  const bool has_snr = kind != SchedulerKind::heun && kind != SchedulerKind::pndm;
  const int steps = static_cast<int>(f.whole("num_train_timesteps", 1000, 2, 100000));
  const double first = f.real("beta_start", few || kind == SchedulerKind::heun ? 0.00085 : 0.0001);
  const double last = f.real("beta_end", few || kind == SchedulerKind::heun ? 0.012 : 0.02);
  f.require_one_of("beta_schedule", {"\"linear\"", "\"scaled_linear\"", "\"squaredcos_cap_v2\""});
  f.require_one_of("trained_betas", {"null"});
  const std::string shape = f.text("beta_schedule", few ? "scaled_linear" : "linear");
  bool zero = f.flag("rescale_betas_zero_snr", false);
  if (zero && !has_snr) {
    notes.push_back(io::in_quotes(f.file()) + ": 'rescale_betas_zero_snr' has no effect on " + scheduler_name(kind) +
                    ", as in diffusers; ddim, tcd, lcm, euler, euler-a, dpmpp2m and unipc know it");
    zero = false;
  }
  const auto alphas = [&]<class S>(const S& schedule) {
    if (!zero) return schedule.alphas_cumprod();
    return diffusion::ZeroTerminalSnr<S>{schedule.options}.alphas_cumprod();
  };
  std::vector<double> table;
  if (shape == "linear") table = alphas(diffusion::Linear{{steps, first, last}});
  if (shape == "scaled_linear") table = alphas(diffusion::ScaledLinear{{steps, first, last}});
  if (shape == "squaredcos_cap_v2") table = alphas(diffusion::Cosine{{steps}});
  const bool sigmas = kind != SchedulerKind::ddim && !few;
  if (zero && sigmas) table.back() = 0x1p-24;
  return diffusion::NoiseTable(std::move(table));
}

/// Values that change the arithmetic in ways that are not supported here.
inline void refuse_unsupported(io::JsonFields& f, SchedulerKind kind) {
  for (const char* off : {"thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
                          "use_flow_sigmas", "use_dynamic_shifting"})
    f.require_one_of(off, {"false"});
  for (const char* none : {"sigma_min", "sigma_max", "shift_terminal", "solver_p", "variance_type"})
    f.require_one_of(none, {"null"});
  f.require_one_of("interpolation_type", {"\"linear\""});
  f.require_one_of("timestep_type", {"\"discrete\""});
  f.require_one_of("disable_corrector", {"[]"});
  f.require_one_of("predict_x0", {"true"});
  f.require_one_of("lambda_min_clipped", {"null"});
  if (kind == SchedulerKind::dpmpp_2m) f.require_one_of("algorithm_type", {"\"dpmsolver++\"", "\"deis\""});
  if (kind == SchedulerKind::dpmpp_2m)
    f.require_one_of("solver_type", {"\"midpoint\"", "\"logrho\"", "\"bh1\"", "\"bh2\""});
  if (kind == SchedulerKind::unipc)
    f.require_one_of("solver_type", {"\"bh2\"", "\"midpoint\"", "\"heun\"", "\"logrho\""});
  if (kind == SchedulerKind::dpmpp_2m || kind == SchedulerKind::unipc) f.require_one_of("solver_order", {"2"});
  if (kind == SchedulerKind::unipc) f.require_one_of("lower_order_final", {"true"});
  f.ignore({"algorithm_type", "solver_type", "solver_order", "lower_order_final", "dynamic_thresholding_ratio",
            "sample_max_value", "flow_shift", "time_shift_type", "skip_prk_steps", "clip_sample", "clip_sample_range",
            "set_alpha_to_one", "use_karras_sigmas", "final_sigmas_type", "euler_at_final", "original_inference_steps",
            "timestep_scaling", "timestep_spacing", "steps_offset"});
}

}  // namespace detail

/// The scheduler of a configuration, or with `as` another one with the same options, as diffusers' `from_config` makes
/// it: stated values hold, absent ones have the defaults of the scheduler's own class. `config` is the content of
/// `file`, which errors name. Throws FormatError for a value that is not supported, OptionError for another class; what
/// is unknown or has no effect goes to `notes`.
inline SchedulerConfig scheduler_config(const io::Json& config, const std::string& file,
                                        std::optional<SchedulerKind> as, Notes& notes) {
  using Kind = SchedulerKind;
  io::JsonFields f(config, file);
  const std::string class_name = f.text("_class_name", "");
  require<OptionError>(as.has_value() || !class_name.empty(), io::in_quotes(file),
                       ": '_class_name' is absent; choose a scheduler");
  SchedulerConfig c;
  const Kind kind = c.kind = as ? *as : scheduler_kind(class_name);
  c.table = detail::read_table(f, kind, notes);

  f.require_one_of("prediction_type", {"\"epsilon\"", "\"v_prediction\"", "\"sample\""});
  const std::string predicts = f.text("prediction_type", "epsilon");
  if (predicts == "v_prediction") c.prediction.kind = diffusion::Velocity{};
  if (predicts == "sample") c.prediction.kind = diffusion::X0{};
  if (predicts == "epsilon" && c.table.zero_terminal_snr())
    f.refuse("rescale_betas_zero_snr",
             "an epsilon prediction says nothing at zero terminal SNR; the checkpoint must "
             "be one of 'v_prediction'");

  const bool by_ratio = kind == Kind::ddim || kind == Kind::pndm;
  f.require_one_of("timestep_spacing", {"\"leading\"", "\"trailing\"", "\"linspace\""});
  const std::string spacing = f.text("timestep_spacing", by_ratio ? "leading" : "linspace");
  c.spacing = spacing == "leading" ? Spacing::leading : spacing == "trailing" ? Spacing::trailing : Spacing::linspace;
  c.steps_offset = static_cast<int>(f.whole("steps_offset", 0, 0, 1000));
  if (by_ratio) c.set_alpha_to_one = f.flag("set_alpha_to_one", kind == Kind::ddim);
  if (kind == Kind::pndm && c.spacing != Spacing::leading)
    f.refuse("timestep_spacing", "pndm is supported with 'leading' only");
  if (kind == Kind::pndm && !f.flag("skip_prk_steps", false))
    notes.push_back(io::in_quotes(file) + ": pndm begins without Runge-Kutta steps ('skip_prk_steps' is true)");

  const bool clips = kind == Kind::ddim || kind == Kind::lcm || kind == Kind::heun;
  if (clips) c.clip_sample = f.flag("clip_sample", kind == Kind::ddim);
  if (c.clip_sample) {
    c.clip_sample_range = f.real("clip_sample_range", 1);
    if (!(c.clip_sample_range > 0)) f.refuse("clip_sample_range", "a positive number is needed");
    notes.push_back(io::in_quotes(file) + ": 'clip_sample' clips latents to [-" + io::number(c.clip_sample_range) +
                    ", " + io::number(c.clip_sample_range) +
                    "], which spoils pictures of Stable Diffusion; its checkpoints say clip_sample=false");
  }
  if (kind == Kind::euler || kind == Kind::heun || kind == Kind::dpmpp_2m || kind == Kind::unipc)
    c.karras = f.flag("use_karras_sigmas", false);
  if (kind == Kind::euler || kind == Kind::dpmpp_2m || kind == Kind::unipc) {
    f.require_one_of("final_sigmas_type", {"\"zero\"", "\"sigma_min\""});
    c.final_sigma_min = f.text("final_sigmas_type", "zero") == "sigma_min";
  }
  if (kind == Kind::dpmpp_2m) {
    c.lower_order_final = f.flag("lower_order_final", true);
    c.euler_at_final = f.flag("euler_at_final", false);
  }
  if (kind == Kind::tcd || kind == Kind::lcm) {
    c.original_inference_steps = static_cast<int>(f.whole("original_inference_steps", 50, 1, c.table.size()));
    c.timestep_scaling = f.real("timestep_scaling", 10);
  }
  detail::refuse_unsupported(f, kind);
  detail::note_unknown(f, notes);
  return c;
}

}  // namespace hypersd::stable_diffusion
