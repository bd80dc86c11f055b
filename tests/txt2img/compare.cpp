// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <hypersd/io/json.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/io/safetensors.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <temp_folder.hpp>
#include <vector>

using namespace hypersd;

namespace {

const std::string data = std::string(HYPERSD_TEST_DATA) + "/pipeline";

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}
/// Runs txt2img in the folder of the data; its output goes to `log`. The exit code.
int run(const std::vector<std::string>& options, const std::string& log) {
  std::string command = "cd " + quoted(data) + " && " + quoted(HYPERSD_TXT2IMG);
  for (const std::string& option : options) command += " " + quoted(option);
  const int status = std::system((command + " >" + quoted(log) + " 2>&1").c_str());
  return WEXITSTATUS(status);
}
/// The message of a run that must fail.
std::string refused(std::vector<std::string> options) {
  const test::TempFolder folder;
  options.insert(options.end(), {"--out", folder / "out"});
  const std::string log = folder / "log";
  CHECK(run(options, log) == 2);
  return io::read_file(log);
}

struct Limits {
  double steps = 5e-4, image = 1.0 / 255, embeds = 1e-4;
};
double difference(const Tensor<float>& got, const Tensor<float>& want) {
  REQUIRE(got.shape() == want.shape());
  double worst = 0;
  for (std::int64_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(double{got[i]} - double{want[i]}));
  return worst;
}

void compare(const std::string& name) {
  CAPTURE(name);
  const io::Json cases = io::Json::parse(io::read_file(data + "/cases.json"), "cases.json");
  std::vector<std::string> options;
  for (const io::Json& option : *cases.find(name)->as<io::Json::Array>()) options.push_back(*option.as<std::string>());
  const test::TempFolder folder;
  options.insert(options.end(),
                 {"--out", folder / "out", "--save-steps", "--dump-embeds", "--dump-tokens", "--threads", "2"});
  const int code = run(options, folder / "log");
  REQUIRE_MESSAGE(code == 0, io::read_file(folder / "log"));
  const io::SafetensorsFile golden(data + "/" + name + ".safetensors");
  int compared = 0;
  for (const std::string& key : golden.names()) {
    CAPTURE(key);
    const std::string file = folder / ("out/" + key + ".npy");
    const auto got = io::read_npy_as<float>(file);
    const double apart = difference(got, golden.get<float>(key, io::Convert::AnyNumber));
    if (key.starts_with("tokens"))
      CHECK(apart == 0);
    else if (key.starts_with("latents"))
      CHECK(apart < Limits{}.steps);
    else if (key == "image")
      CHECK(apart < Limits{}.image);
    else
      CHECK(apart < Limits{}.embeds);
    ++compared;
  }
  CHECK(compared >= 4);
  // The picture's bytes are those of the array.
  const auto image = io::read_npy_as<float>(folder / "out/image.npy");
  const bool one = image.dim(0) == 1;
  const auto picture = io::read_png(folder / (one ? "out/image.png" : "out/image1.png"));
  const std::int64_t height = image.dim(2), width = image.dim(3), at = one ? 0 : 3 * height * width;
  REQUIRE(picture.width == width);
  REQUIRE(picture.height == height);
  int wrong = 0;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < height * width; ++i)
      wrong += picture.pixels[static_cast<std::size_t>(3 * i + c)] !=
               std::nearbyint(255.0F * image[at + c * height * width + i]);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("txt2img: TCD with torch's random numbers") { compare("tcd"); }
TEST_CASE(
    "txt2img: DDIM with guidance, its rescaling, two prompts and a negative one, a size that is no power of two") {
  compare("ddim");
}
TEST_CASE("txt2img: Euler with two ControlNets in guess mode and a LoRA") { compare("control"); }
TEST_CASE("txt2img: image to image by UniPC, decoded in strips") { compare("image"); }
TEST_CASE("txt2img: LCM, clip skip and a tiny decoder") { compare("lcm"); }

TEST_CASE("txt2img: prompt and settings are in the picture") {
  const test::TempFolder folder;
  REQUIRE(run({"--model",
               "tiny",
               "--prompt",
               "ein H\xC3\xBCndchen",
               "--steps",
               "1",
               "--scheduler",
               "tcd",
               "--guidance-scale",
               "0",
               "--seed",
               "77",
               "--eta",
               "0.5",
               "--clip-skip",
               "1",
               "--dtype",
               "bf16",
               "--scheduler-option",
               "original_inference_steps=40",
               "--out",
               folder / "out"},
              folder / "log") == 0);
  const std::string png = io::read_file(folder / "out/image.png");
  const std::size_t at = png.find("iTXtparameters");
  REQUIRE(at != std::string::npos);
  for (const char* part : {"ein H\xC3\xBCndchen", "Steps: 1, Sampler: tcd, original_inference_steps=40, CFG scale: 0",
                           "Seed: 77, RNG: philox, Size: 64x64", "Weights: bf16, Eta: 0.5, Clip skip: 1, Program"})
    CHECK(test::mentions(png.substr(at, 400), part));
  CHECK(!std::filesystem::exists(folder / "out/latents_steps.npy"));
}

TEST_CASE("txt2img: errors name the option or file") {
  using test::mentions;
  CHECK(mentions(refused({"--prompt", "x"}), "--model"));
  CHECK(mentions(refused({"--model", "none"}), "'none'"));
  CHECK(mentions(refused({"--model", "tiny", "--width", "60"}), "multiples of 8"));
  CHECK(mentions(refused({"--model", "tiny", "--scheduler", "fancy"}), "--scheduler"));
  CHECK(mentions(refused({"--model", "tiny", "--steps", "4", "--timesteps", "999"}), "--timesteps"));
  CHECK(mentions(refused({"--model", "tiny", "--scheduler", "tcd", "--timesteps", "200,400"}), "descend"));
  CHECK(mentions(refused({"--model", "tiny", "--scheduler-option", "timestep_spacing"}), "NAME=VALUE"));
  CHECK(mentions(refused({"--model", "tiny", "--lora", "tiny/unet/diffusion_pytorch_model.safetensors"}),
                 "cannot be applied"));
  CHECK(mentions(refused({"--model", "tiny", "--lora", "lora.safetensors:strong"}), "weight"));
  CHECK(mentions(refused({"--model", "tiny", "--controlnet", "control"}), "--control-image"));
  CHECK(mentions(refused({"--model", "tiny", "--guess-mode"}), "--controlnet"));
  CHECK(mentions(refused({"--model", "tiny", "--latents", "control.png"}), "control.png"));
  CHECK(mentions(refused({"--model", "tiny", "--prompt-2", "x"}), "SDXL"));
  CHECK(mentions(refused({"--model", "tiny", "--crops", "1"}), "--crops"));
  CHECK(mentions(refused({"--model", "tiny", "--dtype", "f16", "--device", "cuda"}), "--device cpu"));
  CHECK(mentions(refused({"--model", "tiny", "--tiny-decoder", "lora.safetensors"}), "lora.safetensors"));
  CHECK(mentions(refused({"--model", "tiny", "--prompt", "\xFF"}), "UTF-8"));
}

TEST_CASE("txt2img: options that a published LoRA does not fit give a remark") {
  const test::TempFolder folder;
  const std::string lora = folder / "Hyper-SD15-1step-lora.safetensors";
  std::filesystem::copy_file(data + "/lora.safetensors", lora);
  const std::vector<std::string> common{"--model", "tiny", "--lora", lora, "--steps", "1", "--out", folder / "out"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    REQUIRE(run(more, folder / "log") == 0);
    return io::read_file(folder / "log");
  };
  CHECK(test::mentions(with({"--scheduler", "ddim"}), "wants tcd with eta 1"));
  CHECK(with({"--scheduler", "tcd", "--guidance-scale", "0"}).find(" wants ") == std::string::npos);
}

TEST_CASE("txt2img: --dtype f16 keeps float16 files as they are, and rounds what a LoRA has changed") {
  const test::TempFolder folder;
  const auto draw = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--model", "tiny", "--prompt", "x", "--steps", "2", "--scheduler", "tcd",
                             "--guidance-scale", "0", "--out", folder / "out"});
    REQUIRE(run(more, folder / "log") == 0);
    return io::read_npy_as<float>(folder / "out/image.npy");
  };
  const auto plain = draw({});
  CHECK(draw({"--dtype", "f16"}).to_vector() == plain.to_vector());
  const double rounded = difference(draw({"--dtype", "bf16"}), plain);
  CHECK(rounded > 0);
  CHECK(rounded < 0.05);
  const auto adapted = draw({"--lora", "lora.safetensors"});
  const double merged = difference(draw({"--lora", "lora.safetensors", "--dtype", "f16"}), adapted);
  CHECK(merged > 0);
  CHECK(merged < 0.01);
  CHECK(difference(draw({"--lora", "lora.safetensors", "--dtype", "f16", "--unfused-lora"}), adapted) < 1e-4);
}
