// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/tiny_decoder.hpp>

#include <doctest/doctest.h>

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/ops/copy.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

const std::string golden_file = std::string(HYPERSD_TEST_DATA) + "/tiny_autoencoder.safetensors";

/// Writes the golden network's tensors whose name `rename` keeps (does not make empty).
template <class Rename>
void write(const std::string& path, Rename&& rename) {
  const io::SafetensorsFile file(golden_file);
  io::SafetensorsWriter out;
  for (const std::string& name : file.names()) {
    if (!name.starts_with("param.")) continue;
    const std::string as = rename(name.substr(6));
    if (!as.empty()) out.add(as, file.get<float>(name));
  }
  out.write(path);
}
/// decoder.layers.3.conv.0.weight -> 4.conv.0.weight, as in taesd_decoder.safetensors.
std::string original(const std::string& name) {
  if (!name.starts_with("decoder.layers.")) return "";
  const std::string rest = name.substr(15);
  const std::size_t dot = rest.find('.');
  return std::to_string(std::stoi(rest.substr(0, dot)) + 1) + rest.substr(dot);
}

}  // namespace

TEST_CASE("tiny decoder: folder and files of diffusers, and the original's file, decode as diffusers does") {
  const test::TempFolder folder;
  write(folder / "diffusion_pytorch_model.safetensors", [](const std::string& name) { return name; });
  write(folder / "taesd_decoder.safetensors", original);
  const io::SafetensorsFile golden(golden_file);
  const auto latents = golden.get<float>("latents");
  const auto z = ops::map(ops::Affine<float>{3, 0}, ops::nchw_to_nhwc(latents));
  const auto want = ops::nchw_to_nhwc(golden.get<float>("out"));
  for (const std::string& path :
       {folder.path(), folder / "diffusion_pytorch_model.safetensors", folder / "taesd_decoder.safetensors"}) {
    CAPTURE(path);
    const auto net = stable_diffusion::load_tiny_decoder<float>(path);
    const autograd::NoGrad guard;
    const auto got = net(Var<float>(z)).value();
    REQUIRE(got.shape() == want.shape());
    double worst = 0;
    for (std::int64_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(double{got[i]} - double{want[i]}));
    CHECK(worst < 1e-4);
  }
}

TEST_CASE("tiny decoder: other files are refused by name") {
  const test::TempFolder folder;
  const std::string path = folder / "taesd_encoder.safetensors";
  write(path, [](const std::string& name) { return name.starts_with("encoder.") ? name : ""; });
  const auto load = [&] { stable_diffusion::load_tiny_decoder<float>(path); };
  CHECK(mentions(message_of<FormatError>(load), "taesd_encoder.safetensors"));
  CHECK(mentions(message_of<FormatError>(load), "taesd_decoder.safetensors"));
  write(path, [](const std::string& name) { return name == "decoder.layers.2.conv.2.bias" ? "" : name; });
  CHECK(mentions(message_of<FormatError>(load), "taesd_encoder.safetensors"));
  CHECK(mentions(message_of<FormatError>(load), "layers.2.conv.2.bias"));
  CHECK_THROWS_AS(stable_diffusion::load_tiny_decoder<float>(folder / "none.safetensors"), IoError);
}
