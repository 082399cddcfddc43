/* The operating point of an array by marching: chord Newton, whose linear system one sweep solves directly.
 *
 * Were the voltages at the tops of the bit lines known, one could march: at row i the bit-line nodes are known, the
 * word line is a ladder (two recursions along it), its currents add to those of the bit lines, and Ohm's law gives the
 * bit-line nodes of row i + 1. What comes out at the feet must fit the terminations, and be no current where a foot is
 * open: one equation a column, linear if the cells are. With the slopes D of the cells the same for all vectors, all matrices are shared and found once.
 *
 * So one Newton step is one pass over the cells, and one field, the word-line nodes, is all that is kept. Currents and
 * wires fit each other exactly after each step; what remains wrong is (dI/dV - D) times the step, so the error is
 * known without another pass. Marching lets rounding errors grow as cosh(N sqrt(g r)): the caller sees to that.
 *
 * Rows that are off by their gates carry nothing, each lane's own; as each row is solved when it is passed, that costs a
 * factor. The matrices of the unknowns are then those of rows half on: a step leaves some of the misfit, so what counts
 * is the misfit that a march finds, and there are more of them.
 *
 * A file that includes this sets REAL, LANES and the name MARCH_KERNEL of what it offers.
 */
#include <string.h>

#include "march_ports.h"

/* The sum of k[a, b] v^(a - last) u^b over the rows from `first` down to `last`. */
INLINE lanes march_rows(const REAL *k, int first, int last, int u_terms, lanes v, lanes u)
{
    lanes value = {0};
    for (int a = first; a >= last; a--) {
        const REAL *row = k + a * u_terms;
        if (u_terms == 1)
            value = value * v + row[0];
        else {
            lanes c = row[u_terms - 1] * u + row[u_terms - 2];
            for (int b = u_terms - 3; b >= 0; b--)
                c = c * u + row[b];
            value = value * v + c;
        }
    }
    return value;
}

/* See cell.h. */
INLINE lanes march_current(const REAL *k, int v_terms, int folds, int u_terms, lanes v, lanes u)
{
    lanes value = march_rows(k, v_terms - folds - 1, 0, u_terms, v, u);
    if (folds)
        value += lanes_abs(v) * march_rows(k, v_terms - 1, v_terms - folds, u_terms, v, u);
    return value * v;
}

typedef struct {
    lanes step, v_min, v_max, u_min, u_max;
} march_extent;

/* Leave a lane of each vector in a field whose last axis is the vectors. */
INLINE void march_leave(const march_linear_arrays *b, float *field, int64_t first, int64_t row, int64_t column, lanes x)
{
    const packed narrow = pack(x);
    float *place = field + row * b->row_stride + column * b->column_stride + first;
    if (b->count - first >= LANES)
        memcpy(place, &narrow, sizeof(narrow));
    else
        for (int l = 0; l < b->count - first; l++)
            place[l] = narrow[l];
}

/* March down once; u_terms = 0 means linear cells, of conductance m->slope, without a field. */
INLINE march_extent march_down(const march_model *m, march_workspace *w, int u_terms, lane_mask active)
{
    const int rows = m->rows, columns = m->columns, v_terms = m->v_terms;
    const REAL *coefficients = m->coefficients, *slope = m->slope, *share = m->share, *r_word = m->r_word;
    const REAL *r_bit = m->r_bit, *r_head = m->r_head, *head = m->head, *tail = m->tail;
    const REAL *top_u = m->top_u, *top_i = m->top_i;
    const int64_t stride = (int64_t)v_terms * u_terms;
    const int gated = w->gate != NULL;
    const lanes zero = {0}, infinite = lanes_of(INFINITY);
    march_extent e = {zero, infinite, -infinite, infinite, -infinite};
    for (int j = 0; j < columns; j++) {
        w->u[j] = top_u[j] * w->top[j];
        w->carried[j] = -top_i[j] * w->top[j];
    }
    for (int i = 0; i < rows; i++) {
        const int64_t base = (int64_t)i * columns;
        lanes *word = w->word + base;
        lanes source = w->input[i];
        const lanes gate = gated ? w->gate[i] : lanes_of(1);
        if (u_terms && m->driver_values) {
            const port_tables drivers = {m->driver_values, m->driver_slopes, m->driver_points, (REAL)m->driver_start,
                                         (REAL)m->driver_step};
            w->before[i] = w->delivered[i];
            source -= march_beyond(&drivers, 1, w->driver_index + (int64_t)i * LANES, (REAL)m->driver_chord,
                                   w->delivered[i], &w->droop[i]);
        }
        lanes sum = tail ? -tail[i] * source : zero;
        for (int j = columns - 1; j >= 0; j--) {
            lanes u = w->u[j], c;
            if (w->bit)
                w->bit[base + j] = u;
            if (u_terms) {
                lanes v = word[j] - u;
                c = march_current(coefficients + (base + j) * stride, v_terms, m->folds, u_terms, v, u) - slope[base + j] * word[j];
                e.v_min = lanes_min(e.v_min, v);
                e.v_max = lanes_max(e.v_max, v);
                e.u_min = lanes_min(e.u_min, u);
                e.u_max = lanes_max(e.u_max, u);
            } else
                c = -slope[base + j] * u;
            w->offset[j] = c;
            sum = (c + sum) * share[base + j];
            w->norton[j] = sum;
        }
        lanes in = (sum + head[i] * source) * (1 / (1 + r_head[i] * head[i]));
        lanes node = source - r_head[i] * in, given = zero;
        for (int j = 0; j < columns; j++) {
            node = share[base + j] * node - r_word[base + j] * w->norton[j];
            if (!u_terms && w->linear) {
                if (w->linear->across)
                    march_leave(w->linear, w->linear->across, w->first, i, j, node - w->u[j]);
                if (w->linear->bit)
                    march_leave(w->linear, w->linear->bit, w->first, i, j, w->u[j]);
            }
            lanes cell = w->offset[j] + slope[base + j] * node;
            if (gated)
                cell *= gate;
            w->carried[j] += cell;
            if (tail)
                given += cell;
            w->u[j] -= r_bit[base + j] * w->carried[j];
            if (u_terms) {
                lanes moved = lanes_abs(node - word[j]);
                if (gated)
                    moved *= gate;
                e.step = lanes_max(e.step, moved);
                word[j] = lanes_select(active, node, word[j]);
            }
        }
        if (gated)
            in *= gate;
        w->delivered[i] = tail ? given : in; /* the voltage of a short last segment has no digits for its current */
    }
    return e;
}

INLINE march_extent march_step(const march_model *m, march_workspace *w, lane_mask active)
{
    switch (m->u_terms) {
    case 1: return march_down(m, w, 1, active);
    case 2: return march_down(m, w, 2, active);
    case 3: return march_down(m, w, 3, active);
    case 4: return march_down(m, w, 4, active);
    case 5: return march_down(m, w, 5, active);
    case 6: return march_down(m, w, 6, active);
    default: return march_down(m, w, m->u_terms, active);
    }
}

static void march_load(const march_model *m, march_workspace *w, int64_t count, int64_t first, const double *v,
                       const int64_t *driver_index, const double *mask)
{
    for (int l = 0; l < LANES; l++) {
        const int64_t item = first + l < count ? first + l : count - 1;
        for (int i = 0; i < m->rows; i++) {
            w->input[i][l] = (REAL)v[item * m->rows + i];
            if (mask)
                w->gate[i][l] = (REAL)mask[item * m->rows + i];
            if (driver_index)
                w->driver_index[i * LANES + l] = driver_index[item * m->rows + i];
        }
    }
}

CPU_CLONES
static void march_solve(const march_model *m, const march_arrays *b, int64_t group, void *memory)
{
    march_workspace w = march_workspace_in(memory, m);
    const int rows = m->rows, columns = m->columns;
    const int64_t first = group * LANES, cells = (int64_t)rows * columns;
    const int filled = b->count - first < LANES ? (int)(b->count - first) : LANES;
    const REAL *r_sense = m->r_sense, *foot = m->foot, *top_i = m->top_i, *profile = m->profile;
    const lanes zero = {0};
    march_load(m, &w, b->count, first, b->v, b->driver_index, b->mask);
    lanes greatest = zero;
    for (int i = 0; i < rows; i++) {
        greatest = lanes_max(greatest, lanes_abs(w.input[i]));
        for (int j = 0; j < columns; j++)
            w.word[(int64_t)i * columns + j] = profile[(int64_t)i * columns + j] * w.input[i];
    }
    march_product(rows, columns, m->guess, w.input, w.top);
    if (m->driver_values)
        march_product(rows, rows, m->row_guess, w.input, w.delivered);
    lane_mask active = zero == zero;
    for (int step = 1; step <= m->step_limit && lanes_any(active); step++) {
        march_extent e = march_step(m, &w, active);
        for (int j = 0; j < columns; j++)
            w.error[j] = foot[j] * w.u[j] - r_sense[j] * w.carried[j];
        lanes unfit = zero; /* voltages that the terminations miss */
        if (w.gate)
            unfit = march_miss(m, &w);
        if (m->sense_values)
            unfit += march_fit_senses(m, &w, greatest * (REAL)(0.05 * m->tolerance / m->largest));
        march_product(columns, columns, m->correction, w.error, w.change);
        if (m->driver_values) {
            march_product(columns, rows, m->row_response, w.change, w.settled);
            lanes droop = zero;
            for (int i = 0; i < rows; i++) {
                w.delivered[i] += w.settled[i];
                droop = lanes_max(droop, lanes_abs(w.droop[i] * (w.delivered[i] - w.before[i])));
            }
            unfit += droop;
        }
        lanes moved = zero, check = zero;
        for (int j = 0; j < columns; j++) {
            moved = lanes_max(moved, lanes_abs(w.change[j]));
            check += w.change[j];
            w.top[j] = lanes_select(active, w.top[j] + w.change[j], w.top[j]);
        }
        moved *= (REAL)m->spread;
        lanes residual = (REAL)m->defect * (e.step + moved) + (REAL)m->defect_u * moved + (REAL)m->largest * unfit +
                         0 * check;
        lane_mask arrived = active & (residual <= (REAL)m->tolerance * greatest);
        active &= ~arrived;
        if (step == m->step_limit)
            arrived |= active;
        if (!lanes_any(arrived))
            continue;
        march_product(columns, columns, m->response, w.change, w.error);
        if (m->driver_values)
            memset(w.settled, 0, rows * sizeof(lanes));
        else
            march_product(columns, rows, m->row_response, w.change, w.settled);
        for (int l = 0; l < filled; l++) {
            if (!arrived[l])
                continue;
            const int64_t item = first + l;
            for (int j = 0; j < columns; j++) {
                b->currents[item * columns + j] = (double)((foot[j] ? w.carried[j][l] : w.u[j][l]) + w.error[j][l]);
                b->top_currents[item * columns + j] = (double)(top_i[j] * w.top[j][l]);
            }
            for (int i = 0; i < rows; i++)
                b->row_currents[item * rows + i] =
                    (double)(w.delivered[i][l] + (w.gate ? w.gate[i][l] : 1) * w.settled[i][l]);
            b->residual[item] = (double)residual[l];
            b->steps[item] = active[l] ? -step : step;
            const lanes ends[4] = {e.v_min, e.v_max, e.u_min, e.u_max};
            for (int k = 0; k < 4; k++)
                b->extents[item * 4 + k] = (double)ends[k][l];
        }
    }
    if (b->word) { /* the nodes of the last unknowns: one more march, row by row, whose currents nobody needs */
        const lane_mask all = zero == zero;
        w.bit = w.word + cells;
        march_step(m, &w, all);
        for (int l = 0; l < filled; l++)
            for (int64_t k = 0; k < cells; k++) {
                b->word[(first + l) * cells + k] = (double)w.word[k][l];
                b->bit[(first + l) * cells + k] = (double)w.bit[k][l];
            }
    }
}

/* March linear cells from given unknowns. */
CPU_CLONES
static void march_linear(const march_model *m, const march_linear_arrays *b, int64_t group, void *memory)
{
    march_workspace w = march_workspace_in(memory, m);
    const int rows = m->rows, columns = m->columns;
    const int64_t first = group * LANES;
    const int filled = b->count - first < LANES ? (int)(b->count - first) : LANES;
    march_load(m, &w, b->count, first, b->v, NULL, NULL);
    for (int j = 0; j < columns; j++)
        for (int l = 0; l < LANES; l++)
            w.top[j][l] = b->top ? b->top[(first + (l < filled ? l : filled - 1)) * columns + j] : 0;
    w.linear = b->across || b->bit ? b : NULL;
    w.first = first;
    march_down(m, &w, 0, (lane_mask){0});
    if (!b->feet)
        return;
    for (int l = 0; l < filled; l++) {
        for (int j = 0; j < columns; j++) {
            b->feet[(first + l) * columns + j] = w.u[j][l];
            b->currents[(first + l) * columns + j] = w.carried[j][l];
        }
        for (int i = 0; i < rows; i++)
            b->row_currents[(first + l) * rows + i] = w.delivered[i][l];
    }
}

static void march_solve_here(const march_model *m, const march_arrays *b, int64_t group, void *memory)
{
    march_solve(m, b, group, memory);
}

static void march_linear_here(const march_model *m, const march_linear_arrays *b, int64_t group, void *memory)
{
    march_linear(m, b, group, memory);
}

/* Not the clones themselves: which of them is called is not known before the module is loaded. */
const march_kernel MARCH_KERNEL = {LANES, march_memory, march_solve_here, march_linear_here};
