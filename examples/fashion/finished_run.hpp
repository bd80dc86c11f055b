// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "distil.hpp"

#include <hypersd/io/json_fields.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/lora_state.hpp>

#include <fstream>

namespace fashion {

/// What a finished run of the main job left behind.
template <Device D>
struct FinishedRun {
  Options options;  ///< those of the run
  nn::Autoencoder<float, D> autoencoder;
  Teacher<D> teacher;
  nn::StateDict<float> lora;  ///< the unified adapter, or TSCD's where one-step enhancement was skipped
  std::string lora_name;
};

/// Reads a run folder. Throws IoError or FormatError naming the file that is missing or does not fit.
template <Device D>
FinishedRun<D> load_run(const std::filesystem::path& run) {
  FinishedRun<D> out;
  Options& o = out.options;
  const std::string settings = (run / "run.json").string();
  require<IoError>(std::filesystem::exists(settings), "no ", io::in_quotes(settings),
                   ": finish a run of the main job first (bash examples/run.sh --out ", run.string(), ")");
  const io::Json json = io::read_json(settings);
  const std::string damaged = "file " + io::in_quotes(settings) + " is damaged";
  const io::Json options = json.member<io::Json::Object>("options", damaged);
  const auto text = [&](const char* name) { return options.member<std::string>(name, damaged); };
  require<OptionError>(text("process") == process_name && text("backbone") == backbone_name, "the run in ",
                       io::in_quotes(run.string()), " has --process ", text("process"), " --backbone ",
                       text("backbone"), "; this program needs one with ", process_name, " and ", backbone_name);
  o.seed = std::stoull(text("seed"));
  o.data = text("data");
  o.channels = std::stoll(text("channels"));
  o.latent_images = std::stoll(text("latent-images"));
  o.guidance = std::stod(text("guidance"));
  o.teacher_inference_steps = std::stoll(text("teacher-inference-steps"));

  const auto file = [&](const std::string& name) { return (run / "models" / (name + ".safetensors")).string(); };
  const auto load = [&](auto& net, const std::string& name) {
    nn::load_state_dict(net, io::SafetensorsFile(file(name)));
    nn::set_requires_grad(net, false);
  };
  out.autoencoder = nn::Autoencoder<float, D>(autoencoder_config(o));
  load(out.autoencoder, "autoencoder");
  const Dataset words(o.data.string());
  out.teacher = Teacher<D>{nn::TextEncoder<float, D>(text_config(words)), make_denoiser<D>(o)};
  load(out.teacher.text, "text_encoder");
  load(out.teacher.unet, backbone_name);
  out.lora_name = std::filesystem::exists(file("one-step_lora")) ? "one-step_lora" : "tscd_lora";
  const io::SafetensorsFile lora(file(out.lora_name));
  for (const auto& name : lora.names()) out.lora.emplace(name, lora.template get<float>(name));
  return out;
}

/// `net` with the run's adapter merged in.
template <Device D>
Net<D> with_adapter(const Net<D>& net, const FinishedRun<D>& run) {
  Net<D> out = net;
  nn::load_lora_state(out, run.lora);
  return nn::merge_lora(out);
}

}  // namespace fashion
