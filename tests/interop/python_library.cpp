// SPDX-License-Identifier: Apache-2.0
// What python_arrays.py calls: tensors to and from Python by DLPack, and a file for NumPy.
#include <hypersd/interop/dlpack.hpp>
#include <hypersd/io/npz.hpp>

#include <memory>
#include <numeric>
#include <string>

using namespace hypersd;
namespace dlpack = interop::dlpack;

namespace {

template <class T>
Tensor<T> lent = [] {
  Tensor<T> out(Shape{2, 3});
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = T(static_cast<float>(i) + 0.5F);
  return out;
}();

template <class T>
Tensor<T> taken;

std::string message;

// f(T()) for the element type of this name.
template <class F>
auto with(const std::string& name, const F& f) {
  if (name == "float64") return f(double());
  if (name == "float16") return f(half());
  if (name == "bfloat16") return f(bfloat16());
  if (name == "int32") return f(std::int32_t());
  if (name == "int64") return f(std::int64_t());
  if (name == "uint8") return f(std::uint8_t());
  return f(float());
}

template <class M, class T>
const char* take(void* managed) {
  try {
    taken<T> = interop::from_dlpack<T>(static_cast<M*>(managed));
    return nullptr;
  } catch (const Error& error) {
    message = error.what();
    return message.c_str();
  }
}

}  // namespace

extern "C" {

/// A structure with the tensor [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]], converted to the type.
void* lend(const char* type, int legacy) {
  return with(type, [&]<class T>(T) -> void* {
    if (legacy != 0) return interop::to_dlpack<dlpack::Legacy>(lent<T>).release();
    return interop::to_dlpack(lent<T>).release();
  });
}
/// Whether Python still has that tensor.
int is_lent(const char* type) {
  return with(type, []<class T>(T) { return lent<T>.unique() ? 0 : 1; });
}
double lent_element(const char* type, int i) {
  return with(type, [&]<class T>(T) { return static_cast<double>(widened(lent<T>[i])); });
}
/// Takes Python's array; returns null or why not.
const char* take(const char* type, void* managed, int legacy) {
  return with(type, [&]<class T>(T) {
    return legacy != 0 ? take<dlpack::Legacy, T>(managed) : take<dlpack::Managed, T>(managed);
  });
}
double taken_element(const char* type, int i) {
  return with(type, [&]<class T>(T) { return static_cast<double>(widened(taken<T>[i])); });
}
void set_taken_element(const char* type, int i, double x) {
  with(type, [&]<class T>(T) { taken<T>[i] = T(static_cast<float>(x)); });
}
/// Writes `x` [2, 3] float32, `half` [2] float16 and `n` (a scalar, int64).
void write_npz(const char* path, int compress) {
  io::NpzWriter file(path, compress != 0 ? io::Compress::Yes : io::Compress::No);
  file.add("x", lent<float>);
  file.add("half", Tensor<half>::full({2000}, half(-2.0F)));
  file.add("n", Tensor<std::int64_t>::full({}, 7));
  file.commit();
}
void drop_taken(const char* type) {
  with(type, []<class T>(T) { taken<T> = {}; });
}
}
