/* From rows of a batch to lanes and back. */
#ifndef SPICESIM_BATCH_H
#define SPICESIM_BATCH_H

#include "array_solver.h"

typedef struct {
    int64_t count;
    const REAL *v;               /* IN (batch, rows) [V] */
    const int64_t *driver_index; /* IN (batch, rows), or NULL */
    const REAL *mask;            /* IN (batch, rows) 0 or 1, or NULL */
    REAL *currents;              /* OUT (batch, columns) [A] */
    REAL *row_currents;          /* OUT (batch, rows) [A] */
    REAL *residual;              /* OUT (batch,) [A] */
    REAL *extents;               /* OUT (batch, 4): least and greatest V, then u [V] */
    int64_t *steps;              /* OUT (batch,) */
    int64_t *worst;              /* OUT (batch, 3): worst cell in residual, V and u; -1 where nothing is wrong */
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

static int64_t find_worst_residual(const array_model *m, const workspace *w, int l)
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

/* The cell farthest outside its limits, or -1. */
static int64_t find_outside(const array_model *m, const lanes *voltage, int l, REAL low, REAL high)
{
    int64_t worst = -1;
    REAL greatest = 0;
    for (int64_t k = 0; k < (int64_t)m->wires.rows * m->wires.columns; k++) {
        REAL beyond = fmax(low - voltage[k][l], voltage[k][l] - high);
        if (beyond > greatest) {
            worst = k;
            greatest = beyond;
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
    w->is_gated = b->mask != NULL;
    for (int l = 0; l < LANES; l++) {
        const int64_t item = first + (l < filled ? l : filled - 1);
        for (int i = 0; i < rows; i++) {
            w->input[i][l] = b->v[item * rows + i];
            w->gate[i][l] = b->mask ? b->mask[item * rows + i] : 1;
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
        int64_t *worst = b->worst + item * 3;
        worst[0] = end.residual[l] <= m->tolerance * end.scale[l] ? -1 : find_worst_residual(m, w, l);
        worst[1] = worst[2] = -1;
        if (end.v_min[l] < m->cell.v_low || end.v_max[l] > m->cell.v_high)
            worst[1] = find_outside(m, w->v, l, m->cell.v_low, m->cell.v_high);
        if (w->u && (end.u_min[l] < m->cell.u_low || end.u_max[l] > m->cell.u_high))
            worst[2] = find_outside(m, w->u, l, m->cell.u_low, m->cell.u_high);
        if (b->cell_voltages) {
            for (int64_t k = 0; k < cells; k++)
                b->cell_voltages[item * cells + k] = w->v[k][l];
            store_bit_lines(m, w, l, b->bit_line_voltages + item * cells);
        }
    }
}

#endif
