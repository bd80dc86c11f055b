// SPDX-License-Identifier: Apache-2.0
// Frechet distance against scipy's matrix square root (tests/golden/README.md).
#include <hypersd/metrics/frechet.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/io/safetensors.hpp>

using namespace hypersd;

TEST_CASE("covariances and distances equal numpy's and scipy's") {
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/frechet.safetensors");
  auto features = [&](const char* name) { return golden.get<double>(name); };
  auto distance = [&](const char* name) { return golden.get<double>(std::string("distance.") + name)[0]; };
  for (const std::string set : {"a", "b"}) {
    const auto expected = golden.get<double>("cov_" + set);
    const auto moments = metrics::moments_of(golden.get<double>(set));
    const Eigen::Map<const metrics::FeatureMatrix> matrix(expected.data(), 6, 6);
    CHECK((moments.covariance() - matrix).cwiseAbs().maxCoeff() < 1e-13);
  }
  const auto a = features("a"), b = features("b"), few = features("few");
  CHECK(metrics::frechet_distance(a, b) == doctest::Approx(distance("a_b")).epsilon(1e-9));
  CHECK(metrics::frechet_distance(b, a) == doctest::Approx(distance("b_a")).epsilon(1e-9));
  CHECK(metrics::frechet_distance(a, a) < 1e-9);
  // Fewer samples than features: the covariance is singular and the root loses half of the digits.
  CHECK(metrics::frechet_distance(a, few) == doctest::Approx(distance("a_few")).epsilon(1e-6));
  CHECK(metrics::frechet_distance(a.cast<float>(), b.cast<float>()) == doctest::Approx(distance("a_b")).epsilon(1e-5));
}
