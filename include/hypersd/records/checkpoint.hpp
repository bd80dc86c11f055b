// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <hypersd/io/checksum.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/optim/parameters.hpp>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace hypersd::records {

namespace detail {

struct IgnoreTensor {
  template <class X>
  void operator()(const std::string&, const X&) const {}
};
/// What shows its tensors by name: optimisers, averages.
template <class Object>
concept HasState = requires(const Object& object) {
  object.visit_state(IgnoreTensor{}, std::string());
};

}  // namespace detail

/// The tensors that make up a run's state, by name, as handles: saving takes their content at that moment, loading
/// writes into the live objects. One safetensors file with the checksum of each tensor, written atomically; every
/// element is kept bit for bit. Needs zlib.
class State {
 public:
  /// Adds a tensor whose storage stays in place for the life of the run (a moment, a counter).
  template <Scalar T, Device D>
  void add(const std::string& name, const Tensor<T, D>& tensor) {
    require<ShapeError>(tensor.defined(), "state: tensor '", name, "' is undefined");
    push<T>(name, [tensor] { return tensor; });
  }
  /// Adds the present and future value of a variable.
  template <Floating T, Device D>
  void add(const std::string& name, const Var<T, D>& var) {
    require<ShapeError>(var.defined(), "state: variable '", name, "' is undefined");
    push<T>(name, [var] { return var.value(); });
  }
  /// Adds parameters under `prefix`.
  template <Floating T, Device D>
  void add(const std::string& prefix, const optim::ParameterList<T, D>& parameters) {
    for (const auto& p : parameters) add(prefix + p.name, p.var);
  }
  /// Adds all that `object.visit_state(f, prefix)` shows: an optimiser, an average, a critic.
  template <class Object>
  requires detail::HasState<Object>
  void add(const std::string& prefix, const Object& object) {
    object.visit_state([this](const std::string& name, const auto& tensor) { this->add(name, tensor); }, prefix);
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// Writes all tensors and `metadata` to `path`, complete or not at all; with `previous`, the file of before stays
  /// under that name. Throws NumericError naming a tensor that is not finite, IoError; the old file then stays.
  void save(const std::string& path, const std::map<std::string, std::string>& metadata = {},
            const std::string& previous = {}) const {
    io::SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.metadata[key] = value;
    for (const Entry& e : entries_) e.write(writer);
    for (std::size_t i = 0; i < writer.size(); ++i)
      require<NumericError>(io::all_finite(writer.dtype(i), writer.bytes(i).data(), writer.bytes(i).size()), "tensor ",
                            io::in_quotes(writer.name(i)), " is not finite");
    io::add_checksums(writer);
    writer.write(path, previous);
  }
  /// Reads `file`, which must hold exactly these tensors with these shapes, types and checksums; all that is checked
  /// before the first one is changed. Throws FormatError naming file and tensor.
  void load(const io::SafetensorsFile& file) const {
    io::verify_checksums(file);
    load_verified(file);
  }
  void load(const std::string& path) const { load(io::SafetensorsFile(path)); }
  /// `load` for a file whose checksums the caller has verified.
  void load_verified(const io::SafetensorsFile& file) const {
    io::NamedShapes expected;
    for (const Entry& e : entries_) expected.emplace_back(e.name, e.shape());
    file.require_exactly(expected);
    for (const Entry& e : entries_)
      require<FormatError>(file.info(e.name).dtype == e.dtype, "checkpoint ", io::in_quotes(file.path()), ": tensor ",
                           io::in_quotes(e.name), " is ", file.info(e.name).str(), ", ", io::dtype_name(e.dtype),
                           " was expected");
    for (const Entry& e : entries_) e.read(file);
  }
  /// Calls f(bytes) for each tensor in order; what f changes in them is written back.
  void visit_bytes(const std::function<void(std::span<std::byte>)>& f) const {
    for (const Entry& e : entries_) e.exchange(f);
  }
  /// Bytes of all tensors together.
  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t n = 0;
    for (const Entry& e : entries_) n += e.shape().numel() * io::dtype_bits(e.dtype) / 8;
    return n;
  }

 private:
  struct Entry {
    std::string name;
    io::DType dtype;
    std::function<Shape()> shape;
    std::function<void(io::SafetensorsWriter&)> write;
    std::function<void(const io::SafetensorsFile&)> read;
    std::function<void(const std::function<void(std::span<std::byte>)>&)> exchange;
  };

  /// `get` returns the tensor that holds the entry's content now.
  template <Scalar T, class Get>
  void push(const std::string& name, Get get) {
    require<OptionError>(names_.insert(name).second, "state: two tensors are called '", name, "'");
    entries_.push_back({name, io::dtype_of<T>(), [get] { return get().shape(); },
                        [get, name](io::SafetensorsWriter& writer) { writer.add(name, get()); },
                        [get, name](const io::SafetensorsFile& file) {
                          using Live = decltype(get());
                          const Tensor<T> stored = file.tensor<T>(name);
                          get().copy_from(stored.template to<typename Live::device_type>());
                        },
                        [get](const std::function<void(std::span<std::byte>)>& f) {
                          using Live = decltype(get());
                          const Live live = get();
                          const Tensor<T> host = live.template to<Cpu>();
                          f(std::as_writable_bytes(host.span()));
                          if constexpr (!std::same_as<typename Live::device_type, Cpu>)
                            live.copy_from(host.template to<typename Live::device_type>());
                        }});
  }

  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;
};

/// Name under which a training loop keeps the checkpoint before the newest.
inline std::string previous_checkpoint(const std::string& path) { return path + ".previous"; }

/// The checkpoint `path` with verified checksums, or the one before it, under `previous_checkpoint`, where that is
/// damaged; no file: none. `damage` says what is wrong with the newer one. Throws FormatError for `phase` if nothing
/// undamaged is left.
inline std::optional<io::SafetensorsFile> newest_checkpoint(const std::string& path, const std::string& phase,
                                                            std::string& damage) {
  for (const std::string& name : {path, previous_checkpoint(path)}) {
    std::error_code ignored;
    if (!std::filesystem::exists(name, ignored)) continue;
    try {
      std::optional<io::SafetensorsFile> file(name);
      io::verify_checksums(*file);
      return file;
    } catch (const FormatError& error) {
      damage += (damage.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  require<FormatError>(damage.empty(), "phase '", phase, "' cannot go on: ", damage, "; remove ", io::in_quotes(path),
                       " and ", io::in_quotes(previous_checkpoint(path)), " to train it from the beginning");
  return std::nullopt;
}

/// What a checkpoint of a training phase says about itself, kept in the file's metadata.
struct CheckpointInfo {
  std::string phase;
  std::int64_t step = 0;   ///< updates done
  std::int64_t steps = 0;  ///< updates planned
  std::uint64_t seed = 0;

  [[nodiscard]] std::map<std::string, std::string> metadata() const {
    return {{"phase", phase},
            {"step", std::to_string(step)},
            {"steps", std::to_string(steps)},
            {"seed", std::to_string(seed)}};
  }
  /// Throws FormatError naming the file if it is no checkpoint of a phase.
  static CheckpointInfo of(const io::SafetensorsFile& file) {
    auto whole = [&](const char* key) {
      const std::string text = file.metadata(key, "");
      const bool digits = !text.empty() && text.size() <= 20 && text.find_first_not_of("0123456789") == text.npos;
      require<FormatError>(digits, "file ", io::in_quotes(file.path()), " is no training checkpoint: its ", key, " is ",
                           io::in_quotes(text));
      return std::strtoull(text.c_str(), nullptr, 10);
    };
    auto count = [&](const char* key) {
      const auto value = whole(key);
      require<FormatError>(value <= std::uint64_t{1} << 62, "file ", io::in_quotes(file.path()),
                           " is no training checkpoint: its ", key, " is ", value);
      return static_cast<std::int64_t>(value);
    };
    return {file.metadata("phase", ""), count("step"), count("steps"), whole("seed")};
  }
  /// Throws OptionError naming what differs unless `file` can continue this run.
  void require_continues(const CheckpointInfo& stored, const std::string& file) const {
    auto same = [&](const char* what, const auto& now, const auto& then) {
      require<OptionError>(now == then, "checkpoint ", io::in_quotes(file), " cannot continue this run: ", what,
                           " was ", then, " and is ", now, " now; set it as it was, or use another folder");
    };
    same("phase", phase, stored.phase);
    same("steps", steps, stored.steps);
    same("seed", seed, stored.seed);
    require<FormatError>(stored.step <= stored.steps, "checkpoint ", io::in_quotes(file), " is at step ", stored.step,
                         " of ", stored.steps);
  }
};

}  // namespace hypersd::records
