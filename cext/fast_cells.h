/* Cells of a row, one in each lane: what the making of a form evaluates at many voltages. */
#ifndef SPICESIM_FAST_CELLS_H
#define SPICESIM_FAST_CELLS_H

#include <stdint.h>
#include <string.h>

#include "lanes.h"

typedef struct {
    int rows, columns, v_terms, folds, u_terms, followed;
    double kappa;                         /* [1/V]; 0 for a polynomial */
    double v_low, v_high, u_low, u_high;  /* voltages are held between them [V] */
    const double *coefficients;           /* (rows, v_terms, u_terms, columns) */
    const double *slope, *bias_slope;     /* (rows, columns) of the linear part, in V and in u [S] */
    const double *origin, *v, *u;         /* (rows, columns) where it was taken: current [A], voltages [V] */
    const double *own_v, *own_u;          /* (rows, columns) voltages a volt at the own input */
    const double *r_word, *r_driver;      /* (rows, columns), (rows,) wires by which a row is followed [ohm] */
} fast_cells;

/* Cells of a row, one a lane, from a column on; beyond the last column the last one again. */
INLINE lanes fast_load(const double *row, int column, int columns)
{
    lanes x;
    if (columns - column >= LANES)
        memcpy(&x, row + column, sizeof(x));
    else
        for (int l = 0; l < LANES; l++)
            x[l] = row[column + l < columns ? column + l : columns - 1];
    return x;
}

INLINE void fast_store(double *row, int column, int columns, lanes x)
{
    if (columns - column >= LANES)
        memcpy(row + column, &x, sizeof(x));
    else
        for (int l = 0; column + l < columns; l++)
            row[column + l] = x[l];
}

/* The sum of k[a, b] v^(a - last) u^b over the rows from `first` down to `last`. */
INLINE lanes fast_rows(const double *k, int first, int last, int u_terms, int columns, int column, lanes v, lanes u)
{
    lanes value = {0};
    for (int a = first; a >= last; a--) {
        const double *row = k + (int64_t)a * u_terms * columns;
        lanes term = fast_load(row + (int64_t)(u_terms - 1) * columns, column, columns);
        for (int b = u_terms - 2; b >= 0; b--)
            term = term * u + fast_load(row + (int64_t)b * columns, column, columns);
        value = value * v + term;
    }
    return value;
}

/* See cell.h. */
INLINE lanes fast_current(const fast_cells *c, const double *k, int u_terms, int column, lanes v, lanes u)
{
    const int columns = c->columns;
    lanes value = {0};
    if (c->kappa > 0) {
        const lanes x = lanes_min(lanes_abs(v) * c->kappa, lanes_of(300)), e = lanes_expm1(x);
        const lanes i = fast_load(k, column, columns) * (0.5 / c->kappa) * (e + e / (e + 1));
        return lanes_select(v < 0, -i, i);
    }
    const int smooth = c->v_terms - c->folds;
    value = fast_rows(k, smooth - 1, 0, u_terms, columns, column, v, u);
    if (c->folds)
        value += lanes_abs(v) * fast_rows(k, c->v_terms - 1, smooth, u_terms, columns, column, v, u);
    return value * v;
}

CPU_CLONES
static void fast_cells_row(const fast_cells *c, int row, const double *v, const double *u, double *current)
{
    const int columns = c->columns;
    const double *k = c->coefficients + (int64_t)row * c->v_terms * c->u_terms * columns;
    for (int j = 0; j < columns; j += LANES)
        fast_store(current, j, columns, fast_current(c, k, c->u_terms, j, fast_load(v, j, columns), fast_load(u, j, columns)));
}

/* Currents beyond the linear part at own input x; each turn takes what the last found to drop along the word line. */
CPU_CLONES
static void fast_beyond_row(const fast_cells *c, int row, const double *v, const double *u, double x, int turns,
                            const float *start /* (rows, columns), or NULL */, double *memory /* 2 rows */, float *out)
{
    const int columns = c->columns;
    const int64_t base = (int64_t)row * columns;
    const double *k = c->coefficients + base * c->v_terms * c->u_terms;
    double *current = memory, *drop = memory + columns;
    for (int j = 0; j < columns; j++)
        current[j] = start ? start[base + j] : 0;
    for (int turn = 0; turn < turns; turn++) {
        if (c->followed && (turn || start)) {
            double sum = 0, lost = 0;
            for (int j = columns - 1; j >= 0; j--)
                drop[j] = sum += current[j];
            lost = c->r_driver[row] * sum;
            for (int j = 0; j < columns; j++)
                drop[j] = lost += c->r_word[base + j] * drop[j];
        } else
            memset(drop, 0, columns * sizeof(double));
        for (int j = 0; j < columns; j += LANES) {
            const lanes at_v = lanes_clip(fast_load(v, j, columns) + x * fast_load(c->own_v + base, j, columns) -
                                          fast_load(drop, j, columns), c->v_low, c->v_high);
            const lanes at_u = lanes_clip(fast_load(u, j, columns) + x * fast_load(c->own_u + base, j, columns),
                                          c->u_low, c->u_high);
            const lanes linear = fast_load(c->slope + base, j, columns) * (at_v - fast_load(c->v + base, j, columns)) +
                                 fast_load(c->bias_slope + base, j, columns) * (at_u - fast_load(c->u + base, j, columns));
            fast_store(current, j, columns,
                       fast_current(c, k, c->u_terms, j, at_v, at_u) - fast_load(c->origin + base, j, columns) - linear);
        }
    }
    for (int j = 0; j < columns; j++)
        out[j] = (float)current[j];
}

#endif
