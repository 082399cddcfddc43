/* Vectors of lanes: one lane is one input vector of the batch, so lanes never talk to each other.
 *
 * REAL, LANES and, for float, LANES_OF_FLOAT may be set before inclusion, and LANES_FILL.
 */
#ifndef SPICESIM_LANES_H
#define SPICESIM_LANES_H

#include <math.h>
#include <stdint.h>

#ifndef REAL
#define REAL double
#define LANES 4
#endif

#ifndef LANES_OF_FLOAT
#define LANES_LN2_HIGH 6.93147180369123816490e-01 /* ln 2 in two parts; the first has 21 trailing zero bits */
#define LANES_LN2_LOW 1.90821492927058770002e-10
#define LANES_MANTISSA 52
#define LANES_BIAS 1023
typedef int64_t lane_integer;
#else
#define LANES_LN2_HIGH 6.93145752e-01
#define LANES_LN2_LOW 1.42860677e-06
#define LANES_MANTISSA 23
#define LANES_BIAS 127
typedef int32_t lane_integer;
#endif

/* One compiled clone for each generation of CPU, chosen when the module is loaded. Where LANES_FILL says how many bits
 * the lanes are to fill, it is for the CPUs with such registers alone: whoever calls chooses. */
#if defined(__has_attribute) && defined(__x86_64__) && defined(__GLIBC__)
#if __has_attribute(target_clones)
#if LANES_FILL == 512
#define CPU_CLONES __attribute__((target("arch=x86-64-v4")))
#elif LANES_FILL == 256
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#endif
#endif
#ifndef CPU_CLONES
#define CPU_CLONES
#endif

#define INLINE static inline __attribute__((always_inline))

typedef REAL lanes __attribute__((vector_size(LANES * sizeof(REAL))));
typedef lane_integer lane_mask __attribute__((vector_size(LANES * sizeof(lane_integer)))); /* -1 true, 0 false */

/* Lanes in memory at half the width, for what only has to steer: slopes, steps, directions. */
typedef float packed __attribute__((vector_size(LANES * sizeof(float))));

/* Written out, because GCC makes a broadcast of this only. */
INLINE lanes lanes_of(REAL x)
{
#if LANES == 16
    return (lanes){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif LANES == 4
    return (lanes){x, x, x, x};
#else
    return (lanes){x, x, x, x, x, x, x, x};
#endif
}

INLINE lanes lanes_select(lane_mask mask, lanes yes, lanes no)
{
    return (lanes)((mask & (lane_mask)yes) | (~mask & (lane_mask)no));
}

INLINE lanes lanes_abs(lanes x)
{
    return lanes_select(x < 0, -x, x);
}

INLINE lanes lanes_max(lanes x, lanes y)
{
    return lanes_select(x > y, x, y);
}

INLINE lanes lanes_min(lanes x, lanes y)
{
    return lanes_select(x < y, x, y);
}

INLINE lanes lanes_clip(lanes x, REAL low, REAL high)
{
    return lanes_min(lanes_max(x, lanes_of(low)), lanes_of(high));
}

INLINE int lanes_any(lane_mask mask)
{
    lane_integer any = 0;
    for (int l = 0; l < LANES; l++)
        any |= mask[l];
    return any != 0;
}

INLINE lanes unpack(packed x)
{
    return __builtin_convertvector(x, lanes);
}

INLINE packed pack(lanes x)
{
    return __builtin_convertvector(x, packed);
}

/* The same for numbers that might not fit. */
INLINE packed pack_bounded(lanes x)
{
    return pack(lanes_clip(x, (REAL)-1e30, (REAL)1e30));
}

/* exp(x) - 1 to the last bits for |x| < 300 (float: 80): x = k ln 2 + r, a Taylor polynomial in r, then 2^k. */
INLINE lanes lanes_expm1(lanes x)
{
    const REAL round = (REAL)1.5 * (REAL)((lane_integer)1 << LANES_MANTISSA); /* adding it rounds to integers */
    lanes shifted = x * (REAL)1.4426950408889634 + round;
    lanes k = shifted - round;
    lanes r = x - k * (REAL)LANES_LN2_HIGH - k * (REAL)LANES_LN2_LOW;
    lanes p = lanes_of((REAL)(1.0 / 87178291200.0));
    p = p * r + (REAL)(1.0 / 6227020800.0);
    p = p * r + (REAL)(1.0 / 479001600.0);
    p = p * r + (REAL)(1.0 / 39916800.0);
    p = p * r + (REAL)(1.0 / 3628800.0);
    p = p * r + (REAL)(1.0 / 362880.0);
    p = p * r + (REAL)(1.0 / 40320.0);
    p = p * r + (REAL)(1.0 / 5040.0);
    p = p * r + (REAL)(1.0 / 720.0);
    p = p * r + (REAL)(1.0 / 120.0);
    p = p * r + (REAL)(1.0 / 24.0);
    p = p * r + (REAL)(1.0 / 6.0);
    p = p * r + (REAL)0.5;
    p = p * r * r + r;
    lane_mask exponent = (lane_mask)shifted - (lane_mask)lanes_of(round);
    lanes power = (lanes)((exponent + LANES_BIAS) << LANES_MANTISSA);
    return power * p + (power - 1);
}

INLINE lanes lanes_sqrt(lanes x)
{
    for (int l = 0; l < LANES; l++)
        x[l] = (REAL)sqrt((double)x[l]);
    return x;
}

/* log(x) to the last bits for ordinary x > 0: x = 2^k m with m in .7..1.4, and log m = 2 atanh((m - 1)/(m + 1)). */
INLINE lanes lanes_log(lanes x)
{
    const REAL round = (REAL)1.5 * (REAL)((lane_integer)1 << LANES_MANTISSA);
    lane_mask bits = (lane_mask)x, one = (lane_mask)lanes_of((REAL)1);
    lane_mask exponent = (bits >> LANES_MANTISSA) - LANES_BIAS;
    lanes m = (lanes)((bits & (((lane_integer)1 << LANES_MANTISSA) - 1)) | one);
    lane_mask upper = m > (REAL)1.4142135623730951;
    m = lanes_select(upper, (REAL)0.5 * m, m);
    exponent -= upper; /* true is -1 */
    lanes k = (lanes)((lane_mask)lanes_of(round) + exponent) - round;
    lanes s = (m - 1) / (m + 1), z = s * s;
    lanes p = lanes_of((REAL)(2.0 / 21));
    for (int n = 19; n > 1; n -= 2)
        p = p * z + (REAL)(2.0 / n);
    return k * (REAL)LANES_LN2_HIGH + (k * (REAL)LANES_LN2_LOW + s * (p * z + 2));
}

INLINE lanes lanes_asinh(lanes x /* >= 0, to the last bits of 1 + x */)
{
    return lanes_log(x + lanes_sqrt(x * x + 1));
}

#endif
