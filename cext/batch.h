/* From rows of a batch to lanes and back. */
#ifndef SPICESIM_BATCH_H
#define SPICESIM_BATCH_H

#include "array_solver.h"

typedef struct {
    int64_t count;
    const REAL *v;               /* IN (batch, rows) [V] */
    const int64_t *driver_index; /* IN (batch, rows), or NULL */
    REAL *currents;              /* OUT (batch, columns) [A] */
    REAL *row_currents;          /* OUT (batch, rows) [A] */
    REAL *residual;              /* OUT (batch,) [A] */
    REAL *extents;               /* OUT (batch, 4): least and greatest V, then u [V] */
    int64_t *steps;              /* OUT (batch,) */
    int64_t *worst;              /* OUT (batch,): cell of the worst residual where not converged, else -1 */
    REAL *cell_voltages;         /* OUT (batch, rows, columns) [V], or NULL */
    REAL *bit_line_voltages;     /* OUT the same */
} batch_arrays;

/* Bit-line voltages of one lane, walking as find_residual does. */
static void store_bit_lines(const array_model *m, const workspace *w, int l, REAL *u /* OUT (rows, columns) */)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    for (int j = 0; j < columns; j++) {
        REAL carried = w->total[j][l], slope, rise = 0;
        if (m->senses.values)
            port_evaluate(&m->senses, m->sense_index[j], carried, &rise, &slope);
        rise += m->wires.r_sense[j] * carried;
        for (int64_t k = (int64_t)(rows - 1) * columns + j; k >= 0; k -= columns) {
            rise += m->wires.r_bit[k] * carried;
            carried -= w->current[k][l];
            u[k] = rise;
        }
    }
}

static int64_t find_worst_cell(const array_model *m, const workspace *w, int l)
{
    int64_t worst = 0;
    REAL greatest = -1;
    for (int64_t k = 0; k < (int64_t)m->wires.rows * m->wires.columns; k++) {
        REAL error = w->d[k][l] * fabs(w->f[k][l]);
        if (!(error <= greatest)) { /* a NaN is worse than all */
            worst = k;
            greatest = error;
        }
    }
    return worst;
}

/* Solve the vectors group * LANES and following; the last group repeats its last vector. */
static void solve_batch_group(const array_model *m, workspace *w, const batch_arrays *b, int64_t group)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    const int64_t cells = (int64_t)rows * columns, first = group * LANES;
    const int filled = b->count - first < LANES ? (int)(b->count - first) : LANES;
    int steps[LANES];
    for (int l = 0; l < LANES; l++) {
        const int64_t item = first + (l < filled ? l : filled - 1);
        for (int i = 0; i < rows; i++) {
            w->input[i][l] = b->v[item * rows + i];
            w->driver_index[i * LANES + l] = b->driver_index ? b->driver_index[item * rows + i] : 0;
        }
    }
    const state end = solve_group(m, w, steps);
    for (int l = 0; l < filled; l++) {
        const int64_t item = first + l;
        for (int j = 0; j < columns; j++)
            b->currents[item * columns + j] = w->total[j][l];
        for (int i = 0; i < rows; i++)
            b->row_currents[item * rows + i] = w->delivered[i][l];
        b->residual[item] = end.residual[l];
        b->extents[item * 4] = end.v_min[l];
        b->extents[item * 4 + 1] = end.v_max[l];
        b->extents[item * 4 + 2] = end.u_min[l];
        b->extents[item * 4 + 3] = end.u_max[l];
        b->steps[item] = steps[l];
        b->worst[item] = end.residual[l] <= m->tolerance * end.scale[l] ? -1 : find_worst_cell(m, w, l);
        if (b->cell_voltages) {
            for (int64_t k = 0; k < cells; k++)
                b->cell_voltages[item * cells + k] = w->v[k][l];
            store_bit_lines(m, w, l, b->bit_line_voltages + item * cells);
        }
    }
}

#endif
