/* What GCC and Clang both know, each in its own words: code that is put where it is called, loops that are written out. */
#ifndef DEMIJOHN_INLINE_H
#define DEMIJOHN_INLINE_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
