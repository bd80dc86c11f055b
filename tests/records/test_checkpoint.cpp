// SPDX-License-Identifier: Apache-2.0
#include <hypersd/records/checkpoint.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/ops/random.hpp>
#include <hypersd/optim/adamw.hpp>

#include <pipeline/folder.hpp>

using namespace hypersd;

namespace {

optim::ParameterList<float> parameters(std::uint64_t seed, std::int64_t n = 5) {
  return {{"a", Var<float>(ops::normal<float>(Shape{n}, stream(seed, "a")), true)},
          {"b.weight", Var<float>(ops::normal<float>(Shape{2, 3}, stream(seed, "b")), true)}};
}

}  // namespace

TEST_CASE("a state comes back bit for bit, into the live objects") {
  const Folder folder("checkpoint");
  const auto first = parameters(1), second = parameters(2);
  optim::AdamW<float> adam_first(first), adam_second(second);
  for (auto p : first) p.var.set_grad(p.var.value().clone());
  adam_first.step(1e-2);
  records::State out, in;
  out.add("p.", first);
  out.add("adam.", adam_first);
  in.add("p.", second);
  in.add("adam.", adam_second);
  CHECK(out.size() == 2 + 6);
  out.save(folder.file("s.safetensors"), {{"step", "7"}});
  in.load(folder.file("s.safetensors"));
  CHECK(second[0].var.value().to_vector() == first[0].var.value().to_vector());
  CHECK(adam_second.slots()[1].square.to_vector() == adam_first.slots()[1].square.to_vector());
  CHECK(adam_second.slots()[1].steps[0] == 1);
  CHECK(io::SafetensorsFile(folder.file("s.safetensors")).metadata("step", "") == "7");
}

TEST_CASE("a variable whose value was replaced is saved as it is now") {
  const Folder folder("checkpoint");
  auto list = parameters(1);
  records::State state;
  state.add("", list);
  list[0].var.set_value(Tensor<float>::full(Shape{5}, 9.0F));
  state.save(folder.file("s.safetensors"));
  CHECK(io::SafetensorsFile(folder.file("s.safetensors")).tensor<float>("a")[4] == 9.0F);
}

TEST_CASE("a checkpoint of another architecture is refused and changes nothing") {
  const Folder folder("checkpoint");
  const auto small = parameters(1), large = parameters(2, 6);
  records::State out, in;
  out.add("", small);
  in.add("", large);
  out.save(folder.file("s.safetensors"));
  const auto before = large[1].var.value().to_vector();
  CHECK_THROWS_WITH_AS(in.load(folder.file("s.safetensors")), doctest::Contains("another architecture"), FormatError);
  CHECK(large[1].var.value().to_vector() == before);
  // The right names and shapes in another type.
  const optim::ParameterList<double> twice{{"a", Var<double>(Tensor<double>::ones(Shape{5}))},
                                           {"b.weight", Var<double>(Tensor<double>::ones(Shape{2, 3}))}};
  records::State wide;
  wide.add("", twice);
  CHECK_THROWS_WITH_AS(wide.load(folder.file("s.safetensors")), doctest::Contains("F64 was expected"), FormatError);
  CHECK(twice[0].var.value()[0] == 1.0);
}

TEST_CASE("names are unique and tensors defined") {
  records::State state;
  state.add("x", Tensor<float>::ones(Shape{1}));
  CHECK_THROWS_WITH_AS(state.add("x", Tensor<float>::ones(Shape{1})), doctest::Contains("'x'"), OptionError);
  CHECK_THROWS_AS(state.add("y", Tensor<float>{}), ShapeError);
}

TEST_CASE("checkpoint facts survive the file, and only the same run continues") {
  const Folder folder("checkpoint");
  records::State state;
  state.add("x", Tensor<float>::ones(Shape{1}));
  const records::CheckpointInfo info{"teacher", 40, 100, 18446744073709551615ULL};
  state.save(folder.file("s.safetensors"), info.metadata());
  const auto back = records::CheckpointInfo::of(io::SafetensorsFile(folder.file("s.safetensors")));
  CHECK(back.phase == "teacher");
  CHECK(back.step == 40);
  CHECK(back.steps == 100);
  CHECK(back.seed == info.seed);
  const records::CheckpointInfo other_seed{"teacher", 0, 100, 3}, other_steps{"teacher", 0, 99, info.seed};
  info.require_continues(back, "f");
  CHECK_THROWS_WITH_AS(other_seed.require_continues(back, "f"), doctest::Contains("seed"), OptionError);
  CHECK_THROWS_WITH_AS(other_steps.require_continues(back, "f"), doctest::Contains("steps was 100 and is 99"),
                       OptionError);
  state.save(folder.file("plain.safetensors"));
  CHECK_THROWS_WITH_AS(records::CheckpointInfo::of(io::SafetensorsFile(folder.file("plain.safetensors"))),
                       doctest::Contains("no training checkpoint"), FormatError);
}
