// SPDX-License-Identifier: Apache-2.0
// Executed kernels, from the PTX in the program.
#include <fake_cuda/ptx/images.hpp>
#include <fake_cuda/ptx/machine.hpp>
#include <fake_cuda/state.hpp>
#include <stdexcept>

namespace fake_cuda {

namespace {

struct Place {
  const void* binary;
  std::string name;
  std::size_t shared = 0;  ///< bytes that a launch may ask for, where it was said
};
std::unordered_map<const void*, Place>& places() {
  static auto* out = new std::unordered_map<const void*, Place>;  // kernels are registered before everything else
  return *out;
}

const ptx::Module& module_of(const void* binary) {
  static auto* modules = new std::unordered_map<const void*, ptx::Module>;
  const auto found = modules->find(binary);
  if (found != modules->end()) return found->second;
  const auto architecture = static_cast<std::uint32_t>(10 * device().major + device().minor);
  return modules->emplace(binary, ptx::parse(ptx::embedded(binary, architecture))).first->second;
}

}  // namespace

void remember(const void* kernel, const void* binary, const char* name) { places()[kernel] = {binary, name, 0}; }
void allow_shared(const void* kernel, std::size_t bytes) { places()[kernel].shared = bytes; }

std::function<cudaError_t()> running(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared) {
  const Place& place = places().at(kernel);
  const ptx::Module& module = module_of(place.binary);
  const auto found = module.kernels.find(place.name);
  if (found == module.kernels.end()) throw std::runtime_error("no PTX of " + place.name);
  const ptx::Kernel& code = found->second;
  ptx::Launch launch{&module, &code, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared, {}};
  launch.parameters.resize(code.parameter_bytes);
  for (std::size_t i = 0; i < code.parameters.size(); ++i)
    std::memcpy(launch.parameters.data() + code.parameters[i].offset, arguments[i], code.parameters[i].size);
  return [kernel, launch = std::move(launch), allowed = place.shared]() -> cudaError_t {
    const auto fault = [&](const std::string& what) {
      state().faults.push_back(what);
      return cudaErrorIllegalAddress;
    };
    const ptx::Kernel& k = *launch.kernel;
    if (launch.block[0] * launch.block[1] * launch.block[2] > k.most_threads)
      return fault(k.name + ": too many threads");
    if (k.shared_bytes + launch.dynamic_bytes > 48U * 1024 && launch.dynamic_bytes > allowed)
      return fault(k.name + ": more shared memory than allowed");
    try {
      ptx::run(launch, device().backward, device().meters ? &state().metered[state().names.at(kernel)] : nullptr);
    } catch (const ptx::Fault& error) {
      return fault(error.what());
    }
    return cudaSuccess;
  };
}

}  // namespace fake_cuda
