// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <filesystem>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/nn/models/tiny_autoencoder.hpp>
#include <hypersd/nn/state.hpp>
#include <map>
#include <set>
#include <string>

namespace hypersd::stable_diffusion {

namespace detail {

/// A file of TAESD: its decoder's tensors under the names of `nn::TinyDecoder`, and its sizes, which the names tell.
class TinyDecoderFile {
 public:
  explicit TinyDecoderFile(const std::string& path)
      : file_(path), where_("tiny decoder " + io::in_quotes(path) + ": ") {
    const std::string ours = "decoder.layers.";
    for (const std::string& name : file_.names()) {
      const bool diffusers = name.starts_with(ours);
      const std::string rest = diffusers ? name.substr(ours.size()) : name;
      int number = 0;
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
      if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') continue;
      // The original's list begins with the clamp, which diffusers leaves out.
      const int layer = diffusers ? number : number - 1;
      const std::string tail(end, rest.data() + rest.size());
      stored_.emplace("layers." + std::to_string(layer) + tail, name);
      (tail.starts_with(".conv.") ? blocks_ : convolutions_).insert(layer);
    }
    require<FormatError>(!stored_.empty(), where_, "no tensors of a TAESD decoder; the files that fit are ",
                         "diffusion_pytorch_model.safetensors of an AutoencoderTiny and taesd_decoder.safetensors");
  }

  [[nodiscard]] nn::TinyAutoencoderConfig config() const {
    nn::TinyAutoencoderConfig c;
    require<FormatError>(convolutions_.contains(0), where_, "no first convolution");
    const Shape first = shape("layers.0.weight");
    require<FormatError>(first.rank() == 4 && first[0] >= 1, where_, "the first convolution has shape ", first);
    c.latent_channels = first[1];
    c.decoder_blocks.clear();
    std::int64_t blocks = 0;
    const int last = *convolutions_.rbegin();
    for (int layer = 2; layer <= last; ++layer) {
      if (blocks_.contains(layer)) {
        ++blocks;
      } else if (convolutions_.contains(layer)) {
        c.decoder_blocks.push_back(blocks);
        blocks = 0;
      }
    }
    c.decoder_widths.assign(c.decoder_blocks.size(), first[0]);
    const Shape out = shape("layers." + std::to_string(last) + ".weight");
    require<FormatError>(last >= 2 && out.rank() == 4, where_, "the last convolution has shape ", out);
    c.out_channels = out[0];
    return c;
  }

  // As `nn::TensorSource`.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : stored_) out.push_back(entry.first);
    return out;
  }
  [[nodiscard]] Shape shape(const std::string& name) const { return file_.shape(stored_.at(name)); }
  template <Scalar T>
  [[nodiscard]] Tensor<T, Cpu> get(const std::string& name) const {
    return file_.get<T>(stored_.at(name));
  }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  io::SafetensorsFile file_;
  std::string where_;
  std::map<std::string, std::string> stored_;  // name here -> name in the file
  std::set<int> blocks_, convolutions_;
};

}  // namespace detail

/// Loads the decoder of a TAESD from a folder of diffusers (AutoencoderTiny) or from a file with the names of diffusers
/// or of the original. Sizes are read from the tensors. Throws IoError, and FormatError for another network.
template <Scalar T, Device D = Cpu>
nn::TinyDecoder<T, D> load_tiny_decoder(const std::string& path) {
  const bool folder = std::filesystem::is_directory(path);
  const detail::TinyDecoderFile file(folder ? path + "/diffusion_pytorch_model.safetensors" : path);
  nn::TinyDecoder<T, D> net(file.config());
  try {
    nn::load_state_dict(net, file);
  } catch (const FormatError& error) {
    fail<FormatError>(file.where(), error.what());
  } catch (const ShapeError& error) {
    fail<FormatError>(file.where(), error.what());
  }
  return net;
}

}  // namespace hypersd::stable_diffusion
