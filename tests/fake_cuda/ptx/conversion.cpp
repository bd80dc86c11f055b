// SPDX-License-Identifier: Apache-2.0
// Conversions between types (PTX ISA, cvt), and pairs of 16-bit numbers.
#include <cmath>
#include <fake_cuda/ptx/machine.hpp>
#include <hypersd/core/half.hpp>
#include <limits>
#include <unordered_map>
#include <utility>

namespace ptx {

namespace {

using Table = std::unordered_map<std::string, Handler>;
using hypersd::bfloat16;
using hypersd::half;

template <class To, class From, class F>
Handler from_to(F) {
  return [](Thread& t, const Instruction& i) { set<To>(t, i.d[0], F{}(get<From>(t, i.s[0]))); };
}

template <class To, class From>
void integer(Table& table, const std::string& to, const std::string& from) {
  table["cvt." + to + "." + from] = from_to<To, From>([](From x) { return static_cast<To>(x); });
  table["cvt.sat." + to + "." + from] = from_to<To, From>([](From x) {
    using Limits = std::numeric_limits<To>;
    return std::cmp_less(x, Limits::min())      ? Limits::min()
           : std::cmp_greater(x, Limits::max()) ? Limits::max()
                                                : static_cast<To>(x);
  });
}

/// Rounded to an integer, then to the nearest one that there is; NaN is 0.
template <class To, class From>
To clamped(From x) {
  if (x != x) return 0;
  using Limits = std::numeric_limits<To>;
  if (x <= static_cast<From>(Limits::min())) return Limits::min();
  if (x >= static_cast<From>(Limits::max())) return Limits::max();
  return static_cast<To>(x);
}

template <class Integer, class Real>
void integer_and_real(Table& table, const std::string& integer, const std::string& real) {
  for (const char* ftz : {"", ".ftz"}) {
    const std::string end = ftz + ("." + integer + "." + real);
    table["cvt.rzi" + end] = from_to<Integer, Real>([](Real x) { return clamped<Integer>(std::trunc(x)); });
    table["cvt.rni" + end] = from_to<Integer, Real>([](Real x) { return clamped<Integer>(std::nearbyint(x)); });
    table["cvt.rmi" + end] = from_to<Integer, Real>([](Real x) { return clamped<Integer>(std::floor(x)); });
    table["cvt.rpi" + end] = from_to<Integer, Real>([](Real x) { return clamped<Integer>(std::ceil(x)); });
  }
  table["cvt.rn." + real + "." + integer] = from_to<Real, Integer>([](Integer x) { return static_cast<Real>(x); });
}

template <class Integer>
void integers(Table& table, const std::string& name) {
  integer<Integer, std::uint8_t>(table, name, "u8"), integer<Integer, std::int8_t>(table, name, "s8");
  integer<Integer, std::uint16_t>(table, name, "u16"), integer<Integer, std::int16_t>(table, name, "s16");
  integer<Integer, std::uint32_t>(table, name, "u32"), integer<Integer, std::int32_t>(table, name, "s32");
  integer<Integer, std::uint64_t>(table, name, "u64"), integer<Integer, std::int64_t>(table, name, "s64");
  integer_and_real<Integer, float>(table, name, "f32");
  integer_and_real<Integer, double>(table, name, "f64");
}

template <class Real>
void to_integral(Table& table, const std::string& type) {
  const std::string end = "." + type + "." + type;
  table["cvt.rni" + end] = from_to<Real, Real>([](Real x) { return std::nearbyint(x); });
  table["cvt.rzi" + end] = from_to<Real, Real>([](Real x) { return std::trunc(x); });
  table["cvt.rmi" + end] = from_to<Real, Real>([](Real x) { return std::floor(x); });
  table["cvt.rpi" + end] = from_to<Real, Real>([](Real x) { return std::ceil(x); });
  table["cvt.sat" + end] = from_to<Real, Real>([](Real x) { return x != x || x < 0 ? Real(0) : x > 1 ? Real(1) : x; });
}

template <class Narrow>
void narrow(Table& table, const std::string& name) {
  table["cvt.rn." + name + ".f32"] = from_to<Narrow, float>([](float x) { return Narrow(x); });
  table["cvt.f32." + name] = from_to<float, Narrow>([](Narrow x) { return static_cast<float>(x); });
  // The first of the two is the upper half.
  table["cvt.rn." + name + "x2.f32"] = [](Thread& t, const Instruction& i) {
    const auto half_of = [&](int k) {
      return static_cast<std::uint32_t>(std::bit_cast<std::uint16_t>(Narrow(get<float>(t, i.s[k]))));
    };
    set<std::uint32_t>(t, i.d[0], half_of(0) << 16 | half_of(1));
  };
}

/// A register from the elements of a vector, or the other way.
template <class Part, int parts>
void packed(Table& table, const std::string& type) {
  table["pack." + type] = [](Thread& t, const Instruction& i) {
    std::uint64_t out = 0;
    for (int k = 0; k < parts; ++k)
      out |= static_cast<std::uint64_t>(get<Part>(t, i.s[k])) << (8 * sizeof(Part) * static_cast<unsigned>(k));
    set<std::uint64_t>(t, i.d[0], out);
  };
  table["unpack." + type] = [](Thread& t, const Instruction& i) {
    const std::uint64_t from = t.r[i.s[0]];
    for (int k = 0; k < parts; ++k)
      set<Part>(t, i.d[k], static_cast<Part>(from >> (8 * sizeof(Part) * static_cast<unsigned>(k))));
  };
}

Table make() {
  Table table;
  integers<std::uint8_t>(table, "u8"), integers<std::int8_t>(table, "s8");
  integers<std::uint16_t>(table, "u16"), integers<std::int16_t>(table, "s16");
  integers<std::uint32_t>(table, "u32"), integers<std::int32_t>(table, "s32");
  integers<std::uint64_t>(table, "u64"), integers<std::int64_t>(table, "s64");
  to_integral<float>(table, "f32"), to_integral<double>(table, "f64");
  table["cvt.f64.f32"] = from_to<double, float>([](float x) { return static_cast<double>(x); });
  table["cvt.rn.f32.f64"] = from_to<float, double>([](double x) { return static_cast<float>(x); });
  narrow<half>(table, "f16"), narrow<bfloat16>(table, "bf16");
  packed<std::uint8_t, 2>(table, "b16.2"), packed<std::uint8_t, 4>(table, "b32.4");
  packed<std::uint16_t, 2>(table, "b32.2"), packed<std::uint16_t, 4>(table, "b64.4");
  packed<std::uint32_t, 2>(table, "b64.2");
  return table;
}

}  // namespace

Handler conversion(const std::string& opcode) {
  static const Table table = make();
  const auto found = table.find(opcode);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace ptx
