// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <png.h>

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/io/text.hpp>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// PNG by libpng's simplified interface (link with -lpng).

namespace hypersd::io {

namespace detail {

/// libpng's state, freed by the destructor.
struct PngState {
  png_image image{};

  PngState() { image.version = PNG_IMAGE_VERSION; }
  PngState(const PngState&) = delete;
  PngState& operator=(const PngState&) = delete;
  ~PngState() { png_image_free(&image); }
};

}  // namespace detail

/// The bytes of an 8-bit grey or RGB PNG file. Throws ShapeError for an image without pixels.
inline std::string encode_png(const Image& image) {
  require<ShapeError>(image.width > 0 && image.height > 0, "encode_png: an image of ", image.width, " x ",
                      image.height);
  detail::PngState state;
  state.image.width = static_cast<png_uint_32>(image.width);
  state.image.height = static_cast<png_uint_32>(image.height);
  state.image.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(state.image);
  std::string out(size, '\0');
  const int ok = png_image_write_to_memory(&state.image, out.data(), &size, 0, image.pixels.data(), 0, nullptr);
  require<Error>(ok != 0, "encode_png: ", state.image.message);
  out.resize(size);
  return out;
}

/// Keyword and UTF-8 text of an iTXt chunk.
using PngText = std::pair<std::string, std::string>;

namespace detail {

inline void append_big_endian(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> static_cast<unsigned>(shift) & 0xFFU);
}
/// CRC-32 of PNG's chunks (PNG specification, annex D).
inline std::uint32_t png_crc(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ (0xEDB88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

}  // namespace detail

/// The bytes of a PNG file with texts added, uncompressed and before the image. Throws FormatError unless `png` begins
/// as a PNG file does, OptionError for a keyword that is empty, longer than 79 bytes, or not of printable ASCII.
inline std::string with_png_texts(const std::string& png, const std::vector<PngText>& texts) {
  constexpr std::size_t head = 8 + 25;  // signature and IHDR
  require<FormatError>(
      png.size() > head && png.compare(0, 8, "\x89PNG\r\n\x1a\n") == 0 && png.compare(12, 4, "IHDR") == 0,
      "with_png_texts: these bytes are not a PNG file");
  std::string chunks;
  for (const auto& [keyword, text] : texts) {
    bool printable = !keyword.empty() && keyword.size() <= 79;
    for (const char c : keyword) printable = printable && c >= ' ' && c <= '~';
    require<OptionError>(printable, "with_png_texts: invalid keyword ", in_quotes(keyword));
    // keyword, separator, not compressed, method 0, no language, no translated keyword
    const std::string data = "iTXt" + keyword + std::string(5, '\0') + text;
    detail::append_big_endian(chunks, static_cast<std::uint32_t>(data.size() - 4));
    chunks += data;
    detail::append_big_endian(chunks, detail::png_crc(data));
  }
  return png.substr(0, head) + chunks + png.substr(head);
}

/// Default limit of `decode_png`: bytes of the decoded image.
inline constexpr std::uint64_t png_byte_limit = std::uint64_t{1} << 28U;

/// Decodes a PNG file in memory to 8-bit grey or RGB; transparency is blended with white, 16 bits are reduced. Throws
/// FormatError naming `file` if it is broken, and, before memory is allocated, if the image takes more than
/// `byte_limit` bytes or more than the file can contain at the best compression. Throws IoError if memory runs out.
inline Image decode_png(std::string_view bytes, const std::string& file, std::uint64_t byte_limit = png_byte_limit) {
  const std::string where = "PNG file " + in_quotes(file) + ": ";
  detail::PngState state;
  int ok = png_image_begin_read_from_memory(&state.image, bytes.data(), bytes.size());
  require<FormatError>(ok != 0, where, state.image.message);
  const std::uint64_t width = state.image.width, height = state.image.height, count = width * height;
  const bool colour = (state.image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  const int channels = colour ? 3 : 1;
  require<FormatError>(width <= 1U << 20U && height <= 1U << 20U, where, width, " x ", height,
                       " pixels; a side has at most 1048576");
  require<FormatError>(count * static_cast<std::uint64_t>(channels) <= byte_limit, where, width, " x ", height,
                       " pixels of ", channels, " bytes are above the limit of ", byte_limit, " bytes");
  // A row takes a byte and at least a bit a pixel; deflate makes at most 1032 bytes of one.
  require<FormatError>(height + count / 8 <= std::uint64_t{bytes.size()} * 1032, where, "truncated, ", width, " x ",
                       height, " pixels are more than its ", bytes.size(), " bytes can hold");
  try {
    state.image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    Image out(static_cast<int>(width), static_cast<int>(height), channels);
    const png_color white{255, 255, 255};
    ok = png_image_finish_read(&state.image, &white, out.pixels.data(), 0, nullptr);
    require<FormatError>(ok != 0, where, state.image.message);
    return out;
  } catch (const std::bad_alloc&) {
    fail<IoError>(where, "no memory for ", width, " x ", height, " pixels of ", channels, " bytes");
  }
}

/// Writes a PNG file atomically. Throws IoError naming `path`.
inline void write_png(const std::string& path, const Image& image) { atomic_write(path, encode_png(image)); }

/// Reads a PNG file. Throws IoError or FormatError naming `path`.
inline Image read_png(const std::string& path) { return decode_png(read_file(path), path); }

}  // namespace hypersd::io
