/* The ports of the fast tier: scalar equations of drivers and sense amplifiers around linear ones. */
#ifndef SPICESIM_FAST_PORTS_H
#define SPICESIM_FAST_PORTS_H

#include <math.h>

#include "lanes.h"
#include "port.h"

enum { COUPLE_LIMIT = 100 };

typedef struct {
    port_tables table;    /* of the terminal's voltage */
    double offset, slope; /* of the linear terminal [V], [ohm] */
    double low, high;     /* excess between which the polynomial holds [V] */
} fast_sense;

INLINE double fast_interpolate(const port_tables *table, int64_t index, double x)
{
    double value, slope;
    port_evaluate(table, index, x, &value, &slope);
    return value;
}

/* What port_evaluate does, a column in each lane; currents are finite. */
INLINE lanes fast_voltage(const port_tables *table, lanes current, lanes *slope)
{
    const double h = table->step, inverse = 1 / h;
    const lanes position = (current - table->start) * inverse;
    const lanes inside = lanes_clip(position, 0, (double)(table->points - 1));
    const lane_mask k = __builtin_convertvector(lanes_min(inside, lanes_of((double)(table->points - 2))), lane_mask);
    const lanes t = inside - __builtin_convertvector(k, lanes);
    lanes y, rise, m, m_next;
    for (int l = 0; l < LANES; l++) {
        y[l] = table->values[k[l]];
        rise[l] = table->values[k[l] + 1];
        m[l] = table->slopes[k[l]];
        m_next[l] = table->slopes[k[l] + 1];
    }
    rise -= y;
    const lanes c2 = 3 * rise - h * (2 * m + m_next), c3 = h * (m + m_next) - 2 * rise;
    *slope = m + t * (2 * c2 + 3 * t * c3) * inverse;
    return y + t * (h * m + t * (c2 + t * c3)) + *slope * (position - inside) * h;
}

/* Excess voltage of a terminal over the linear one, made effective by a cubic polynomial, and its derivative. */
INLINE lanes fast_excess(const fast_sense *sense, const lanes *c /* (3,) */, lanes current, lanes *slope)
{
    lanes steepness;
    const lanes e = fast_voltage(&sense->table, current, &steepness) - sense->offset - sense->slope * current;
    const lanes inside = lanes_clip(e, sense->low, sense->high);
    const lanes d = c[0] + inside * (2 * c[1] + inside * 3 * c[2]);
    *slope = d * (steepness - sense->slope);
    return inside * (c[0] + inside * (c[1] + inside * c[2])) + d * (e - inside);
}

/* Solve i + y excess(i) = wanted, by Newton's method within a bracket, from a guess of i. */
INLINE lanes fast_couple(const fast_sense *sense, const lanes *c, lanes y, lanes wanted, lanes current)
{
    lanes low = lanes_of(-INFINITY), high = lanes_of(INFINITY);
    lane_mask active = current == current;
    for (int k = 0; k < COUPLE_LIMIT && lanes_any(active); k++) {
        lanes slope, s = fast_excess(sense, c, current, &slope);
        const lanes f = current + y * s - wanted, step = -f / lanes_max(1 + y * slope, lanes_of(0.1));
        low = lanes_select(f < 0, current, low);
        high = lanes_select(f < 0, high, current);
        lanes next = current + step;
        const lane_mask near = lanes_abs(step) <= 1e-3 * sense->table.step; /* what is left is of second order */
        const lane_mask lost = ~((next > low) & (next < high)) & (low > -INFINITY) & (high < INFINITY) & ~near;
        next = lanes_select(lost, 0.5 * (low + high), next);
        current = lanes_select(active, next, current);
        active &= ~near;
    }
    return current;
}

/* All columns of one vector; current is a guess, then the answer. */
CPU_CLONES
static void fast_couple_row(const fast_sense *sense, int columns, const double *polynomials /* (3, columns) */,
                            const float *first, const float *second /* (columns,), or NULL */,
                            const double *y, const double *wanted, double *current)
{
    for (int start = 0; start < columns; start += LANES) {
        const int size = columns - start < LANES ? columns - start : LANES;
        lanes c[3] = {0}, own = {0}, goal = {0}, guess = {0};
        for (int l = 0; l < size; l++) {
            const int j = start + l;
            for (int p = 0; p < 3; p++)
                c[p][l] = polynomials[p * columns + j];
            if (first) {
                c[0][l] += first[j];
                c[1][l] += second[j];
            }
            own[l] = y[j];
            goal[l] = wanted[j];
            guess[l] = current[j];
        }
        guess = fast_couple(sense, c, own, goal, guess);
        for (int l = 0; l < size; l++)
            current[start + l] = guess[l];
    }
}

#endif
