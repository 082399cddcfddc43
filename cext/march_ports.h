/* Ports of a marching array: droop of the drivers, and terminals of the sense amplifiers that may saturate.
 *
 * Both have a chord resistance in the linear system; what the tables say beyond it is iterated. For the drivers the
 * sweeps themselves do. For the senses it is a small problem a sweep, exact in the array's column-port admittance Y:
 * find the misfit x with x + h(i + Y x) = what does not fit without h, where h is the table less its chord.
 */
#ifndef SPICESIM_MARCH_PORTS_H
#define SPICESIM_MARCH_PORTS_H

#include "march_workspace.h"
#include "port.h"

enum { PORT_STEPS = 40, PORT_ITERATIONS = 40, PORT_HALVINGS = 12 };

INLINE lanes march_dot(int n, const lanes *x, const lanes *y)
{
    lanes sum = {0};
    for (int j = 0; j < n; j++)
        sum += x[j] * y[j];
    return sum;
}

/* The table less its chord, and its slope, lane by lane. */
INLINE lanes march_beyond(const port_tables *port, int64_t stride, const int64_t *table, REAL chord, lanes current,
                          lanes *slope)
{
    lanes voltage;
    for (int l = 0; l < LANES; l++) {
        REAL t, dt;
        port_evaluate(port, table ? table[l * stride] : 0, current[l], &t, &dt);
        voltage[l] = t;
        (*slope)[l] = dt;
    }
    *slope -= chord;
    return voltage - chord * current;
}

/* G = x - base + h(i + Y x), with the slopes d >= 0 of h; returns the sum of G G. */
INLINE lanes march_port_misfit(const march_model *m, march_workspace *w, const port_tables *senses)
{
    const int columns = m->columns;
    const int64_t *index = m->sense_index;
    march_product(columns, columns, m->admittance, w->error, w->trial);
    for (int j = 0; j < columns; j++) {
        lanes slope;
        lanes h = march_beyond(senses, 0, index + j, (REAL)m->sense_chord, w->carried[j] + w->trial[j], &slope);
        w->port_misfit[j] = w->error[j] - w->base[j] + h;
        w->port_slope[j] = lanes_max(slope, (lanes){0});
    }
    return march_dot(columns, w->port_misfit, w->port_misfit);
}

/* Newton's step s of (1 + d Y) s = -G, into w->port_step: conjugate gradients for what sqrt(d) makes symmetric. */
INLINE void march_port_step(const march_model *m, march_workspace *w)
{
    const int columns = m->columns;
    const REAL *y = m->admittance;
    lanes stiffest = {0};
    for (int j = 0; j < columns; j++) {
        lanes d = w->port_slope[j];
        for (int l = 0; l < LANES; l++)
            w->root[j][l] = (REAL)sqrt((double)d[l]);
        w->scale[j] = 1 / (1 + d * y[(int64_t)j * columns + j]);
        stiffest = lanes_max(stiffest, 1 - w->scale[j]);
        w->port_step[j] = -w->port_misfit[j];
    }
    if (!lanes_any(stiffest > (REAL)0.02)) /* the plain iteration is as good */
        return;
    march_product(columns, columns, y, w->port_misfit, w->residue);
    lanes first = {0}, gamma = {0};
    for (int j = 0; j < columns; j++) {
        w->residue[j] *= w->root[j];
        w->solution[j] = (lanes){0};
        w->direction[j] = w->scale[j] * w->residue[j];
        gamma += w->residue[j] * w->direction[j];
    }
    first = gamma;
    lane_mask active = gamma > 0;
    for (int k = 0; k < PORT_ITERATIONS && lanes_any(active); k++) {
        for (int j = 0; j < columns; j++)
            w->trial[j] = w->root[j] * w->direction[j];
        march_product(columns, columns, y, w->trial, w->image);
        lanes curvature = {0}, next = {0};
        for (int j = 0; j < columns; j++) {
            w->image[j] = w->direction[j] + w->root[j] * w->image[j];
            curvature += w->direction[j] * w->image[j];
        }
        lanes alpha = lanes_select(active & (curvature > 0), gamma / curvature, (lanes){0});
        for (int j = 0; j < columns; j++) {
            w->solution[j] += alpha * w->direction[j];
            w->residue[j] -= alpha * w->image[j];
            next += w->scale[j] * w->residue[j] * w->residue[j];
        }
        lanes beta = lanes_select(active, next / gamma, (lanes){0});
        gamma = next;
        active &= gamma > (REAL)1e-8 * first;
        for (int j = 0; j < columns; j++)
            w->direction[j] = w->scale[j] * w->residue[j] + beta * w->direction[j];
    }
    for (int j = 0; j < columns; j++)
        w->port_step[j] += w->root[j] * w->solution[j];
}

/* The greatest misfit of the march that was, of w->error with chords alone. */
INLINE lanes march_miss(const march_model *m, const march_workspace *w)
{
    const port_tables senses = {m->sense_values, m->sense_slopes, m->sense_points, (REAL)m->sense_start,
                                (REAL)m->sense_step};
    lanes miss = {0};
    for (int j = 0; j < m->columns; j++) {
        lanes slope, left = w->error[j];
        if (m->sense_values)
            left -= march_beyond(&senses, 0, m->sense_index + j, (REAL)m->sense_chord, w->carried[j], &slope);
        miss = lanes_max(miss, lanes_abs(left));
    }
    return miss;
}

/* Turn w->error, the misfit with chords alone, into that with tables; returns what is left of G, the greatest. */
INLINE lanes march_fit_senses(const march_model *m, march_workspace *w, lanes enough)
{
    const int columns = m->columns;
    const port_tables senses = {m->sense_values, m->sense_slopes, m->sense_points, (REAL)m->sense_start,
                                (REAL)m->sense_step};
    lanes left = {0};
    for (int j = 0; j < columns; j++) {
        lanes slope;
        w->base[j] = w->error[j];
        w->error[j] -= march_beyond(&senses, 0, m->sense_index + j, (REAL)m->sense_chord, w->carried[j], &slope);
    }
    lanes merit = march_port_misfit(m, w, &senses), before = merit;
    for (int step = 0;; step++) {
        left = (lanes){0};
        lanes rounding = {0};
        for (int j = 0; j < columns; j++) {
            left = lanes_max(left, lanes_abs(w->port_misfit[j]));
            lanes size = lanes_abs(w->base[j]) + w->port_slope[j] * lanes_abs(w->carried[j]);
            rounding = lanes_max(rounding, size);
        }
        lane_mask open = ~(left <= lanes_max(enough, rounding * (REAL)(sizeof(REAL) == 8 ? 2e-15 : 1e-6)));
        if (step == PORT_STEPS || !lanes_any(open))
            return left + 0 * merit;
        march_port_step(m, w);
        lanes length = lanes_select(open, lanes_of(1), (lanes){0}), change = length;
        const lanes bound = lanes_max(before, merit);
        before = merit;
        for (int halving = 0;; halving++) {
            for (int j = 0; j < columns; j++)
                w->error[j] += change * w->port_step[j];
            merit = march_port_misfit(m, w, &senses);
            lane_mask refused = open & ~(merit <= bound);
            if (halving == PORT_HALVINGS || !lanes_any(refused))
                break;
            change = lanes_select(refused, (REAL)-0.5 * length, (lanes){0});
            length += change;
        }
    }
}

#endif
