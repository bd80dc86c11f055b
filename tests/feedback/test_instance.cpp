// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/instance.hpp>
//
#include <hypersd/data/scenes.hpp>
#include <hypersd/feedback/frozen.hpp>
#include <hypersd/feedback/matrix_nms.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/optim/adamw.hpp>

#include "golden.hpp"

using namespace hypersd;
using namespace hypersd::feedback;
using toy::process;

namespace {

struct InstanceGolden : toy::Golden {
  InstanceGolden() : Golden("instance") {}
};

data::Instance box(int label, std::int64_t top, std::int64_t left, std::int64_t bottom, std::int64_t right,
                   std::int64_t size = 8) {
  data::Instance out{label, Tensor<std::uint8_t>::zeros(Shape{size, size})};
  for (std::int64_t y = top; y < bottom; ++y)
    for (std::int64_t x = left; x < right; ++x) out.mask[y * size + x] = 1;
  return out;
}
std::vector<data::Instances> objects() {
  return {
      {box(0, 0, 0, 4, 4)}, {box(1, 2, 2, 8, 8), box(0, 0, 0, 2, 8)}, {}, {box(1, 3, 1, 5, 7)}, {box(0, 0, 4, 8, 8)},
      {box(1, 0, 0, 8, 8)}};
}
/// Logits linear in the decoded pictures.
struct LinearSegmenter {
  Var<double> category, mask;
  nn::SegmenterOutput<double, Cpu> operator()(const Var<double>& y) const {
    const auto logits = [&](const Var<double>& w, const Shape& shape) {
      return autograd::reshape(autograd::linear(y, w, Var<double>(Tensor<double>::zeros(Shape{w.dim(0)}))), shape);
    };
    return {logits(category, {y.dim(0), 3, 3, 2}), logits(mask, {y.dim(0), 4, 4, 9})};
  }
};
double loss_of(const Tensor<double>& category, const Tensor<double>& mask, const SoloTargets<double, Cpu>& target,
               SoloWeights weights) {
  return solo_loss(nn::SegmenterOutput<double, Cpu>{Var<double>(category), Var<double>(mask)}, target, weights)
      .loss.item();
}
double logit(double p) { return std::log(p / (1 - p)); }

}  // namespace

TEST_CASE("objects go to the cells of PyTorch's assignment") {
  const InstanceGolden golden;
  const auto target = solo_targets<double>(objects(), 3, 4, 2);
  CHECK(target.category.to_vector() == golden.values("target.category").to_vector());
  CHECK(target.mask.to_vector() == golden.values("target.mask").to_vector());
  CHECK(target.positive.to_vector() == golden.values("target.positive").to_vector());
}

TEST_CASE("an object lights its own cell: channel row S + column; empty masks are skipped, later objects win") {
  const auto one = solo_targets<double>({{box(3, 4, 8, 8, 12, 16)}}, 4, 8, 5);  // centre (5.5, 9.5): row 1, column 2
  CHECK(one.cells == 1);
  CHECK(one.positive[1 * 4 + 2] == 1);
  CHECK(one.category[(1 * 4 + 2) * 5 + 3] == 1);
  CHECK(one.mask[((2 * 8) + 4) * 16 + 6] == 1);  // row 4 of 16 is row 2 of 8
  CHECK(one.mask[((1 * 8) + 4) * 16 + 6] == 0);
  CHECK(solo_targets<double>({{box(0, 0, 0, 0, 0, 16)}}, 4, 8, 5).cells == 0);
  const auto later = solo_targets<double>({{box(0, 0, 0, 4, 4), box(1, 0, 0, 4, 4)}}, 2, 4, 2);
  CHECK(later.category[0] == 0);
  CHECK(later.category[1] == 1);
  CHECK_THROWS_AS(solo_targets<double>({{box(2, 0, 0, 4, 4)}}, 2, 4, 2), OptionError);
  CHECK_THROWS_AS(solo_targets<double>({{box(0, 0, 0, 4, 4)}}, 2, 3, 2), ShapeError);
}

TEST_CASE("SOLO's loss has its known numbers") {
  // Dice of a perfect mask of two pixels, and of probability one half on four pixels of which two are on.
  auto two = Tensor<double>::zeros({1, 2, 2, 1});
  two[0] = two[1] = 1;
  SoloTargets<double, Cpu> t{Tensor<double>::zeros({1, 1, 1, 1}), two, Tensor<double>::ones({1, 1}), 1};
  const auto far = Tensor<double>::full({1, 1, 1, 1}, -60);
  CHECK(loss_of(far, Tensor<double>::from({1, 2, 2, 1}, {60, 60, -60, -60}), t, {1, 0}) ==
        doctest::Approx(0.0004997501).epsilon(1e-6));
  CHECK(loss_of(far, Tensor<double>::zeros({1, 2, 2, 1}), t, {1, 0}) == doctest::Approx(0.3337774817).epsilon(1e-8));
  // The focal loss of single logits, without a division: no positive cell.
  const auto focal = [](double p, double y) { return Focal{}(logit(p), y); };
  CHECK(focal(0.01, 1) == doctest::Approx(1.1283818248).epsilon(1e-9));
  CHECK(focal(0.01, 0) == doctest::Approx(7.53775e-7).epsilon(1e-5));
  CHECK(focal(0.5, 1) == doctest::Approx(0.0433216988).epsilon(1e-8));
  CHECK(focal(0.5, 0) == doctest::Approx(0.1299650964).epsilon(1e-8));
  t.cells = 0;
  t.positive = Tensor<double>::zeros({1, 1});
  CHECK(loss_of(Tensor<double>::zeros({1, 1, 1, 1}), Tensor<double>::zeros({1, 2, 2, 1}), t, {}) ==
        doctest::Approx(0.1299650964).epsilon(1e-8));
}

TEST_CASE("SOLO's loss and gradient, and Eq 14's with respect to the student, equal PyTorch's") {
  const InstanceGolden golden;
  const nn::SegmenterOutput<double, Cpu> out{Var<double>(golden.values("solo.category"), true),
                                             Var<double>(golden.values("solo.mask"), true)};
  const auto loss = solo_loss(out, solo_targets<double>(objects(), 3, 4, 2)).loss;
  CHECK(std::abs(loss.item() - golden.values("solo.loss").item()) < 1e-11);
  autograd::backward(loss);
  CHECK(toy::relative(out.category.grad(), golden.values("solo.grad.category")) < 1e-9);
  CHECK(toy::relative(out.mask.grad(), golden.values("solo.grad.mask")) < 1e-9);

  const auto student = golden.network("student", true);
  const toy::TanhDecoder decoder{Var<double>(golden.values("decoder.w")), Var<double>(golden.values("decoder.b"))};
  const LinearSegmenter segmenter{Var<double>(golden.values("segmenter.category")),
                                  Var<double>(golden.values("segmenter.mask"))};
  AnnotatedBatch<double, Cpu, Tensor<double>> batch{golden.batch(), objects()};
  const InstanceFeedback feedback(process(), decoder, segmenter);
  golden.check("instance", feedback.loss_at(student, batch, golden.times("times"), golden.values("noise")).loss,
               student);
  CHECK(!decoder.w.grad().defined());
  CHECK(!segmenter.mask.grad().defined());
  CHECK_THROWS_AS((InstanceFeedback(process(), decoder, segmenter, {.noisy_min = 20})), OptionError);
}

TEST_CASE("a segmenter learns composed scenes, and matrix NMS finds each object once") {
  // Two classes of single objects: discs and frames.
  Tensor<std::uint8_t> pixels = Tensor<std::uint8_t>::zeros({40, 32, 32, 1});
  Tensor<std::int32_t> labels(Shape{40});
  for (std::int64_t n = 0; n < 40; ++n) {
    labels[n] = static_cast<std::int32_t>(n % 2);
    for (std::int64_t y = 0; y < 32; ++y)
      for (std::int64_t x = 0; x < 32; ++x) {
        const double r = std::hypot(static_cast<double>(y) - 15.5, static_cast<double>(x) - 15.5);
        const double m = std::max(std::abs(static_cast<double>(y) - 15.5), std::abs(static_cast<double>(x) - 15.5));
        const bool on = n % 2 == 0 ? r < 12 : m < 12 && m > 6;
        pixels[(n * 32 + y) * 32 + x] = on ? static_cast<std::uint8_t>(150 + 2 * n) : std::uint8_t{0};
      }
  }
  const data::ImageSet singles(pixels, labels, 2);
  nn::SegmenterConfig config;
  config.classes = 2;
  config.channels = {8, 16};
  config.head = 16;
  config.norm_num_groups = 4;
  nn::Segmenter<float> net(config);
  nn::init_parameters(net, 1);
  optim::AdamW<float> optimizer(optim::parameters_of(net), {.weight_decay = 0});
  const std::int64_t updates = 150;
  for (std::int64_t i = 0; i < updates; ++i) {
    const auto scenes =
        data::compose_scenes(singles, 16, stream(2, "scenes", static_cast<std::uint64_t>(i)), {.most = 2});
    optimizer.zero_grad();
    autograd::backward(solo_loss(net(Var<float>(scenes.images)), solo_targets<float>(scenes.objects, 8, 16, 2)).loss);
    optimizer.step(5e-3 * (1 - static_cast<double>(i) / static_cast<double>(updates)));
  }
  const autograd::NoGrad guard;
  const auto scenes = data::compose_scenes(singles, 40, stream(3, "test scenes"), {.most = 1});
  const auto found = matrix_nms(net(Var<float>(scenes.images)));
  double overlap = 0, right = 0, several = 0;
  for (std::size_t n = 0; n < 40; ++n) {
    if (found[n].empty()) continue;
    const data::Instance& truth = scenes.objects[n][0];
    const Found& best = found[n][0];
    double both = 0, any = 0;
    for (std::int64_t y = 0; y < 16; ++y)
      for (std::int64_t x = 0; x < 16; ++x) {
        int on = 0;
        for (std::int64_t i = 0; i < 4; ++i) on += truth.mask[(2 * y + i / 2) * 32 + 2 * x + i % 2];
        both += on >= 2 && best.mask[y * 16 + x] != 0 ? 1 : 0;
        any += on >= 2 || best.mask[y * 16 + x] != 0 ? 1 : 0;
      }
    overlap += any > 0 ? both / any / 40 : 0;
    right += best.label == truth.label ? 1.0 / 40 : 0;
    several += found[n].size() > 1 && found[n][1].score > 0.5 * best.score ? 1.0 / 40 : 0;
  }
  MESSAGE("mean IoU " << overlap << ", right class " << right << ", a second object " << several);
  CHECK(overlap > 0.6);
  CHECK(right > 0.8);
  CHECK(several < 0.3);
}

TEST_CASE("matrix NMS drops a duplicate and keeps another object of the class") {
  // Three cells of one class: two with the same mask, one elsewhere.
  auto category = Tensor<double>::full({1, 2, 2, 1}, logit(0.01));
  category[0] = logit(0.9), category[1] = logit(0.8), category[3] = logit(0.7);
  auto mask = Tensor<double>::full({1, 4, 4, 4}, -20.0);
  for (std::int64_t i = 0; i < 8; ++i) mask[i * 4] = mask[i * 4 + 1] = 20.0;  // upper half, cells 0 and 1
  for (std::int64_t i = 8; i < 16; ++i) mask[i * 4 + 3] = 20.0;               // lower half, cell 3
  const auto found = matrix_nms(nn::SegmenterOutput<double, Cpu>{Var<double>(category), Var<double>(mask)});
  REQUIRE(found[0].size() == 3);
  CHECK(found[0][0].score == doctest::Approx(0.9));
  CHECK(found[0][1].score == doctest::Approx(0.7));
  CHECK(found[0][2].score == doctest::Approx(0.8 * std::exp(-2.0)));
  CHECK(matrix_nms(nn::SegmenterOutput<double, Cpu>{Var<double>(category), Var<double>(mask)}, {.update = 0.2})[0]
            .size() == 2);
}

TEST_CASE("matrix NMS divides an overlap by the worst that its better object has itself") {
  // Rows of four pixels: a covers rows 0 and 1, b 1 and 2, c 2 and 3, so neighbours have IoU 1/3. Of another class, d
  // covers the same as a.
  auto category = Tensor<double>::full({1, 2, 2, 2}, logit(0.01));
  category[0] = logit(0.9), category[2] = logit(0.8), category[4] = logit(0.7), category[7] = logit(0.6);
  auto mask = Tensor<double>::full({1, 4, 4, 4}, -20.0);
  for (std::int64_t cell = 0; cell < 4; ++cell)
    for (std::int64_t i = 0; i < 8; ++i) mask[(i + 4 * (cell % 3)) * 4 + cell] = 20.0;
  const auto found = matrix_nms(nn::SegmenterOutput<double, Cpu>{Var<double>(category), Var<double>(mask)});
  REQUIRE(found[0].size() == 4);
  const double by_third = std::exp(-2.0 / 9);
  CHECK(found[0][0].score == doctest::Approx(0.9));
  CHECK(found[0][1].score == doctest::Approx(0.7));  // c: exp(-2/9) over the same of b
  CHECK(found[0][2].score == doctest::Approx(0.8 * by_third));
  CHECK(found[0][3].score == doctest::Approx(0.6));
  CHECK(found[0][3].label == 1);
  CHECK(found[0][3].mask.to_vector() == found[0][0].mask.to_vector());
  // Nothing above the threshold: no object.
  CHECK(matrix_nms(nn::SegmenterOutput<double, Cpu>{Var<double>(category), Var<double>(mask)}, {.score = 0.95})[0]
            .empty());
}
