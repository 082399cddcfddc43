/* The operating point of an array: Newton on V + L I(V) = v, each step by preconditioned conjugate gradients.
 *
 * V are the voltages across the cells, I(V) their currents, L what wires and ports make of currents (wires.h). With
 * D = dI/dV >= 0 a step solves (1 + L D) x = -F, which is symmetric in the inner product sum(a D b): no division by D,
 * so open cells are legal. Of L the port of each column, where a saturated amplifier has tens of kilo-ohm, is
 * inverted exactly (Sherman-Morrison); the rest has a small spectrum. That I also depends a little on the bit-line
 * voltage u is left out of D but not out of F: it costs iterations, not accuracy.
 *
 * All lanes walk together; one that has arrived stands still, so a result does not depend on its neighbours.
 */
#ifndef SPICESIM_ARRAY_SOLVER_H
#define SPICESIM_ARRAY_SOLVER_H

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "port.h"
#include "wires.h"

enum { CG_LIMIT = 400, CG_TOTAL = 4000, HALVINGS_LIMIT = 30 };

typedef struct {
    wire_model wires;
    cell_model cell;
    port_tables drivers, senses;
    const int64_t *sense_index; /* (columns,) */
    REAL tolerance;             /* worst residual, as a fraction of largest slope x largest voltage */
    int newton_limit;
} array_model;

typedef struct {
    lanes *v, *u;             /* unknowns: across the cells, at the bit-line nodes */
    lanes *current;           /* of the cells, I(V, u) */
    packed *d;                /* slopes of the cells */
    packed *f, *f_u;          /* residuals [V] of v and u; f is the residual of the linear solve, too */
    packed *x, *q;            /* step of v and search direction; after the solve q is the step of u */
    packed *image;            /* (1 + L D) q; lies where the currents do, which a solve does not need */
    lanes *carried, *rise;    /* (columns,) walking along the bit lines */
    lanes *total, *slope_out; /* (columns,) column currents and port slopes */
    lanes *capacity, *sum;    /* (columns,) preconditioner and sums over a column */
    lanes *row, *segment;     /* (columns,) scratch of one word line */
    lanes *drop;              /* (columns,) */
    lanes *input, *delivered; /* (rows,) source voltages, driver currents */
    lanes *slope_in;          /* (rows,) */
    lanes *gate;              /* (rows,) 1 or, where the cells of a row are switched off, 0; used if is_gated */
    int64_t *driver_index;    /* (rows, LANES) */
    int is_gated;
    void *memory;
} workspace;

typedef struct {
    lanes residual, scale; /* worst [A]; largest slope x largest voltage [A] */
    lanes merit;           /* sum of D F^2 [W] */
    lanes v_min, v_max, u_min, u_max;
} state;

static int workspace_allocate(workspace *w, int rows, int columns, int biased)
{
    const size_t cells = (size_t)rows * columns;
    lanes **wide[] = {&w->v, &w->current, &w->u};
    packed **narrow[] = {&w->d, &w->f, &w->x, &w->q, &w->f_u};
    lanes **lines[] = {&w->carried, &w->rise, &w->total, &w->slope_out, &w->capacity,
                       &w->sum,     &w->row,  &w->segment, &w->drop};
    lanes **ends[] = {&w->input, &w->delivered, &w->slope_in, &w->gate};
    const size_t wides = biased ? 3 : 2, narrows = biased ? 5 : 4;
    size_t size = (wides * cells + 9 * (size_t)columns + 4 * (size_t)rows) * sizeof(lanes);
    size += narrows * cells * sizeof(packed) + (size_t)rows * LANES * sizeof(int64_t);
    size = (size + sizeof(lanes) - 1) / sizeof(lanes) * sizeof(lanes);
    w->memory = aligned_alloc(sizeof(lanes), size);
    if (!w->memory)
        return 0;
    memset(w->memory, 0, size);
    lanes *next = w->memory;
    w->u = NULL;
    w->f_u = NULL;
    for (size_t k = 0; k < wides; k++, next += cells)
        *wide[k] = next;
    for (size_t k = 0; k < 9; k++, next += columns)
        *lines[k] = next;
    for (size_t k = 0; k < 4; k++, next += rows)
        *ends[k] = next;
    w->driver_index = (int64_t *)next;
    packed *more = (packed *)(w->driver_index + (size_t)rows * LANES);
    for (size_t k = 0; k < narrows; k++, more += cells)
        *narrow[k] = more;
    w->image = (packed *)w->current;
    return 1;
}

/* Move v and u by `step` times the last direction, and evaluate the cells. */
INLINE void evaluate_cells(const array_model *m, workspace *w, lanes step)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    memset(w->total, 0, columns * sizeof(lanes));
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            int64_t k = (int64_t)i * columns + j;
            lanes slope, v = w->v[k] += step * unpack(w->x[k]);
            lanes u = w->u ? (w->u[k] += step * unpack(w->q[k])) : (lanes){0};
            cell_evaluate(&m->cell, k, v, u, &w->current[k], &slope);
            if (w->is_gated) {
                w->current[k] *= w->gate[i];
                slope *= w->gate[i];
            }
            w->d[k] = pack_bounded(lanes_max(slope, (lanes){0}));
            w->total[j] += w->current[k];
        }
}

/* The sum of the drop in a port's table and its resistance, lane by lane. */
INLINE lanes port_voltage(const port_tables *port, const int64_t *table, int stride, REAL r, lanes current,
                          lanes *slope)
{
    lanes voltage = r * current;
    *slope = lanes_of(r);
    if (port->values)
        for (int l = 0; l < LANES; l++) {
            REAL t, dt;
            port_evaluate(port, table[l * stride], current[l], &t, &dt);
            voltage[l] += t;
            (*slope)[l] += dt > 0 ? dt : 0;
        }
    return voltage;
}

/* Residuals of the present v and u, with the slopes of the ports. */
INLINE state find_residual(const array_model *m, workspace *w)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    lanes top = {0}, worst = {0}, slope = {0}, merit = {0};
    lanes v_min = lanes_of(INFINITY), v_max = -v_min, u_min = v_min, u_max = v_max;
    for (int j = 0; j < columns; j++) {
        w->carried[j] = w->total[j];
        w->rise[j] = port_voltage(&m->senses, m->sense_index + j, 0, m->wires.r_sense[j], w->total[j],
                                  &w->slope_out[j]);
    }
    for (int i = rows - 1; i >= 0; i--) {
        const int64_t base = (int64_t)i * columns;
        lanes in = word_line_currents(columns, w->current + base, w->segment);
        lanes head = port_voltage(&m->drivers, w->driver_index + (int64_t)i * LANES, 1, m->wires.r_driver[i], in,
                                  &w->slope_in[i]);
        w->delivered[i] = in;
        top = lanes_max(top, lanes_abs(w->input[i]));
        drop_of_row(&m->wires, i, w->current + base, w->segment, head - w->input[i], w->carried, w->rise, w->drop);
        for (int j = 0; j < columns; j++) {
            lanes v = w->v[base + j], d = unpack(w->d[base + j]);
            lanes f = v + w->drop[j];
            lanes error = lanes_abs(f);
            if (w->u) {
                lanes f_u = w->rise[j] - w->u[base + j];
                w->f_u[base + j] = pack_bounded(f_u);
                error += lanes_abs(f_u);
            }
            w->f[base + j] = pack_bounded(-f);
            worst = lanes_max(worst, d * error);
            merit += d * error * error;
            slope = lanes_max(slope, d);
            v_min = lanes_min(v_min, v);
            v_max = lanes_max(v_max, v);
            u_min = lanes_min(u_min, w->rise[j]);
            u_max = lanes_max(u_max, w->rise[j]);
        }
    }
    top = lanes_max(top, lanes_max(u_max, -u_min));
    worst += 0 * merit; /* maxima lose a NaN, sums do not */
    return (state){worst, slope * top, merit, v_min, v_max, u_min, u_max};
}

/* Sums for the preconditioner: r^T M^-1 r, with the column sums of D r kept. */
INLINE lanes preconditioned_norm(const array_model *m, const workspace *w, lanes squares)
{
    for (int j = 0; j < m->wires.columns; j++)
        squares -= w->capacity[j] * w->sum[j] * w->sum[j];
    return lanes_max(squares, (lanes){0});
}

/* Solve (1 + L D) x = f for the lanes in `active`, to a residual of `reduction` times the first; f is overwritten.
 * Returns the iterations. */
INLINE int solve_step(const array_model *m, workspace *w, lane_mask active, lanes reduction)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    const size_t cells = (size_t)rows * columns;
    const lanes zero = {0};
    memset(w->x, 0, cells * sizeof(packed));
    memset(w->q, 0, cells * sizeof(packed));
    memset(w->sum, 0, columns * sizeof(lanes));
    memset(w->capacity, 0, columns * sizeof(lanes));
    lanes squares = zero;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            size_t k = (size_t)i * columns + j;
            lanes d = unpack(w->d[k]), r = lanes_select(active, unpack(w->f[k]), zero);
            lanes dr = d * r;
            w->f[k] = pack(r);
            w->capacity[j] += d;
            w->sum[j] += dr;
            squares += dr * r;
        }
    for (int j = 0; j < columns; j++)
        w->capacity[j] = w->slope_out[j] / (1 + w->slope_out[j] * w->capacity[j]);
    lanes gamma = preconditioned_norm(m, w, squares), target = gamma * reduction * reduction, beta = zero;
    active &= gamma > 0;
    int iteration = 0;
    for (; iteration < CG_LIMIT && lanes_any(active); iteration++) {
        /* q = M^-1 r + beta q */
        for (int j = 0; j < columns; j++) {
            w->sum[j] *= w->capacity[j];
            w->carried[j] = zero;
        }
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                size_t k = (size_t)i * columns + j;
                packed q = pack(unpack(w->f[k]) - w->sum[j] + beta * unpack(w->q[k]));
                w->q[k] = q;
                w->carried[j] += unpack(w->d[k]) * unpack(q);
            }
        /* s = (1 + L D) q */
        lanes curvature = zero;
        for (int j = 0; j < columns; j++)
            w->rise[j] = w->slope_out[j] * w->carried[j];
        for (int i = rows - 1; i >= 0; i--) {
            const size_t base = (size_t)i * columns;
            for (int j = 0; j < columns; j++)
                w->row[j] = unpack(w->d[base + j]) * unpack(w->q[base + j]);
            lanes in = word_line_currents(columns, w->row, w->segment);
            drop_of_row(&m->wires, i, w->row, w->segment, w->slope_in[i] * in, w->carried, w->rise, w->drop);
            for (int j = 0; j < columns; j++) {
                lanes s = unpack(w->q[base + j]) + w->drop[j];
                w->image[base + j] = pack(s);
                curvature += w->row[j] * s;
            }
        }
        lanes alpha = lanes_select(active & (curvature > 0), gamma / curvature, zero);
        /* x += alpha q, r -= alpha s */
        squares = zero;
        memset(w->sum, 0, columns * sizeof(lanes));
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                size_t k = (size_t)i * columns + j;
                w->x[k] = pack(unpack(w->x[k]) + alpha * unpack(w->q[k]));
                lanes r = unpack(w->f[k]) - alpha * unpack(w->image[k]);
                lanes dr = unpack(w->d[k]) * r;
                w->f[k] = pack(r);
                w->sum[j] += dr;
                squares += dr * r;
            }
        lanes next = preconditioned_norm(m, w, squares);
        beta = lanes_select(active & (gamma > 0), next / gamma, zero);
        gamma = next;
        active &= gamma > target;
    }
    return iteration;
}

/* The step of u that belongs to the step x of v, into q. */
INLINE void find_bias_step(const array_model *m, workspace *w)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    memset(w->carried, 0, columns * sizeof(lanes));
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            w->carried[j] += unpack(w->d[(size_t)i * columns + j]) * unpack(w->x[(size_t)i * columns + j]);
    for (int j = 0; j < columns; j++)
        w->rise[j] = w->slope_out[j] * w->carried[j];
    for (int i = rows - 1; i >= 0; i--)
        for (int j = 0; j < columns; j++) {
            size_t k = (size_t)i * columns + j;
            w->rise[j] += m->wires.r_bit[k] * w->carried[j];
            w->carried[j] -= unpack(w->d[k]) * unpack(w->x[k]);
            w->q[k] = pack(unpack(w->f_u[k]) + w->rise[j]);
        }
}

/* Solve one group of LANES vectors from w->input; returns the state, and each lane's number of Newton steps. */
CPU_CLONES
static state solve_group(const array_model *m, workspace *w, int *steps /* (LANES,) OUT */)
{
    const int rows = m->wires.rows, columns = m->wires.columns;
    const size_t cells = (size_t)rows * columns;
    const lanes zero = {0}, one = lanes_of(1);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            w->v[(size_t)i * columns + j] = w->input[i];
    memset(w->x, 0, cells * sizeof(packed));
    if (w->u) {
        memset(w->u, 0, cells * sizeof(lanes));
        memset(w->q, 0, cells * sizeof(packed));
    }
    for (int l = 0; l < LANES; l++)
        steps[l] = 0;
    evaluate_cells(m, w, zero);
    state now = find_residual(m, w);
    lanes before = now.merit; /* the greater of the last two merits: a step may overshoot once */
    lane_mask active = ~(now.residual <= m->tolerance * now.scale);
    int spent = 0; /* conjugate gradients in all: what is beyond their limit does not arrive in any time */
    for (int iteration = 0; iteration < m->newton_limit && spent < CG_TOTAL && lanes_any(active); iteration++) {
        lanes fraction = now.residual / now.scale;
        /* no finer than Newton's own error after this step, nor than the tolerance, nor than packed numbers */
        lanes reduction = lanes_clip(fraction, (REAL)1e-5, (REAL)0.01);
        reduction = lanes_max(reduction, lanes_min((REAL)0.1 * m->tolerance / fraction, lanes_of((REAL)0.1)));
        spent += solve_step(m, w, active, reduction);
        if (w->u)
            find_bias_step(m, w);
        lanes length = lanes_select(active, one, zero), change = length, merit = now.merit;
        lanes bound = lanes_max(before, merit);
        for (int halving = 0;; halving++) {
            evaluate_cells(m, w, change);
            now = find_residual(m, w);
            lane_mask refused = active & ~(now.merit <= bound);
            if (halving == HALVINGS_LIMIT || !lanes_any(refused))
                break;
            change = lanes_select(refused, (REAL)-0.5 * length, zero);
            length += change;
        }
        before = merit;
        for (int l = 0; l < LANES; l++)
            steps[l] += active[l] != 0;
        active &= ~(now.residual <= m->tolerance * now.scale);
    }
    return now;
}

#endif
