/* Ports: what sits at the end of a line, as a table of its voltage against its current.
 *
 * Cubic Hermite pieces on a uniform grid; beyond its ends a table goes on linearly.
 */
#ifndef SPICESIM_PORT_H
#define SPICESIM_PORT_H

#include "lanes.h"

typedef struct {
    const REAL *values; /* (tables, points) [V]; NULL: the port is ideal */
    const REAL *slopes; /* (tables, points) [ohm] */
    int64_t points;
    REAL start, step; /* grid of the currents [A] */
} port_tables;

INLINE void port_evaluate(const port_tables *port, int64_t table, REAL current, REAL *voltage, REAL *slope)
{
    const REAL *y = port->values + table * port->points;
    const REAL *m = port->slopes + table * port->points;
    REAL position = (current - port->start) / port->step;
    REAL last = (REAL)(port->points - 1);
    if (!(position > 0)) { /* also NaN */
        *voltage = y[0] + m[0] * (current - port->start);
        *slope = m[0];
        return;
    }
    if (position >= last) {
        int64_t end = port->points - 1;
        *voltage = y[end] + m[end] * (position - last) * port->step;
        *slope = m[end];
        return;
    }
    int64_t k = (int64_t)position;
    REAL t = position - (REAL)k;
    REAL rise = y[k + 1] - y[k];
    REAL c2 = 3 * rise - port->step * (2 * m[k] + m[k + 1]);
    REAL c3 = port->step * (m[k] + m[k + 1]) - 2 * rise;
    *voltage = y[k] + t * (port->step * m[k] + t * (c2 + t * c3));
    *slope = m[k] + t * (2 * c2 + 3 * t * c3) / port->step;
}

#endif
