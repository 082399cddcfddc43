/* What a group of lanes needs to march: its lines and fields in one piece of memory, and the product with a matrix. */
#ifndef SPICESIM_MARCH_WORKSPACE_H
#define SPICESIM_MARCH_WORKSPACE_H

#include "lanes.h"
#include "march_model.h"

typedef struct {
    lanes *word;            /* (rows, columns) */
    lanes *bit;             /* (rows, columns), or NULL */
    lanes *u, *carried;    /* (columns,) bit-line nodes of the row; bit-line currents below it */
    lanes *top, *error;    /* (columns,) unknown; what does not fit at the feet */
    lanes *change;         /* (columns,) of the unknown */
    lanes *norton, *offset; /* (columns,) of one row: current to the right of a node for 0 V; current of a cell at 0 V */
    lanes *delivered, *input; /* (rows,) */
    lanes *before, *droop;    /* (rows,) delivered currents of the last step; slope of the droop beyond its chord */
    lanes *gate;              /* (rows,) 1, or 0 where cells are off; NULL if all are on */
    int64_t *driver_index;    /* (rows, LANES) */
    lanes *base, *trial, *port_misfit, *port_slope, *port_step, *root, *scale; /* (columns,) see march_ports.h */
    lanes *residue, *solution, *direction, *image;
    lanes *settled;           /* (rows,) what the last change of the unknowns adds to the delivered currents */
    const march_linear_arrays *linear; /* where linear cells leave their voltages, or NULL */
    int64_t first;                     /* vector in the first lane */
} march_workspace;

static int64_t march_memory(const march_model *m)
{
    const int64_t cells = (int64_t)m->rows * m->columns, fields = m->fields ? 2 : 1;
    return (fields * cells + 18 * (int64_t)m->columns + 6 * (int64_t)m->rows) * (int64_t)sizeof(lanes) +
           (int64_t)m->rows * LANES * (int64_t)sizeof(int64_t);
}

static march_workspace march_workspace_in(void *memory, const march_model *m)
{
    march_workspace w;
    lanes *next = memory;
    lanes **lines[] = {&w.u, &w.carried, &w.top, &w.error, &w.change, &w.norton, &w.offset,
                      &w.base, &w.trial, &w.port_misfit, &w.port_slope, &w.port_step, &w.root, &w.scale,
                      &w.residue, &w.solution, &w.direction, &w.image};
    for (size_t k = 0; k < sizeof(lines) / sizeof(*lines); k++, next += m->columns)
        *lines[k] = next;
    w.delivered = next;
    w.input = next + m->rows;
    w.settled = next + 2 * m->rows;
    w.before = next + 3 * m->rows;
    w.droop = next + 4 * m->rows;
    w.gate = m->gated ? next + 5 * m->rows : NULL;
    w.word = next + 6 * m->rows;
    w.bit = NULL;
    w.linear = NULL;
    w.first = 0;
    w.driver_index = (int64_t *)(w.word + (m->fields ? 2 : 1) * (int64_t)m->rows * m->columns);
    return w;
}

/* Product of a vector of lanes with a matrix: y[k] = sum_j x[j] a[j][k]. */
INLINE void march_product(int inner, int outer, const REAL *a, const lanes *x /* IN */, lanes *y /* OUT */)
{
    int k = 0;
    for (; k + 8 <= outer; k += 8) {
        lanes sum[8] = {{0}};
        for (int j = 0; j < inner; j++)
            for (int p = 0; p < 8; p++)
                sum[p] += a[(int64_t)j * outer + k + p] * x[j];
        for (int p = 0; p < 8; p++)
            y[k + p] = sum[p];
    }
    for (; k < outer; k++) {
        lanes sum = {0};
        for (int j = 0; j < inner; j++)
            sum += a[(int64_t)j * outer + k] * x[j];
        y[k] = sum;
    }
}

#endif
