/* Element-wise passes of the fast tier around its matrix products. */
#ifndef SPICESIM_FAST_H
#define SPICESIM_FAST_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "lanes.h"

/* x = (v - centre) / half and its powers, (count, order, rows); returns the largest |x|, or NaN if one is there. */
#define FAST_POWERS(NAME, TYPE, BLOCK)                                                                  \
    CPU_CLONES                                                                                          \
    static double NAME(int count, int rows, int order, const TYPE *v, double centre, double half, float *x)\
    {                                                                                                   \
        const double scale = 1 / half;                                                                  \
        lanes largest = {0}, bad = {0}; /* maxima lose a NaN, sums do not */                            \
        for (int k = 0; k < count; k++) {                                                               \
            float *out = x + (int64_t)k * order * rows;                                                 \
            const TYPE *in = v + (int64_t)k * rows;                                                     \
            for (int first = 0; first < rows; first += LANES) {                                         \
                const int size = rows - first < LANES ? rows - first : LANES;                           \
                BLOCK block;                                                                            \
                lanes value;                                                                            \
                packed narrow;                                                                          \
                if (size == LANES)                                                                      \
                    memcpy(&block, in + first, sizeof(block));                                          \
                else                                                                                    \
                    for (int l = 0; l < LANES; l++)                                                     \
                        block[l] = in[first + (l < size ? l : 0)];                                      \
                value = (__builtin_convertvector(block, lanes) - centre) * scale;                       \
                largest = lanes_max(lanes_abs(value), largest);                                         \
                bad += 0 * value;                                                                       \
                narrow = pack(value);                                                                   \
                if (size == LANES)                                                                      \
                    memcpy(out + first, &narrow, sizeof(narrow));                                       \
                else                                                                                    \
                    for (int l = 0; l < size; l++)                                                      \
                        out[first + l] = narrow[l];                                                     \
            }                                                                                           \
            for (int p = 1; p < order; p++)                                                             \
                for (int i = 0; i < rows; i++)                                                          \
                    out[p * rows + i] = out[(p - 1) * rows + i] * out[i];                               \
        }                                                                                               \
        for (int l = 0; l < LANES; l++) {                                                               \
            largest[0] = largest[l] > largest[0] ? largest[l] : largest[0];                             \
            bad[0] += l ? bad[l] : 0;                                                                   \
        }                                                                                               \
        return largest[0] + bad[0];                                                                     \
    }

FAST_POWERS(fast_powers_of_doubles, double, lanes)
FAST_POWERS(fast_powers_of_floats, float, packed)

/* total += (constant + product) * q_0^e_0 * q_1^e_1 ..; product may be NULL. */
CPU_CLONES
static void fast_add(int count, int columns, int rank, const int32_t *exponents, const float *constant,
                     const float *product, const float *q /* (count, rank, columns) */, float *total)
{
    float factor[256];
    for (int k = 0; k < count; k++)
        for (int first = 0; first < columns; first += 256) {
            const int size = columns - first < 256 ? columns - first : 256;
            const int64_t base = (int64_t)k * columns + first;
            for (int j = 0; j < size; j++)
                factor[j] = constant[first + j];
            if (product)
                for (int j = 0; j < size; j++)
                    factor[j] += product[base + j];
            for (int r = 0; r < rank; r++)
                for (int e = 0; e < exponents[r]; e++)
                    for (int j = 0; j < size; j++)
                        factor[j] *= q[((int64_t)k * rank + r) * columns + first + j];
            for (int j = 0; j < size; j++)
                total[base + j] += factor[j];
        }
}

/* total += constant, a row. */
CPU_CLONES
static void fast_add_row(int count, int columns, const float *constant, float *total)
{
    for (int k = 0; k < count; k++)
        for (int j = 0; j < columns; j++)
            total[(int64_t)k * columns + j] += constant[j];
}

enum { FEET = 64 }; /* columns at a time: their numbers stay in registers and the first cache */

/* Voltages z of open feet, in halves of the range: Newton on z = linear + sum_m t_m z^m, from the linear one. The sums of
 * one vector are (1 + rank + terms + tilts rank, columns): linear; features; t_m; what each feature adds to the first
 * t_m, tilts of them a feature. */
CPU_CLONES
static void fast_feet_row(int columns, int rank, int terms, int tilts, int steps, const float *sums, const float *middle,
                          float half, float *out)
{
    const float *linear = sums, *features = linear + columns, *term = features + (int64_t)rank * columns,
                *tilt = term + (int64_t)terms * columns;
    float t[16][FEET], z[FEET];
    for (int first = 0; first < columns; first += FEET) {
        const int size = columns - first < FEET ? columns - first : FEET;
        for (int m = 0; m < terms; m++)
            for (int j = 0; j < size; j++)
                t[m][j] = term[(int64_t)m * columns + first + j];
        for (int r = 0; r < rank; r++)
            for (int m = 0; m < tilts; m++)
                for (int j = 0; j < size; j++)
                    t[m][j] += features[(int64_t)r * columns + first + j]
                               * tilt[((int64_t)r * tilts + m) * columns + first + j];
        for (int j = 0; j < size; j++)
            z[j] = linear[first + j];
        for (int step = 0; step < steps; step++)
            for (int j = 0; j < size; j++) {
                float value = t[terms - 1][j], slope = 0;
                for (int m = terms - 2; m >= 0; m--) {
                    slope = slope * z[j] + value;
                    value = value * z[j] + t[m][j];
                }
                z[j] -= (z[j] - linear[first + j] - value) / (1 - slope);
            }
        for (int j = 0; j < size; j++)
            out[first + j] = middle[first + j] + half * z[j];
    }
}

CPU_CLONES
static void fast_store_doubles(int64_t count, const float *total, double *out)
{
    for (int64_t k = 0; k < count; k++)
        out[k] = total[k];
}

#endif
