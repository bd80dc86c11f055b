// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <fashion/job.hpp>

#include <CLI/CLI.hpp>
#include <hypersd/io/png.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

using namespace hypersd;
using emulated::Kernels;

namespace {

/// An IDX file of bytes.
void write_idx(const std::filesystem::path& path, const std::vector<int>& extents, const std::string& bytes) {
  std::string out{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const int n : extents)
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>((n >> shift) & 0xFF);
  std::ofstream(path, std::ios::binary) << out << bytes;
}

/// Bars whose place is their class.
void write_part(const std::filesystem::path& folder, const std::string& part, int n) {
  std::string pixels, labels;
  for (int i = 0; i < n; ++i) {
    const int label = i % 4;
    labels += static_cast<char>(label);
    for (int y = 0; y < 28; ++y)
      for (int x = 0; x < 28; ++x) {
        const bool inside = x / 7 == label && y > 3 + i % 5 && y < 24;
        pixels += static_cast<char>(inside ? 255 - (i * 7 + y) % 40 : 0);
      }
  }
  write_idx(folder / (part + "-images-idx3-ubyte"), {n, 28, 28}, pixels);
  write_idx(folder / (part + "-labels-idx1-ubyte"), {n}, labels);
}

/// The columns of a CSV whose cells are numbers, row after row.
std::vector<double> numbers_of(const std::filesystem::path& file, const std::string& column) {
  std::ifstream in(file);
  std::string line, cell;
  std::getline(in, line);
  std::size_t at = 0, i = 0;
  for (std::istringstream head(line); std::getline(head, cell, ','); ++i)
    if (cell == column) at = i;
  std::vector<double> out;
  while (std::getline(in, line)) {
    std::istringstream row(line);
    for (std::size_t k = 0; k <= at; ++k) std::getline(row, cell, ',');
    out.push_back(cell == "nan" || cell.empty() ? 0 : std::stod(cell));
  }
  return out;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]) / (1e-3 + std::abs(b[i]));
    worst = numbers::worse(worst, d);
  }
  return worst;
}

fashion::Options tiny(const std::filesystem::path& data) {
  fashion::Options o;
  o.data = data;
  o.seed = 5;
  o.autoencoder_width = 8;
  o.autoencoder_steps = o.classifier_steps = o.teacher_steps = 2;
  o.autoencoder_batch = o.classifier_batch = o.teacher_batch = o.distill_batch = 4;
  o.latent_images = 16;
  o.channels = 8;
  o.rank = 2;
  o.stage_segments = {2, 1};
  o.stage_steps = {1, 1};
  o.distance = "hybrid";
  o.pairs = 4;
  o.one_step_steps = o.feedback_steps = o.reward_steps = 1;
  o.rated = 10;
  o.eval_samples = 20;
  o.trajectory_samples = 4;
  o.bootstrap = 4;
  o.student_steps = {1, 2};
  o.teacher_inference_steps = 2;
  return o;
}

}  // namespace

TEST_CASE("The main job on CUDA kernels, run on the host, is the CPU's") {
  const auto folder = std::filesystem::temp_directory_path() / ("hypersd_main_job_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "data");
  write_part(folder / "data", "train", 48);
  write_part(folder / "data", "t10k", 24);
  fashion::Options o = tiny(folder / "data");
  o.out = folder / "cpu";
  fashion::execute<Cpu>(o);
  o.out = folder / "kernels";
  fashion::execute<Kernels>(o);

  // The first steps differ by the order of sums alone. A step of AdamW turns the rounding of a gradient near zero into
  // a step of the learning rate, so what follows is only near.
  const auto logs = [&](const char* phase) {
    const std::string name = std::string("logs/") + phase + ".csv";
    return distance(numbers_of(folder / "kernels" / name, "loss"), numbers_of(folder / "cpu" / name, "loss"));
  };
  for (const char* phase : {"autoencoder", "classifier", "teacher", "segmenter"}) {
    CAPTURE(phase);
    CHECK(logs(phase) < 1e-3);
  }
  std::size_t phases = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder / "cpu" / "logs")) {
    if (file.path().extension() != ".csv") continue;
    const std::string phase = file.path().stem().string();
    CAPTURE(phase);
    CHECK(logs(phase.c_str()) < 5e-2);
    ++phases;
  }
  CHECK(phases >= 11);
  for (const char* column : {"fd", "agreement", "judge", "preference", "aesthetic", "trajectory"}) {
    CAPTURE(column);
    CHECK(distance(numbers_of(folder / "kernels" / "metrics.csv", column),
                   numbers_of(folder / "cpu" / "metrics.csv", column)) < 2e-2);
  }
  for (const char* file : {"report.html", "samples.svg", "models/unet.safetensors", "models/one-step_lora.safetensors"})
    CHECK(std::filesystem::file_size(folder / "kernels" / file) > 0);
  std::filesystem::remove_all(folder);
}
