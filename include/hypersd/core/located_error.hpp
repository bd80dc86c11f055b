// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <hypersd/core/error.hpp>
#include <new>
#include <string>
#include <type_traits>
#include <typeinfo>

namespace hypersd {

namespace detail {

/// Throws `text` as the type of `error` if that is one of `E`, else `error` itself.
template <class... E>
[[noreturn]] void throw_as_same(const Error& error, const std::string& text) {
  const auto throw_if = [&]<class One>(std::type_identity<One>) {
    if (typeid(error) == typeid(One)) throw One(text);
  };
  (throw_if(std::type_identity<E>{}), ...);
  throw;
}

}  // namespace detail

/// Throws the exception that is being handled again with its place: `where(message)` is the new message. The error
/// types of hypersd/core/error.hpp keep their type. Other exceptions of the standard's hierarchy become an `Error` in
/// which they are nested (std::rethrow_if_nested); types derived from `Error`, and what is no std::exception, pass
/// unchanged.
template <class Where>
[[noreturn]] void rethrow_with_place(const Where& where) {
  try {
    throw;
  } catch (const Error& e) {
    detail::throw_as_same<Error, ShapeError, FormatError, IoError, OptionError, DeviceError, CommunicationError,
                          NumericError>(e, where(e.what()));
  } catch (const std::bad_alloc&) {
    std::throw_with_nested(Error(where("out of memory")));
  } catch (const std::exception& e) {
    std::throw_with_nested(Error(where(e.what())));
  }
}

}  // namespace hypersd
