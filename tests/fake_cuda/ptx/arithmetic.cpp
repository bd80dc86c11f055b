// SPDX-License-Identifier: Apache-2.0
// Arithmetic, comparisons and bits (PTX ISA, chapters 9.7.1 to 9.7.8). Approximate functions are computed exactly and
// rounded: their errors on a GPU are not modelled, flushing to zero is.
#include <algorithm>
#include <cfenv>
#include <cmath>
#include <fake_cuda/ptx/machine.hpp>
#include <limits>
#include <unordered_map>

namespace ptx {

namespace {

using Table = std::unordered_map<std::string, Handler>;
using u16 = std::uint16_t;
using s16 = std::int16_t;
using u32 = std::uint32_t;
using s32 = std::int32_t;
using u64 = std::uint64_t;
using s64 = std::int64_t;

template <class T, class F>
Handler unary(F) {
  return [](Thread& t, const Instruction& i) { set<T>(t, i.d[0], static_cast<T>(F{}(get<T>(t, i.s[0])))); };
}
template <class T, class F>
Handler binary(F) {
  return [](Thread& t, const Instruction& i) {
    set<T>(t, i.d[0], static_cast<T>(F{}(get<T>(t, i.s[0]), get<T>(t, i.s[1]))));
  };
}
template <class T, class F>
Handler ternary(F) {
  return [](Thread& t, const Instruction& i) {
    set<T>(t, i.d[0], static_cast<T>(F{}(get<T>(t, i.s[0]), get<T>(t, i.s[1]), get<T>(t, i.s[2]))));
  };
}
/// The result is twice as wide; for mad, the third factor too.
template <class T, class Wide, bool adds>
Handler wide() {
  return [](Thread& t, const Instruction& i) {
    using U = std::make_unsigned_t<Wide>;
    U out = static_cast<U>(static_cast<Wide>(get<T>(t, i.s[0]))) * static_cast<U>(static_cast<Wide>(get<T>(t, i.s[1])));
    if constexpr (adds) out += get<U>(t, i.s[2]);
    set<Wide>(t, i.d[0], static_cast<Wide>(out));
  };
}

template <class T>
T high(T a, T b) {
  if constexpr (sizeof(T) == 8) {
    // By halves; negative factors take the other one away once.
    const u64 x = static_cast<u64>(a), y = static_cast<u64>(b), x0 = x & 0xffffffffU, x1 = x >> 32,
              y0 = y & 0xffffffffU, y1 = y >> 32;
    const u64 middle = x1 * y0 + (x0 * y0 >> 32), low = x0 * y1 + (middle & 0xffffffffU);
    u64 out = x1 * y1 + (middle >> 32) + (low >> 32);
    if constexpr (std::is_signed_v<T>) out -= (a < 0 ? y : 0) + (b < 0 ? x : 0);
    return static_cast<T>(out);
  } else {
    using Wide = std::conditional_t<std::is_signed_v<T>, s64, u64>;
    return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> (8 * sizeof(T)));
  }
}
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));
  return static_cast<T>(a / b);
}
template <class T>
T rest(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}

template <class T>
void integers(Table& table, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  table["add." + type] = binary<T>([](T a, T b) { return static_cast<T>(static_cast<U>(a) + static_cast<U>(b)); });
  table["sub." + type] = binary<T>([](T a, T b) { return static_cast<T>(static_cast<U>(a) - static_cast<U>(b)); });
  table["mul.lo." + type] = binary<T>([](T a, T b) { return static_cast<T>(u64(U(a)) * u64(U(b))); });
  table["mul.hi." + type] = binary<T>([](T a, T b) { return high<T>(a, b); });
  table["mad.lo." + type] = ternary<T>([](T a, T b, T c) { return static_cast<T>(u64(U(a)) * u64(U(b)) + u64(U(c))); });
  table["mad.hi." + type] = ternary<T>([](T a, T b, T c) { return static_cast<T>(U(high<T>(a, b)) + U(c)); });
  table["div." + type] = binary<T>([](T a, T b) { return quotient<T>(a, b); });
  table["rem." + type] = binary<T>([](T a, T b) { return rest<T>(a, b); });
  table["min." + type] = binary<T>([](T a, T b) { return std::min(a, b); });
  table["max." + type] = binary<T>([](T a, T b) { return std::max(a, b); });
  if constexpr (std::is_signed_v<T>) {
    table["neg." + type] = unary<T>([](T a) { return static_cast<T>(-static_cast<U>(a)); });
    table["abs." + type] = unary<T>([](T a) { return a < 0 ? static_cast<T>(-static_cast<U>(a)) : a; });
  }
}

template <class T>
constexpr u32 width = 8 * sizeof(T);

/// Logical operations have types .b16, .b32, .b64; shifts to the right are of signed numbers too.
template <class U>
void bits(Table& table, const std::string& bits) {
  using S = std::make_signed_t<U>;
  table["and.b" + bits] = binary<U>([](U a, U b) { return a & b; });
  table["or.b" + bits] = binary<U>([](U a, U b) { return a | b; });
  table["xor.b" + bits] = binary<U>([](U a, U b) { return a ^ b; });
  table["not.b" + bits] = unary<U>([](U a) { return ~a; });
  table["shl.b" + bits] = [](Thread& t, const Instruction& i) {
    const u32 n = get<u32>(t, i.s[1]);
    set<U>(t, i.d[0], n >= width<U> ? U(0) : static_cast<U>(u64(get<U>(t, i.s[0])) << n));
  };
  table["shr.u" + bits] = table["shr.b" + bits] = [](Thread& t, const Instruction& i) {
    const u32 n = get<u32>(t, i.s[1]);
    set<U>(t, i.d[0], n >= width<U> ? U(0) : static_cast<U>(get<U>(t, i.s[0]) >> n));
  };
  table["shr.s" + bits] = [](Thread& t, const Instruction& i) {
    set<S>(t, i.d[0], static_cast<S>(get<S>(t, i.s[0]) >> std::min(get<u32>(t, i.s[1]), width<U> - 1)));
  };
  if constexpr (sizeof(U) >= 4) {
    table["popc.b" + bits] = [](Thread& t, const Instruction& i) {
      set<u32>(t, i.d[0], static_cast<u32>(std::popcount(get<U>(t, i.s[0]))));
    };
    table["clz.b" + bits] = [](Thread& t, const Instruction& i) {
      set<u32>(t, i.d[0], static_cast<u32>(std::countl_zero(get<U>(t, i.s[0]))));
    };
    table["brev.b" + bits] = unary<U>([](U a) {
      U out = 0;
      for (u32 k = 0; k < width<U>; ++k) out |= static_cast<U>((a >> k & 1U) << (width<U> - 1 - k));
      return out;
    });
    table["bfi.b" + bits] = [](Thread& t, const Instruction& i) {
      const u32 at = get<u32>(t, i.s[2]) & 255U, n = get<u32>(t, i.s[3]) & 255U;
      const U a = get<U>(t, i.s[0]), b = get<U>(t, i.s[1]);
      if (at >= width<U> || n == 0) return set<U>(t, i.d[0], b);
      const U mask = static_cast<U>((n >= width<U> ? ~U(0) : static_cast<U>((U(1) << n) - 1)) << at);
      set<U>(t, i.d[0], static_cast<U>((b & ~mask) | (static_cast<U>(a << at) & mask)));
    };
    const auto extract = []<class T>(T) -> Handler {
      return [](Thread& t, const Instruction& i) {
        const u32 at = get<u32>(t, i.s[1]) & 255U, n = get<u32>(t, i.s[2]) & 255U;
        const T a = get<T>(t, i.s[0]);
        U out = 0;
        const U sign = std::is_signed_v<T> && n > 0 ? static_cast<U>(a >> std::min(at + n - 1, width<U> - 1)) & 1U : 0;
        for (u32 k = 0; k < width<U>; ++k) {
          const U bit = k < n && at + k < width<U> ? static_cast<U>(a >> (at + k)) & 1U : sign;
          out |= static_cast<U>(bit << k);
        }
        set<T>(t, i.d[0], static_cast<T>(out));
      };
    };
    table["bfe.u" + bits] = extract(U());
    table["bfe.s" + bits] = extract(S());
  }
}

float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }
/// The upper half of 1 / x: the start of the sequences for division (rcp.approx.ftz.f64).
double rough_reciprocal(double x) { return std::bit_cast<double>(std::bit_cast<u64>(1 / x) & 0xffffffff00000000U); }

/// f(a, b, c) rounded in a direction. Volatile, since compilers take the direction for the ordinary one.
template <class T, int direction, class F>
T rounded(T a, T b, T c, F f) {
  const int before = std::fegetround();
  std::fesetround(direction);
  const volatile T x = a, y = b, z = c;
  const volatile T out = f(x, y, z);
  std::fesetround(before);
  return out;
}
template <class T, int direction>
void directed(Table& table, const std::string& end) {
  table["add" + end] =
      binary<T>([](T a, T b) { return rounded<T, direction>(a, b, T(), [](T x, T y, T) { return x + y; }); });
  table["sub" + end] =
      binary<T>([](T a, T b) { return rounded<T, direction>(a, b, T(), [](T x, T y, T) { return x - y; }); });
  table["mul" + end] =
      binary<T>([](T a, T b) { return rounded<T, direction>(a, b, T(), [](T x, T y, T) { return x * y; }); });
  table["fma" + end] = ternary<T>(
      [](T a, T b, T c) { return rounded<T, direction>(a, b, c, [](T x, T y, T z) { return std::fma(x, y, z); }); });
}

template <class T>
void reals(Table& table, const std::string& type) {
  directed<T, FE_DOWNWARD>(table, ".rm." + type);
  directed<T, FE_UPWARD>(table, ".rp." + type);
  directed<T, FE_TOWARDZERO>(table, ".rz." + type);
  for (const char* round : {"", ".rn"}) {
    const std::string end = round + ("." + type);
    table["add" + end] = binary<T>([](T a, T b) { return a + b; });
    table["sub" + end] = binary<T>([](T a, T b) { return a - b; });
    table["mul" + end] = binary<T>([](T a, T b) { return a * b; });
  }
  table["fma.rn." + type] = ternary<T>([](T a, T b, T c) { return std::fma(a, b, c); });
  table["div.rn." + type] = binary<T>([](T a, T b) { return a / b; });
  table["rcp.rn." + type] = unary<T>([](T a) { return 1 / a; });
  table["sqrt.rn." + type] = unary<T>([](T a) { return std::sqrt(a); });
  table["neg." + type] = unary<T>([](T a) { return -a; });
  table["abs." + type] = unary<T>([](T a) { return std::fabs(a); });
  table["min." + type] = binary<T>([](T a, T b) { return std::fmin(a, b); });
  table["max." + type] = binary<T>([](T a, T b) { return std::fmax(a, b); });
  table["copysign." + type] = binary<T>([](T a, T b) { return std::copysign(b, a); });
}

void approximations(Table& table) {
  const auto both = [&](const std::string& name, auto f) {
    using F = decltype(f);
    table[name + ".f32"] = unary<float>(f);
    table[name + ".ftz.f32"] = unary<float>([](float a) { return flushed(F{}(flushed(a))); });
  };
  both("ex2.approx", [](float a) { return std::exp2(a); });
  both("lg2.approx", [](float a) { return std::log2(a); });
  both("rcp.approx", [](float a) { return 1 / a; });
  both("sqrt.approx", [](float a) { return std::sqrt(a); });
  both("rsqrt.approx", [](float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); });
  both("sin.approx", [](float a) { return std::sin(a); });
  both("cos.approx", [](float a) { return std::cos(a); });
  table["tanh.approx.f32"] = unary<float>([](float a) { return std::tanh(a); });
  for (const char* name : {"div.approx.f32", "div.full.f32", "div.approx.ftz.f32", "div.full.ftz.f32"})
    table[name] = binary<float>([](float a, float b) { return a / b; });
  table["rcp.approx.ftz.f64"] = unary<double>([](double a) { return rough_reciprocal(a); });
  table["rsqrt.approx.f64"] = table["rsqrt.approx.ftz.f64"] = unary<double>([](double a) { return 1 / std::sqrt(a); });
}

enum Compare { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

template <class T, Compare how>
bool compare(T a, T b) {
  constexpr bool real = std::is_floating_point_v<T>;
  const bool unordered = real && (a != a || b != b);
  if constexpr (how == num) return !unordered;
  if constexpr (how == nan) return unordered;
  if (unordered) return how >= equ;
  switch (how) {
    case eq:
    case equ: return a == b;
    case ne:
    case neu: return a != b;
    case lt:
    case ltu: return a < b;
    case le:
    case leu: return a <= b;
    case gt:
    case gtu: return a > b;
    default: return a >= b;
  }
}

template <class T, Compare how>
void comparison(Table& table, const std::string& name, const std::string& type) {
  table["setp." + name + "." + type] = [](Thread& t, const Instruction& i) {
    const bool p = compare<T, how>(get<T>(t, i.s[0]), get<T>(t, i.s[1]));
    set<bool>(t, i.d[0], p);
    set<bool>(t, i.d[1], !p);
  };
  const auto joined = [&](const char* join, auto f) {
    using F = decltype(f);
    table["setp." + name + "." + join + "." + type] = [](Thread& t, const Instruction& i) {
      const bool p = compare<T, how>(get<T>(t, i.s[0]), get<T>(t, i.s[1])), c = get<bool>(t, i.s[2]);
      set<bool>(t, i.d[0], F{}(p, c));
      set<bool>(t, i.d[1], F{}(!p, c));
    };
  };
  joined("and", [](bool a, bool b) { return a && b; });
  joined("or", [](bool a, bool b) { return a || b; });
  joined("xor", [](bool a, bool b) { return a != b; });
}

template <class T>
void comparisons(Table& table, const std::string& type) {
  comparison<T, eq>(table, "eq", type);
  comparison<T, ne>(table, "ne", type);
  comparison<T, lt>(table, "lt", type);
  comparison<T, le>(table, "le", type);
  comparison<T, gt>(table, "gt", type);
  comparison<T, ge>(table, "ge", type);
  if constexpr (std::is_floating_point_v<T>) {
    comparison<T, equ>(table, "equ", type);
    comparison<T, neu>(table, "neu", type);
    comparison<T, ltu>(table, "ltu", type);
    comparison<T, leu>(table, "leu", type);
    comparison<T, gtu>(table, "gtu", type);
    comparison<T, geu>(table, "geu", type);
    comparison<T, num>(table, "num", type);
    comparison<T, nan>(table, "nan", type);
  } else if constexpr (std::is_unsigned_v<T>) {
    comparison<T, lt>(table, "lo", type);
    comparison<T, le>(table, "ls", type);
    comparison<T, gt>(table, "hi", type);
    comparison<T, ge>(table, "hs", type);
  }
}

u32 permuted(u32 a, u32 b, u32 how) {
  const u64 all = static_cast<u64>(b) << 32 | a;
  u32 out = 0;
  for (u32 k = 0; k < 4; ++k) {
    const u32 from = how >> (4 * k) & 15U;
    u32 byte = static_cast<u32>(all >> (8 * (from & 7U))) & 255U;
    if ((from & 8U) != 0) byte = (byte & 128U) != 0 ? 255U : 0U;
    out |= byte << (8 * k);
  }
  return out;
}

void others(Table& table) {
  table["and.pred"] = binary<bool>([](bool a, bool b) { return a && b; });
  table["or.pred"] = binary<bool>([](bool a, bool b) { return a || b; });
  table["xor.pred"] = binary<bool>([](bool a, bool b) { return a != b; });
  table["not.pred"] = unary<bool>([](bool a) { return !a; });
  for (const char* type : {"b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64"}) {
    table[std::string("selp.") + type] = [](Thread& t, const Instruction& i) {
      t.r[i.d[0]] = t.r[get<bool>(t, i.s[2]) ? i.s[0] : i.s[1]];
    };
    table[std::string("mov.") + type] = [](Thread& t, const Instruction& i) { t.r[i.d[0]] = t.r[i.s[0]]; };
  }
  table["mov.pred"] = table["mov.b32"];
  table["prmt.b32"] = ternary<u32>([](u32 a, u32 b, u32 how) { return permuted(a, b, how); });
  table["lop3.b32"] = [](Thread& t, const Instruction& i) {
    const u32 a = get<u32>(t, i.s[0]), b = get<u32>(t, i.s[1]), c = get<u32>(t, i.s[2]), f = get<u32>(t, i.s[3]);
    u32 out = 0;
    for (u32 k = 0; k < 8; ++k)
      if ((f >> k & 1U) != 0) out |= ((k & 4U) != 0 ? a : ~a) & ((k & 2U) != 0 ? b : ~b) & ((k & 1U) != 0 ? c : ~c);
    set<u32>(t, i.d[0], out);
  };
  const auto funnel = [&](const char* name, auto f) {
    using F = decltype(f);
    table[std::string(name) + ".wrap.b32"] = ternary<u32>([](u32 a, u32 b, u32 n) { return F{}(a, b, n & 31U); });
    table[std::string(name) + ".clamp.b32"] =
        ternary<u32>([](u32 a, u32 b, u32 n) { return F{}(a, b, std::min(n, 32U)); });
  };
  funnel("shf.l", [](u32 a, u32 b, u32 n) { return static_cast<u32>(((static_cast<u64>(b) << 32 | a) << n) >> 32); });
  funnel("shf.r", [](u32 a, u32 b, u32 n) { return static_cast<u32>((static_cast<u64>(b) << 32 | a) >> n); });
}

Table make() {
  Table table;
  integers<u16>(table, "u16"), integers<s16>(table, "s16");
  integers<u32>(table, "u32"), integers<s32>(table, "s32");
  integers<u64>(table, "u64"), integers<s64>(table, "s64");
  table["mul.wide.u16"] = wide<u16, u32, false>(), table["mul.wide.s16"] = wide<s16, s32, false>();
  table["mul.wide.u32"] = wide<u32, u64, false>(), table["mul.wide.s32"] = wide<s32, s64, false>();
  table["mad.wide.u16"] = wide<u16, u32, true>(), table["mad.wide.s16"] = wide<s16, s32, true>();
  table["mad.wide.u32"] = wide<u32, u64, true>(), table["mad.wide.s32"] = wide<s32, s64, true>();
  bits<u16>(table, "16"), bits<u32>(table, "32"), bits<u64>(table, "64");
  reals<float>(table, "f32"), reals<double>(table, "f64");
  approximations(table);
  comparisons<u16>(table, "u16"), comparisons<s16>(table, "s16"), comparisons<u16>(table, "b16");
  comparisons<u32>(table, "u32"), comparisons<s32>(table, "s32"), comparisons<u32>(table, "b32");
  comparisons<u64>(table, "u64"), comparisons<s64>(table, "s64"), comparisons<u64>(table, "b64");
  comparisons<float>(table, "f32"), comparisons<double>(table, "f64");
  others(table);
  return table;
}

}  // namespace

Handler arithmetic(const std::string& opcode) {
  static const Table table = make();
  const auto found = table.find(opcode);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace ptx
