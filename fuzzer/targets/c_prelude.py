"""The beginning of every file of C that is compiled: types, and operations that C has no sign for."""

from __future__ import annotations

from typing import Final

_WIDTHS: Final = (8, 16, 32, 64)


def _of_width(bits: int) -> str:
    """Counting and reversing bits. The loops are for tcc, which has no such builtins."""
    t = f"u{bits}"
    swap = "\n".join(
        f"  x = ({t})((x >> {step} & ({t}){mask:#x}ull) | (x & ({t}){mask:#x}ull) << {step});"
        for step in (1, 2, 4, 8, 16, 32)
        if step < bits
        for mask in [sum((1 << step) - 1 << at for at in range(0, bits, 2 * step))]
    )
    bytes_ = "\n".join(
        f"  r = ({t})(r | ({t})((x >> {at} & 0xff) << {bits - 8 - at}));"
        for at in range(0, bits, 8)
    )
    return f"""static inline {t} clz{bits}({t} x) {{
#ifdef __TINYC__
  int n = 0;
  while (n < {bits} && !(x >> ({bits - 1} - n) & 1)) n++;
  return n;
#else
  return x ? __builtin_clzll((u64)x) - {64 - bits} : {bits};
#endif
}}
static inline {t} ctz{bits}({t} x) {{
#ifdef __TINYC__
  int n = 0;
  while (n < {bits} && !(x >> n & 1)) n++;
  return n;
#else
  return x ? __builtin_ctzll((u64)x) : {bits};
#endif
}}
static inline {t} popcnt{bits}({t} x) {{
  int n = 0;
  for (; x; x = ({t})(x & (x - 1))) n++;
  return n;
}}
static inline {t} bitrev{bits}({t} x) {{
{swap}
  return x;
}}
static inline {t} bswap{bits}({t} x) {{
  {t} r = 0;
{bytes_}
  return r;
}}"""


def _of_float(bits: int, name: str, suffix: str) -> str:
    quiet = 1 << (22 if bits == 32 else 51)
    infinity = 0x7F80_0000 if bits == 32 else 0x7FF << 52
    functions = "\n".join(
        f"#define {called}{bits} __builtin_{called}{suffix}"
        for called in ("sqrt", "ceil", "floor", "trunc", "nearbyint", "fma")
    )
    externs = "\n".join(
        f"extern {name} {called}{suffix}({arguments});\n#define {called}{bits} {called}{suffix}"
        for called, arguments in (
            *((one, name) for one in ("ceil", "floor", "trunc", "nearbyint")),
            ("fma", ", ".join([name] * 3)),
        )
    )
    return f"""#define SIGN{bits} ((u{bits})1 << {bits - 1})
static inline u{bits} bits{bits}({name} x) {{ union {{ {name} f; u{bits} i; }} u; u.f = x; return u.i; }}
static inline {name} float{bits}(u{bits} x) {{ union {{ {name} f; u{bits} i; }} u; u.i = x; return u.f; }}
static inline {name} quiet{bits}({name} x) {{
  u{bits} b = bits{bits}(x);
  return (b & ~SIGN{bits}) > {infinity:#x}ull ? float{bits}(b | {quiet:#x}ull) : x;
}}
#ifdef __TINYC__
{externs}
#else
{functions}
#endif"""


_WIDE: Final = """#ifdef __TINYC__
extern void *memcpy(void *, const void *, unsigned long);
#else
#define memcpy __builtin_memcpy
typedef unsigned __int128 u128;
typedef __int128 s128;
static inline u128 clz128(u128 x) { return x >> 64 ? clz64(x >> 64) : 64 + clz64((u64)x); }
static inline u128 ctz128(u128 x) { return (u64)x ? ctz64((u64)x) : 64 + ctz64(x >> 64); }
static inline u128 popcnt128(u128 x) { return popcnt64(x >> 64) + popcnt64((u64)x); }
static inline u128 bitrev128(u128 x) { return (u128)bitrev64((u64)x) << 64 | bitrev64(x >> 64); }
static inline u128 bswap128(u128 x) { return (u128)bswap64((u64)x) << 64 | bswap64(x >> 64); }
#endif"""

PRELUDE: Final = "\n".join(
    [
        "typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32;",
        "typedef signed char s8; typedef short s16; typedef int s32;",
        "typedef unsigned long u64; typedef long s64;",
        *map(_of_width, _WIDTHS),
        _of_float(32, "float", "f"),
        _of_float(64, "double", ""),
        _WIDE,
    ]
)
