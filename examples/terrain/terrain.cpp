// SPDX-License-Identifier: Apache-2.0
/// Landscapes by a published one-step model (adaptive-terrain-diffusion, MIT), drawn with hill shading.
/// `examples/terrain/convert.py` makes the file of weights.
#include "network.hpp"

#include <common/program.hpp>
#include <filesystem>
#include <hypersd/io/image.hpp>
#include <hypersd/io/npy.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/ops/random.hpp>

namespace {

using namespace hypersd;

struct Options {
  std::string weights, out = "runs/terrain", device = "cpu";
  std::vector<std::int64_t> difficulty{1, 25, 50, 75, 100};
  std::int64_t count = 4;
  std::uint64_t seed = 0;
};

Options options_from(int argc, char** argv) {
  Options o;
  CLI::App app{"Draws landscapes in one step of a published consistency model.", "hypersd_terrain"};
  app.add_option("--weights", o.weights, "file that examples/terrain/convert.py writes")->required();
  app.add_option("--difficulty", o.difficulty, "labels from 1 (flat) to 100, one row of pictures each")
      ->delimiter(',')
      ->check(program::whole(1, 100));
  app.add_option("--count", o.count, "pictures of each label")->check(program::whole(1, 64))->capture_default_str();
  app.add_option("--seed", o.seed, "of the noise; a column shares its noise")->capture_default_str();
  app.add_option("--out", o.out, "folder for terrain.png and heights.npy")->capture_default_str();
  program::add_device(app, o.device);
  program::parse(app, argc, argv);
  return o;
}

/// Metres of the model's numbers in [-1, 1], which are those of asinh(10 height).
double height_of(float x) {
  constexpr double highest = 22.16864013671875, scale = 0.1;
  return scale * std::sinh((static_cast<double>(x) + 1) / 2 * std::asinh(highest / scale));
}

/// A landscape [H, W] in metres: colours by height, lit from the upper left at 45 degrees.
void draw(io::Image& sheet, int left, int top, const Tensor<float>& heights, double cell) {
  const auto rows = static_cast<int>(heights.dim(0)), columns = static_cast<int>(heights.dim(1));
  const auto at = [&](int y, int x) {
    return static_cast<double>(
        heights[std::int64_t{std::clamp(y, 0, rows - 1)} * columns + std::clamp(x, 0, columns - 1)]);
  };
  // Valley, slope, ridge, peak.
  static constexpr double ramp[4][3] = {{92, 122, 84}, {158, 150, 108}, {150, 126, 104}, {236, 236, 236}};
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x) {
      const double dx = (at(y, x + 1) - at(y, x - 1)) / (2 * cell), dy = (at(y + 1, x) - at(y - 1, x)) / (2 * cell);
      const double light = std::max(0.0, (dx + dy) / 2 + std::sqrt(0.5)) / std::sqrt(1 + dx * dx + dy * dy);
      const double level = std::min(std::max(at(y, x), 0.0) / 12, 0.999) * 3;
      const auto below = static_cast<std::size_t>(level);
      const double share = level - static_cast<double>(below);
      for (std::size_t c = 0; c < 3; ++c) {
        const double colour = (1 - share) * ramp[below][c] + share * ramp[below + 1][c];
        sheet.at(left + x, top + y)[c] = static_cast<std::uint8_t>(std::min(255.0, colour * (0.25 + 1.05 * light)));
      }
    }
}

template <Device D>
void execute(const Options& o) {
  constexpr std::int64_t size = 128;
  constexpr double sigma = 80;
  const io::SafetensorsFile file(o.weights);
  terrain::Network<float, D> net;
  nn::StateDict<float> state;
  for (const std::string& name : file.names())
    if (name.rfind("reference.", 0) != 0) state.emplace(name, file.tensor<float>(name));
  nn::load_state_dict(net, state);
  io::ensure_writable_folder(o.out);

  const auto rows = static_cast<std::int64_t>(o.difficulty.size());
  const auto noise = ops::normal<float, D>(Shape{o.count, size, size, 1}, stream(o.seed, "terrain"));
  const auto noisy = ops::map(ops::Affine<float>{static_cast<float>(sigma), 0}, noise);
  Tensor<float> all(Shape{rows, o.count, size, size});
  constexpr int margin = 4;
  const auto pitch = static_cast<int>(size) + margin;
  io::Image sheet(static_cast<int>(o.count) * pitch + margin, static_cast<int>(rows) * pitch + margin, 3, 255);
  for (std::int64_t r = 0; r < rows; ++r) {
    const double label = static_cast<double>(o.difficulty[static_cast<std::size_t>(r)] - 1) / 99;
    const std::vector<double> sigmas(static_cast<std::size_t>(o.count), sigma), labels(sigmas.size(), label);
    const auto x = terrain::denoise(net, noisy, sigmas, labels).template to<Cpu>();
    double highest = 0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double h = height_of(x[i]);
      highest = std::max(highest, h);
      all[r * x.size() + i] = static_cast<float>(h);
    }
    for (std::int64_t i = 0; i < o.count; ++i)
      draw(sheet, margin + static_cast<int>(i) * pitch, margin + static_cast<int>(r) * pitch,
           all.slice(r, r + 1).reshape(Shape{o.count, size, size}).slice(i, i + 1).reshape(Shape{size, size}), 0.2);
    std::printf("difficulty %3lld: up to %.1f m\n", static_cast<long long>(o.difficulty[static_cast<std::size_t>(r)]),
                highest);
  }
  const std::string folder = o.out;
  io::write_png(folder + "/terrain.png", sheet);
  io::write_npy(folder + "/heights.npy", all);
  std::printf("%s/terrain.png, %s/heights.npy\n", folder.c_str(), folder.c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  const Options o = options_from(argc, argv);
  program::on_gpu(o.device) ? execute<program::Gpu>(o) : execute<Cpu>(o);
  return 0;
} catch (...) {
  return program::failed("hypersd_terrain");
}
