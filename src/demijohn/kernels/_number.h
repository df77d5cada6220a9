/* One JSON number as the float64 nearest to it: Clinger's fast path, Eisel and Lemire's, and Python's own reader
 * for what they leave undecided.
 *
 * Source: Lemire, "Number Parsing at a Gigabyte per Second", Software: Practice and Experience 51 (2021); the
 * steps are those of fast_float's decimal_to_binary.h and ascii_number.h.
 *
 * Rules of this room:
 * 1. The text ends with a byte that is part of no number (bytes objects end with NUL), so single bytes are read
 *    without asking for the end; eight at once are not.
 * 2. What is no JSON number is refused: leading zeros, "1.", ".5", "+1", "1e". So is what overflows.
 */
#ifndef DEMIJOHN_NUMBER_H
#define DEMIJOHN_NUMBER_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "_powers.h"

#define MAX_DIGITS 19      /* that surely fit into 64 bits */
#define MAX_EXPONENT 1000000000000 /* no body has as many digits, to make up for it */
#define MAX_SLOW_BYTES 2048

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HAS_EIGHT_AT_ONCE 1
#else
#define HAS_EIGHT_AT_ONCE 0
#endif

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
#define ROUNDS_ONCE 1
#else
#define ROUNDS_ONCE 0 /* x87: a product would be rounded twice */
#endif

static const double EXACT_POWERS_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

typedef struct {
    uint64_t high, low;
} Product;

static inline Product
multiply(uint64_t a, uint64_t b)
{
    Product product;
#ifdef __SIZEOF_INT128__
    unsigned __int128 full = (unsigned __int128)a * b;
    product.high = (uint64_t)(full >> 64);
    product.low = (uint64_t)full;
#else
    uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (middle & 0xffffffffu);
    product.high = a1 * b1 + (middle >> 32) + (other >> 32);
    product.low = other << 32 | (low & 0xffffffffu);
#endif
    return product;
}

static inline double
double_of(uint64_t mantissa, uint64_t exponent)
{
    uint64_t bits = exponent << 52 | (mantissa & (((uint64_t)1 << 52) - 1));
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* digits * 10**power rounded to nearest, ties to even; -1.0 if undecided. Infinity if too large. */
static inline double
eisel_lemire(uint64_t digits, int64_t power)
{
    if (digits == 0 || power < SMALLEST_POWER) {
        return 0.0;
    }
    if (power > LARGEST_POWER) {
        return INFINITY;
    }
    int zeros = __builtin_clzll(digits);
    digits <<= zeros;
    const uint64_t *five = POWERS_OF_FIVE[power - SMALLEST_POWER];
    Product product = multiply(digits, five[0]);
    if ((product.high & 0x1ff) == 0x1ff) { /* the 55 bits that count might still change */
        Product rest = multiply(digits, five[1]);
        product.low += rest.high;
        product.high += rest.high > product.low;
    }
    if (product.low == UINT64_MAX && (power < -27 || power > 55)) {
        return -1.0;
    }
    int upper = (int)(product.high >> 63);
    uint64_t mantissa = product.high >> (upper + 9);
    /* floor(power * log2(10)), by a fraction over 2**16; 1140 keeps what is shifted positive */
    int64_t exponent = ((217706 * power + ((int64_t)1140 << 16)) >> 16) - 1140 + 63 + upper - zeros + 1023;
    if (exponent <= 0) { /* subnormal, or 0 */
        if (1 - exponent >= 64) {
            return 0.0;
        }
        mantissa >>= 1 - exponent;
        mantissa = (mantissa + (mantissa & 1)) >> 1;
        return double_of(mantissa, mantissa >> 52);
    }
    if (product.low <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 &&
        mantissa << (upper + 9) == product.high) {
        mantissa &= ~(uint64_t)1; /* exactly half way: to even */
    }
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >= (uint64_t)2 << 52) {
        mantissa = (uint64_t)1 << 52;
        exponent++;
    }
    return exponent >= 2047 ? INFINITY : double_of(mantissa, (uint64_t)exponent);
}

/* Without a branch: nobody can predict the signs of a column. */
static inline double
with_sign(double value, int is_negative)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= (uint64_t)is_negative << 63;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

static inline int
is_digit(char byte)
{
    return (unsigned char)(byte - '0') < 10;
}

#if HAS_EIGHT_AT_ONCE
/* Eight digits (0...9, the first in the lowest byte) as a number: by pairs, then fours, then all. */
static inline uint64_t
join_eight(uint64_t eight)
{
    eight = eight * 10 + (eight >> 8);
    return (uint32_t)(((eight & 0x000000ff000000ffu) * 0x000f424000000064u +
                       ((eight >> 16) & 0x000000ff000000ffu) * 0x0000271000000001u) >>
                      32);
}
#endif

/* Digits from `at` on, added to `digits` (which may wrap around; the caller counts). */
static inline const char *
read_digits(const char *at, const char *end, uint64_t *digits)
{
    uint64_t value = *digits;
#if HAS_EIGHT_AT_ONCE
    static const uint32_t SCALES[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    while (end - at >= 8) {
        uint64_t eight, others;
        memcpy(&eight, at, sizeof eight);
        others = (eight + 0x4646464646464646u) | (eight - 0x3030303030303030u);
        others &= 0x8080808080808080u; /* the lowest bit is that of the first byte that is no digit */
        eight -= 0x3030303030303030u;
        if (others != 0) { /* what follows the digits is shifted out, and zeros in before them */
            unsigned n_digits = (unsigned)__builtin_ctzll(others) / 8;
            eight = n_digits == 0 ? 0 : eight << (64 - 8 * n_digits);
            *digits = value * SCALES[n_digits] + join_eight(eight);
            return at + n_digits;
        }
        value = value * 100000000 + join_eight(eight);
        at += 8;
    }
#else
    (void)end;
#endif
    while (is_digit(*at)) {
        value = value * 10 + (uint64_t)(*at++ - '0');
    }
    *digits = value;
    return at;
}

/* Python's own reader, of a text that is a JSON number. 0, or -1 if it is too long or overflows. */
static int
read_slowly(const char *begin, const char *end, double *number)
{
    char text[MAX_SLOW_BYTES + 1];
    if (end - begin > MAX_SLOW_BYTES) {
        return -1;
    }
    memcpy(text, begin, (size_t)(end - begin));
    text[end - begin] = 0;
    *number = PyOS_string_to_double(text, NULL, NULL);
    if (*number == -1.0 && PyErr_Occurred()) {
        PyErr_Clear(); /* whoever reads the body next says what is wrong with it */
        return -1;
    }
    return isfinite(*number) ? 0 : -1;
}

/* More digits than 64 bits hold: the first 19, and 1 more, must agree. */
static int
read_long(const char *begin, const char *end, const char *whole, int64_t power, double *number)
{
    uint64_t digits = 0;
    int64_t n_read = 0, n_after_point = 0, n_left = 0;
    int is_after_point = 0, is_cut = 0;
    for (const char *at = whole; is_digit(*at) || *at == '.'; at++) {
        if (*at == '.') {
            is_after_point = 1;
        } else if (n_read < MAX_DIGITS) {
            digits = digits * 10 + (uint64_t)(*at - '0');
            n_read += digits != 0;
            n_after_point += is_after_point;
        } else {
            n_left += !is_after_point;
            is_cut = 1;
        }
    }
    power += n_left - n_after_point;
    double value = eisel_lemire(digits, power);
    if (value < 0.0 || (is_cut && value != eisel_lemire(digits + 1, power))) {
        return read_slowly(begin, end, number);
    }
    *number = with_sign(value, *begin == '-');
    return isfinite(value) ? 0 : -1;
}

/* Read the number that begins at *from and move *from behind it. 0, or -1 if there is none or it overflows.
 * is_whole: it is written as an integer, and float64 holds all around it. */
static inline int
read_any_number(const char **from, const char *end, double *number, int *is_whole)
{
    const char *begin = *from, *at = begin + (*begin == '-'), *whole = at;
    uint64_t digits = 0;
    int64_t power = 0, n_digits, written = 0;
    if (!is_digit(*at) || (*at == '0' && is_digit(at[1]))) {
        return -1;
    }
    while (is_digit(*at) && at - whole < 4) { /* most have few before the point */
        digits = digits * 10 + (uint64_t)(*at++ - '0');
    }
    if (is_digit(*at)) {
        at = read_digits(at, end, &digits);
    }
    n_digits = at - whole;
    int is_integer = 1;
    if (*at == '.') {
        const char *fraction = ++at;
        at = read_digits(at, end, &digits);
        power = fraction - at;
        if (power == 0) {
            return -1;
        }
        n_digits -= power;
        is_integer = 0;
    }
    if (*at == 'e' || *at == 'E') {
        int is_negative = *++at == '-';
        at += *at == '-' || *at == '+';
        if (!is_digit(*at)) {
            return -1;
        }
        for (; is_digit(*at); at++) {
            written = written < MAX_EXPONENT ? written * 10 + (*at - '0') : written;
        }
        written = is_negative ? -written : written;
        power += written;
        is_integer = 0;
    }
    *from = at;
    *is_whole = is_integer & (digits <= (uint64_t)1 << 53);
    if (n_digits > MAX_DIGITS) {
        *is_whole = 0; /* digits may have wrapped around */
        return read_long(begin, at, whole, written, number);
    }
    double value;
    if (ROUNDS_ONCE && digits <= (uint64_t)1 << 53 && power >= -22 && power <= 22) {
        value = power < 0 ? (double)digits / EXACT_POWERS_OF_TEN[-power] : (double)digits * EXACT_POWERS_OF_TEN[power];
    } else {
        value = eisel_lemire(digits, power);
        if (value < 0.0) {
            return read_slowly(begin, at, number);
        }
    }
    /* json reads "-0" as the integer 0, which has no sign; "-0.0" has one */
    *number = with_sign(value, (*begin == '-') & !(is_integer & (digits == 0)));
    return isfinite(value) ? 0 : -1;
}

static inline int
read_number(const char **from, const char *end, double *number)
{
    int is_whole;
    return read_any_number(from, end, number, &is_whole);
}

#endif
