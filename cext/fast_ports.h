/* The ports of the fast tier: scalar equations of drivers and sense amplifiers around linear ones. */
#ifndef SPICESIM_FAST_PORTS_H
#define SPICESIM_FAST_PORTS_H

#include <math.h>

#include "port.h"

enum { COUPLE_LIMIT = 100 };

typedef struct {
    port_tables table;      /* of the terminal's voltage */
    double offset, slope;   /* of the linear terminal [V], [ohm] */
    double low, high;       /* excess between which the polynomial holds [V] */
} fast_sense;

INLINE double fast_interpolate(const port_tables *table, int64_t index, double x)
{
    double value, slope;
    port_evaluate(table, index, x, &value, &slope);
    return value;
}

/* Excess voltage of a terminal over the linear one, made effective by a cubic polynomial, and its derivative. */
INLINE double fast_excess(const fast_sense *sense, const double *c /* (3,) */, double current, double *slope)
{
    double voltage, steepness;
    port_evaluate(&sense->table, 0, current, &voltage, &steepness);
    double e = voltage - sense->offset - sense->slope * current;
    double inside = e < sense->low ? sense->low : e > sense->high ? sense->high : e;
    double d = c[0] + inside * (2 * c[1] + inside * 3 * c[2]);
    *slope = d * (steepness - sense->slope);
    return inside * (c[0] + inside * (c[1] + inside * c[2])) + d * (e - inside);
}

/* Solve i + y excess(i) = wanted, by Newton's method within a bracket, from a guess of i. */
INLINE double fast_couple(const fast_sense *sense, const double *c, double y, double wanted, double current)
{
    double low = -INFINITY, high = INFINITY;
    for (int k = 0; k < COUPLE_LIMIT; k++) {
        double slope, s = fast_excess(sense, c, current, &slope);
        double f = current + y * s - wanted, step = -f / fmax(1 + y * slope, 0.1);
        if (f < 0)
            low = current;
        else
            high = current;
        double next = current + step;
        if (fabs(step) <= 1e-3 * sense->table.step)
            return next; /* what is left is of second order */
        if (!(next > low && next < high) && low > -INFINITY && high < INFINITY)
            next = 0.5 * (low + high);
        current = next;
    }
    return current;
}

#endif
