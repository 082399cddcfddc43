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

enum { BLOCK = 64 }; /* columns at a time: their numbers stay in the first cache */

/* Voltages z of open feet, in halves of the range: Newton on z = sum_m t_m z^m, from t_0, what linear cells make of the
 * line among it. The sums of one vector are (terms + rank + tilts rank, columns): t_m; features; what each feature adds to
 * the first t_m, tilts of them a feature. */
CPU_CLONES
static void fast_feet_row(int columns, int rank, int terms, int tilts, int steps, const float *sums, const float *middle,
                          float half, double *out)
{
    float t[16][BLOCK], z[BLOCK], value[BLOCK], slope[BLOCK];
    for (int first = 0; first < columns; first += BLOCK) {
        const int size = columns - first < BLOCK ? columns - first : BLOCK;
        const float *term = sums + first, *features = term + (int64_t)terms * columns,
                    *tilt = features + (int64_t)rank * columns;
        for (int m = 0; m < terms; m++)
            for (int j = 0; j < size; j++)
                t[m][j] = term[(int64_t)m * columns + j];
        for (int r = 0; r < rank; r++)
            for (int m = 0; m < tilts; m++)
                for (int j = 0; j < size; j++)
                    t[m][j] += features[(int64_t)r * columns + j] * tilt[((int64_t)r * tilts + m) * columns + j];
        for (int j = 0; j < size; j++)
            z[j] = t[0][j];
        for (int step = 0; step < steps; step++) {
            for (int j = 0; j < size; j++) {
                value[j] = t[terms - 1][j];
                slope[j] = 0;
            }
            for (int m = terms - 2; m >= 0; m--)
                for (int j = 0; j < size; j++) {
                    slope[j] = slope[j] * z[j] + value[j];
                    value[j] = value[j] * z[j] + t[m][j];
                }
            for (int j = 0; j < size; j++)
                z[j] -= (z[j] - value[j]) / (1 - slope[j]);
        }
        for (int j = 0; j < size; j++)
            out[first + j] = middle[first + j] + half * z[j];
    }
}

/* Two capacitors at the foot of each line that add planes as charge; see spicesim/behavioural/plane_sums.py. */
typedef struct {
    int planes, columns, orders;          /* of the law */
    double mine, v_line, v_sum;           /* v_line, v_sum: units of the polynomials [V] */
    const double *left, *alone;           /* (columns,) */
    const double *law;                    /* (orders, columns) [V] */
    const double *joins;                  /* (JOINS, JOINS, columns) [V] */
    const double *stored, *before;        /* (columns,) [V] */
} plane_adders;

enum { JOINS = 4 };

/* One of the JOINS polynomials of the sum before, written out: loops in loops over columns are not vectorised. */
INLINE double fast_join(const double *join, int64_t columns, int m, double y)
{
    const double *c = join + m * JOINS * columns;
    return ((c[3 * columns] * y + c[2 * columns]) * y + c[columns]) * y + c[0];
}

/* Sums of one vector, whose feet are `stride` apart from plane to plane; largest: of lines, and of both capacitors. */
CPU_CLONES
static void fast_planes_row(const plane_adders *a, const double *feet, int64_t stride, double *out, double *largest)
{
    double stored[BLOCK], before[BLOCK], line[BLOCK], added[BLOCK], lines[BLOCK], sums[BLOCK];
    const int columns = a->columns;
    const double per_line = 1 / a->v_line, per_sum = 1 / a->v_sum;
    for (int first = 0; first < columns; first += BLOCK) {
        const int size = columns - first < BLOCK ? columns - first : BLOCK;
        const double *left = a->left + first, *alone = a->alone + first, *join = a->joins + first;
        for (int j = 0; j < size; j++) {
            stored[j] = a->stored[first + j];
            before[j] = a->before[first + j];
            lines[j] = 0;
            sums[j] = fabs(stored[j]);
        }
        for (int p = 0; p < a->planes; p++) {
            const double *foot = feet + p * stride + first;
            for (int j = 0; j < size; j++) {
                line[j] = foot[j] + left[j] * (before[j] - foot[j]);
                added[j] = 0;
            }
            for (int m = a->orders - 1; m >= 0; m--)
                for (int j = 0; j < size; j++)
                    added[j] = added[j] * (line[j] * per_line) + a->law[(int64_t)m * columns + first + j];
            for (int j = 0; j < size; j++) {
                const double held = line[j] + added[j], x = held * per_sum, y = stored[j] * per_sum;
                const double sum =
                    ((fast_join(join + j, columns, 3, y) * x + fast_join(join + j, columns, 2, y)) * x +
                     fast_join(join + j, columns, 1, y)) * x + fast_join(join + j, columns, 0, y);
                stored[j] = sum;
                /* the charge of the gates was shared by line and capacitor as it came, and both give it back */
                const double parted = foot[j] + alone[j] * (held - foot[j]);
                before[j] = parted + a->mine * (sum - parted) - added[j];
                lines[j] = fabs(line[j]) > lines[j] ? fabs(line[j]) : lines[j];
                sums[j] = fabs(held) > sums[j] ? fabs(held) : sums[j];
                sums[j] = fabs(sum) > sums[j] ? fabs(sum) : sums[j];
            }
        }
        for (int j = 0; j < size; j++) {
            out[first + j] = stored[j];
            largest[0] = lines[j] > largest[0] ? lines[j] : largest[0];
            largest[1] = sums[j] > largest[1] ? sums[j] : largest[1];
        }
    }
}

CPU_CLONES
static void fast_store_doubles(int64_t count, const float *total, double *out)
{
    for (int64_t k = 0; k < count; k++)
        out[k] = total[k];
}

#endif
