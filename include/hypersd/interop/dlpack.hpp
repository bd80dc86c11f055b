// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#if HYPERSD_HAS_CUDA
#include <hypersd/core/context_cuda.cuh>
#endif

/// \file
/// Tensors from and to other libraries by DLPack (https://dmlc.github.io/dlpack/latest/c_api.html), without a copy:
/// NumPy, PyTorch, JAX, CuPy. In Python a structure travels in a PyCapsule named `capsule_name`; whoever takes it out
/// renames the capsule to `used_capsule_name`.

namespace hypersd::interop {

/// The structures of DLPack 1.0, whose memory layout is that of `dlpack.h`. Pointers to structures of that header may
/// be passed by `reinterpret_cast`.
namespace dlpack {

/// `DLPackVersion`.
struct Version {
  std::uint32_t major = 1, minor = 0;
};
/// `DLDeviceType`, of those that tensors have or adopt.
enum class DeviceType : std::int32_t { Cpu = 1, Cuda = 2, CudaHost = 3 };
/// `DLDevice`.
struct Device {
  DeviceType type = DeviceType::Cpu;
  std::int32_t id = 0;
  bool operator==(const Device&) const = default;
};
/// `DLDataTypeCode`.
enum class Kind : std::uint8_t { Int = 0, UInt = 1, Float = 2, Bfloat = 4, Complex = 5, Bool = 6 };
/// `DLDataType`.
struct DataType {
  Kind kind = Kind::Float;
  std::uint8_t bits = 32;
  std::uint16_t lanes = 1;  ///< above 1 for vector types
  bool operator==(const DataType&) const = default;
};
/// `DLTensor`: where the elements are.
struct Array {
  void* data = nullptr;
  Device device;
  std::int32_t ndim = 0;
  DataType dtype;
  std::int64_t* shape = nullptr;
  std::int64_t* strides = nullptr;  ///< in elements; null for contiguous row-major
  std::uint64_t byte_offset = 0;    ///< of the first element from `data`
};
/// `DLManagedTensor`: an array and who frees it, of DLPack before 1.0.
struct Legacy {
  static constexpr const char* capsule_name = "dltensor";
  static constexpr const char* used_capsule_name = "used_dltensor";

  Array array;
  void* context = nullptr;
  void (*deleter)(Legacy* self) = nullptr;  ///< frees the structure and its data; null if nothing is to be done
};
/// `DLManagedTensorVersioned`: an array and who frees it.
struct Managed {
  static constexpr const char* capsule_name = "dltensor_versioned";
  static constexpr const char* used_capsule_name = "used_dltensor_versioned";
  static constexpr std::uint64_t read_only = 1;  ///< bit of `flags`

  Version version;
  void* context = nullptr;
  void (*deleter)(Managed* self) = nullptr;
  std::uint64_t flags = 0;
  Array array;
};

static_assert(sizeof(void*) != 8 || (sizeof(Array) == 48 && sizeof(Legacy) == 64 && sizeof(Managed) == 80));

/// One of the two structures that own an array.
template <class M>
concept Owner = std::same_as<M, Managed> || std::same_as<M, Legacy>;

/// Calls the deleter of a structure that nobody took.
struct Release {
  template <Owner M>
  void operator()(M* managed) const {
    if (managed->deleter) managed->deleter(managed);
  }
};

/// The DLPack type of elements T.
template <Scalar T>
constexpr DataType data_type() {
  Kind kind = std::is_signed_v<T> ? Kind::Int : Kind::UInt;
  if constexpr (std::same_as<T, bfloat16>)
    kind = Kind::Bfloat;
  else if constexpr (Floating<T>)
    kind = Kind::Float;
  return {kind, 8 * sizeof(T), 1};
}

/// How a device of the library is called in DLPack: `here()` is the device of new tensors, `accepts` whether foreign
/// memory can be used as memory of `D`, `settle` waits for pending work on the memory.
template <class D>
struct DeviceOf;

/// Host memory, pinned or not.
template <std::derived_from<hypersd::Cpu> D>
struct DeviceOf<D> {
  static Device here() { return {DeviceType::Cpu, 0}; }
  static bool accepts(Device device) { return device.type == DeviceType::Cpu || device.type == DeviceType::CudaHost; }
  static void settle(const char*) {}
};
#if HYPERSD_HAS_CUDA
/// The calling thread's GPU.
template <std::derived_from<hypersd::Cuda> D>
struct DeviceOf<D> {
  static Device here() {
    int id = 0;
    hypersd::detail::cuda_check(cudaGetDevice(&id), "cudaGetDevice");
    return {DeviceType::Cuda, id};
  }
  static bool accepts(Device device) { return device == here(); }
  static void settle(const char* op) { hypersd::detail::CudaContext::current().synchronise(op); }
};
#endif

}  // namespace dlpack

namespace detail {

inline std::string text(dlpack::DataType type) {
  const char* kind = "type ";
  switch (type.kind) {
    case dlpack::Kind::Int: kind = "int"; break;
    case dlpack::Kind::UInt: kind = "uint"; break;
    case dlpack::Kind::Float: kind = "float"; break;
    case dlpack::Kind::Bfloat: kind = "bfloat"; break;
    case dlpack::Kind::Complex: kind = "complex"; break;
    case dlpack::Kind::Bool: kind = "bool"; break;
  }
  std::string out = kind;
  if (out == "type ") out += std::to_string(static_cast<int>(type.kind)) + " of bits ";
  out += std::to_string(type.bits);
  return type.lanes == 1 ? out : out + "x" + std::to_string(type.lanes);
}
inline std::string text(dlpack::Device device) {
  const std::string id = ":" + std::to_string(device.id);
  switch (device.type) {
    case dlpack::DeviceType::Cpu: return "cpu" + id;
    case dlpack::DeviceType::Cuda: return "cuda" + id;
    case dlpack::DeviceType::CudaHost: return "cuda_host" + id;
  }
  return "device type " + std::to_string(static_cast<int>(device.type)) + id;
}

/// The shape of `array`, whose elements must be `T` on `D`, contiguous and row-major.
template <Scalar T, Device D>
Shape checked_shape(const dlpack::Array& array) {
  constexpr dlpack::DataType wanted = dlpack::data_type<T>();
  require<FormatError>(array.dtype == wanted, "from_dlpack: elements are ", text(array.dtype), ", not ", text(wanted),
                       "; convert them first");
  require<DeviceError>(dlpack::DeviceOf<D>::accepts(array.device), "from_dlpack: the array is on ", text(array.device),
                       ", not on ", text(dlpack::DeviceOf<D>::here()), "; copy it there first");
  require<ShapeError>(array.ndim >= 0 && array.ndim <= Shape::max_rank, "from_dlpack: ", array.ndim,
                      " axes; a tensor has 0 to ", Shape::max_rank);
  require<ShapeError>(array.ndim == 0 || array.shape != nullptr, "from_dlpack: the array has no shape");
  const Shape shape(array.shape, array.shape + array.ndim);
  require<ShapeError>(shape.fits(sizeof(T)), "from_dlpack: shape ", shape, " is too large");
  std::int64_t step = 1;
  for (int i = array.ndim - 1; i >= 0 && array.strides != nullptr && shape.numel() > 0; --i) {
    require<ShapeError>(shape[i] == 1 || array.strides[i] == step, "from_dlpack: the stride of axis ", i, " of shape ",
                        shape, " is ", array.strides[i], ", not ", step,
                        "; make the array contiguous and row-major first");
    step *= shape[i];
  }
  return shape;
}

}  // namespace detail

/// `tensor` for another library, without a copy: writes go both ways, and the storage lives until the deleter has been
/// called. `release()` the pointer to whoever takes it. Waits for pending work on the GPU, so that any stream may read;
/// a consumer on the GPU must synchronize before it calls the deleter. Throws ShapeError for an undefined tensor.
template <dlpack::Owner M = dlpack::Managed, Scalar T, Device D>
std::unique_ptr<M, dlpack::Release> to_dlpack(const Tensor<T, D>& tensor) {
  require<ShapeError>(tensor.defined(), "to_dlpack: the tensor is undefined");
  struct Exported {
    M managed{};
    Tensor<T, D> tensor{};
    std::array<std::int64_t, Shape::max_rank> shape{}, strides{};
  };
  auto out = std::make_unique<Exported>();
  out->tensor = tensor;
  std::int64_t step = 1;
  for (int i = tensor.rank() - 1; i >= 0; --i) {
    const auto axis = static_cast<std::size_t>(i);
    out->shape[axis] = tensor.dim(i);
    out->strides[axis] = step;
    step *= tensor.dim(i);
  }
  out->managed.array = {tensor.data(),     dlpack::DeviceOf<D>::here(), tensor.rank(),    dlpack::data_type<T>(),
                        out->shape.data(), out->strides.data(),         /*byte_offset=*/0};
  out->managed.context = out.get();
  out->managed.deleter = [](M* self) { delete static_cast<Exported*>(self->context); };
  dlpack::DeviceOf<D>::settle("to_dlpack");
  return std::unique_ptr<M, dlpack::Release>(&out.release()->managed);
}

/// The array of another library as a tensor, without a copy. Takes ownership of `managed`, whose deleter is called when
/// the last handle of the tensor is gone (on the GPU after the calling thread's stream is synchronized); if this
/// throws, ownership stays with the caller. On the GPU, the array's content must be complete for the calling thread's
/// stream.
///
/// Throws FormatError for another type of elements, an unknown major version or a read-only array, DeviceError for
/// another device, ShapeError for more than six axes, or strides other than contiguous row-major. Nothing is converted.
template <Scalar T, Device D = Cpu, dlpack::Owner M>
Tensor<T, D> from_dlpack(M* managed) {
  require<FormatError>(managed != nullptr, "from_dlpack: null pointer");
  if constexpr (std::same_as<M, dlpack::Managed>) {
    require<FormatError>(managed->version.major == 1, "from_dlpack: DLPack version ", managed->version.major, ".",
                         managed->version.minor, " is not known; 1.x is");
    require<FormatError>((managed->flags & M::read_only) == 0, "from_dlpack: the array is read-only; copy it first");
  }
  const dlpack::Array& array = managed->array;
  const Shape shape = detail::checked_shape<T, D>(array);
  struct Adopted {
    M* managed = nullptr;
    Adopted() = default;
    Adopted(const Adopted&) = delete;
    Adopted& operator=(const Adopted&) = delete;
    ~Adopted() {
      if (!managed) return;
      try {
        dlpack::DeviceOf<D>::settle("release of a DLPack array");
      } catch (const Error&) {  // the GPU has failed: nothing is pending
      }
      dlpack::Release()(managed);
    }
  };
  const auto owner = std::make_shared<Adopted>();
  auto* first = static_cast<char*>(array.data);
  if (first != nullptr) first += array.byte_offset;
  const auto out = Tensor<T, D>::adopt(shape, owner, std::bit_cast<T*>(first));
  owner->managed = managed;
  return out;
}

}  // namespace hypersd::interop
