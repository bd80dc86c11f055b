// SPDX-License-Identifier: Apache-2.0
#include <hypersd/interop/dlpack.hpp>
//
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <temp_folder.hpp>

using namespace hypersd;
namespace dlpack = interop::dlpack;
using test::mentions;
using test::message_of;

namespace {

// A producer: the structure and its arrays, and how often the deleter was called.
template <class M>
struct Foreign {
  std::vector<float> data{0, 1, 2, 3, 4, 5};
  std::vector<std::int64_t> shape{2, 3}, strides{3, 1};
  int deleted = 0;
  M managed{};

  Foreign() {
    managed.array.data = data.data();
    managed.array.ndim = 2;
    managed.array.shape = shape.data();
    managed.array.strides = strides.data();
    managed.context = this;
    managed.deleter = [](M* self) { ++static_cast<Foreign*>(self->context)->deleted; };
  }
};

template <class E, class M>
std::string refusal(Foreign<M>& foreign) {
  const std::string text = message_of<E>([&] { interop::from_dlpack<float>(&foreign.managed); });
  CHECK(foreign.deleted == 0);  // the caller still owns it
  return text;
}

}  // namespace

// https://dmlc.github.io/dlpack/latest/c_api.html
TEST_CASE("the structures have the layout of dlpack.h on a 64-bit machine") {
  CHECK(offsetof(dlpack::Array, device) == 8);
  CHECK(offsetof(dlpack::Array, ndim) == 16);
  CHECK(offsetof(dlpack::Array, dtype) == 20);
  CHECK(offsetof(dlpack::Array, shape) == 24);
  CHECK(offsetof(dlpack::Array, strides) == 32);
  CHECK(offsetof(dlpack::Array, byte_offset) == 40);
  CHECK(offsetof(dlpack::Legacy, context) == 48);
  CHECK(offsetof(dlpack::Legacy, deleter) == 56);
  CHECK(offsetof(dlpack::Managed, context) == 8);
  CHECK(offsetof(dlpack::Managed, deleter) == 16);
  CHECK(offsetof(dlpack::Managed, flags) == 24);
  CHECK(offsetof(dlpack::Managed, array) == 32);
}

TEST_CASE_TEMPLATE("types of elements", T, float, double, half, bfloat16, std::int32_t, std::int64_t, std::uint8_t) {
  const dlpack::DataType type = dlpack::data_type<T>();
  CHECK(type.bits == 8 * sizeof(T));
  CHECK(type.lanes == 1);
  const int code = std::is_same_v<T, bfloat16>       ? 4
                   : std::is_same_v<T, std::uint8_t> ? 1
                   : std::is_integral_v<T>           ? 0
                                                     : 2;
  CHECK(static_cast<int>(type.kind) == code);
  auto managed = interop::to_dlpack(Tensor<T>::ones({3}));
  CHECK(managed->array.dtype == type);
  CHECK(static_cast<float>(interop::from_dlpack<T>(managed.release())[2]) == 1.0F);
}

TEST_CASE_TEMPLATE("an array of another library is used in place and deleted once", M, dlpack::Managed,
                   dlpack::Legacy) {
  Foreign<M> foreign;
  {
    Tensor<float> row;
    {
      const auto a = interop::from_dlpack<float>(&foreign.managed);
      CHECK(a.data() == foreign.data.data());
      CHECK(a.shape() == Shape{2, 3});
      CHECK_FALSE(a.unique());
      row = a.slice(1, 2);
    }
    CHECK(foreign.deleted == 0);
    row[0] = 9;
    CHECK(foreign.data[3] == 9);
  }
  CHECK(foreign.deleted == 1);
}

TEST_CASE_TEMPLATE("a tensor is lent to another library until the deleter is called", M, dlpack::Managed,
                   dlpack::Legacy) {
  const auto tensor = Tensor<float>::from({3, 2}, {0, 1, 2, 3, 4, 5});
  {
    auto managed = interop::to_dlpack<M>(tensor.slice(1, 3));
    const dlpack::Array& array = managed->array;
    CHECK(array.data == tensor.data() + 2);
    CHECK(array.device == dlpack::Device{dlpack::DeviceType::Cpu, 0});
    REQUIRE(array.ndim == 2);
    CHECK(array.shape[0] == 2);
    CHECK(array.strides[0] == 2);
    CHECK(array.strides[1] == 1);
    CHECK(array.byte_offset == 0);
    CHECK_FALSE(tensor.unique());
    M* raw = managed.release();  // as a capsule does
    CHECK_FALSE(tensor.unique());
    raw->deleter(raw);
    CHECK(tensor.unique());
    managed = interop::to_dlpack<M>(tensor);
    CHECK_FALSE(tensor.unique());
  }
  CHECK(tensor.unique());
  CHECK(mentions(message_of<ShapeError>([] { interop::to_dlpack(Tensor<float>()); }), "undefined"));
}

TEST_CASE("a tensor passed through both ways is the same memory") {
  const auto tensor = Tensor<float>::from({2, 2}, {1, 2, 3, 4});
  {
    const auto back = interop::from_dlpack<float>(interop::to_dlpack(tensor).release());
    CHECK(back.data() == tensor.data());
    CHECK(back.to_vector() == tensor.to_vector());
  }
  CHECK(tensor.unique());
  CHECK(interop::from_dlpack<float>(interop::to_dlpack(Tensor<float>(Shape{0, 4})).release()).shape() == Shape{0, 4});
  CHECK(interop::from_dlpack<float>(interop::to_dlpack(Tensor<float>::full({}, 7)).release()).item() == 7);
}

TEST_CASE("what cannot be used in place is refused, and stays with the caller") {
  using M = dlpack::Managed;
  Foreign<M> f;
  CHECK(
      mentions(message_of<FormatError>([] { interop::from_dlpack<float>(static_cast<M*>(nullptr)); }), "null pointer"));
  CHECK(mentions(message_of<FormatError>([&] { interop::from_dlpack<double>(&f.managed); }),
                 "elements are float32, not float64; convert them first"));
  f.managed.array.dtype = {dlpack::Kind::Bool, 8, 1};
  CHECK(mentions(refusal<FormatError>(f), "elements are bool8, not float32"));
  f.managed.array.dtype = {dlpack::Kind::Float, 32, 4};
  CHECK(mentions(refusal<FormatError>(f), "float32x4"));
  f.managed.array.dtype = {static_cast<dlpack::Kind>(9), 8, 1};
  CHECK(mentions(refusal<FormatError>(f), "type 9 of bits 8"));
  f.managed.array.dtype = {};
  f.managed.array.device = {dlpack::DeviceType::Cuda, 1};
  CHECK(mentions(refusal<DeviceError>(f), "the array is on cuda:1, not on cpu:0; copy it there first"));
  f.managed.array.device.type = static_cast<dlpack::DeviceType>(8);
  CHECK(mentions(refusal<DeviceError>(f), "device type 8:1"));
  f.managed.array.device = {};
  f.managed.version = {2, 1};
  CHECK(mentions(refusal<FormatError>(f), "DLPack version 2.1 is not known; 1.x is"));
  f.managed.version = {1, 7};
  f.managed.flags = M::read_only;
  CHECK(mentions(refusal<FormatError>(f), "read-only; copy it first"));
  f.managed.flags = 2;  // "is a copy": allowed
  f.strides = {1, 2};
  CHECK(
      mentions(refusal<ShapeError>(f), "the stride of axis 1 of shape [2, 3] is 2, not 1; make the array contiguous"));
  f.strides = {6, 1};
  CHECK(mentions(refusal<ShapeError>(f), "the stride of axis 0 of shape [2, 3] is 6, not 3"));
  f.strides = {3, 1};
  f.managed.array.ndim = 7;
  CHECK(mentions(refusal<ShapeError>(f), "7 axes; a tensor has 0 to 6"));
  f.managed.array.ndim = -1;
  CHECK(mentions(refusal<ShapeError>(f), "-1 axes"));
  f.managed.array.ndim = 2;
  f.managed.array.shape = nullptr;
  CHECK(mentions(refusal<ShapeError>(f), "no shape"));
  f.managed.array.shape = f.shape.data();
  f.shape = {2, -3};
  CHECK(mentions(refusal<ShapeError>(f), "negative extent -3"));
  f.shape = {std::int64_t{1} << 61U, 2};
  CHECK(mentions(refusal<ShapeError>(f), "too large"));
  f.shape = {2, 3};
  f.managed.array.byte_offset = 2;
  CHECK(mentions(refusal<ShapeError>(f), "not a multiple of 4"));
  f.managed.array.byte_offset = 0;
  f.managed.array.data = nullptr;
  CHECK(mentions(refusal<ShapeError>(f), "no data"));
}

TEST_CASE("offsets, missing strides and deleters, strides that do not matter") {
  Foreign<dlpack::Legacy> f;
  f.managed.array.byte_offset = 8;
  f.managed.array.strides = nullptr;
  f.managed.deleter = nullptr;
  f.shape = {2, 2};
  CHECK(interop::from_dlpack<float>(&f.managed).to_vector() == std::vector<float>{2, 3, 4, 5});
  f.managed.array.strides = f.strides.data();
  f.managed.array.byte_offset = 0;
  f.shape = {1, 3};
  f.strides = {100, 1};  // of an axis of extent 1
  CHECK(interop::from_dlpack<float>(&f.managed).to_vector() == std::vector<float>{0, 1, 2});
  f.shape = {0, 3};
  f.strides = {5, 7};
  f.managed.array.data = nullptr;
  CHECK(interop::from_dlpack<float>(&f.managed).size() == 0);
  f.managed.array.device.type = dlpack::DeviceType::CudaHost;  // pinned, which the host reads
  CHECK(interop::from_dlpack<float>(&f.managed).shape() == Shape{0, 3});
}
