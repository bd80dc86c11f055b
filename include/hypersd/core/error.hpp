// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hypersd {

/// Base class of all exceptions of the library. The message names the operation, file, shape or option.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A shape that is not valid, or two that do not match; the message names them.
struct ShapeError : Error {
  using Error::Error;
};
/// A file whose content violates its format.
struct FormatError : Error {
  using Error::Error;
};
/// A file or folder that cannot be read or written.
struct IoError : Error {
  using Error::Error;
};
/// An option that is out of range, or an unknown name.
struct OptionError : Error {
  using Error::Error;
};
/// A CUDA, cuBLAS or driver failure.
struct DeviceError : Error {
  using Error::Error;
};
/// A process of a distributed job that failed or is not reachable; the message names its rank.
struct CommunicationError : Error {
  using Error::Error;
};
/// NaN or infinity where a finite number is required.
struct NumericError : Error {
  using Error::Error;
};

namespace detail {

/// A reference to one part of a message. All messages are put together by one function, whatever the types of their
/// parts: streams are slow to compile.
class MessagePart {
 public:
  template <class T>
  MessagePart(const T& value)  // NOLINT(google-explicit-constructor)
      : value_(&value), write_([](std::ostream& out, const void* v) { out << *static_cast<const T*>(v); }) {}
  MessagePart(const char* text)  // NOLINT(google-explicit-constructor)
      : value_(text), write_([](std::ostream& out, const void* v) { out << static_cast<const char*>(v); }) {}
  friend std::ostream& operator<<(std::ostream& out, const MessagePart& part) {
    part.write_(out, part.value_);
    return out;
  }

 private:
  const void* value_;
  void (*write_)(std::ostream&, const void*);
};

template <class E>
[[noreturn]] void fail_with(std::initializer_list<MessagePart> parts) {
  std::ostringstream text;
  for (const MessagePart& part : parts) text << part;
  throw E(text.str());
}

}  // namespace detail

/// Throws `E` with the concatenation of `parts`.
template <class E = Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  detail::fail_with<E>({parts...});
}

/// Throws `E` unless `ok`; `parts` are formatted only on failure.
template <class E = Error, class... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail<E>(parts...);
}

}  // namespace hypersd
