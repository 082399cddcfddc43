/* The ports of the fast tier: scalar equations of drivers and sense amplifiers around linear ones. */
#ifndef SPICESIM_FAST_PORTS_H
#define SPICESIM_FAST_PORTS_H

#include <math.h>
#include <string.h>

#include "lanes.h"
#include "port.h"

enum { COUPLE_LIMIT = 100 };

typedef struct {
    port_tables table;            /* of the terminals' voltages */
    int each;                     /* whether each column has a table, else all have the first */
    const double *offset, *slope; /* of the linear terminals, one a table [V], [ohm] */
    double low, high;             /* excess between which the polynomials hold [V] */
} fast_sense;

INLINE double fast_interpolate(const port_tables *table, int64_t index, double x)
{
    double value, slope;
    port_evaluate(table, index, x, &value, &slope);
    return value;
}

typedef int32_t lane_index __attribute__((vector_size(LANES * sizeof(int32_t)))); /* AVX2 has no conversion to 64 bits */

INLINE lanes lanes_load(const double *x, int size)
{
    lanes found;
    if (size == LANES)
        memcpy(&found, x, sizeof(found));
    else
        for (int l = 0; l < LANES; l++)
            found[l] = x[l < size ? l : 0]; /* an answer twice */
    return found;
}

INLINE void lanes_store(double *x, int size, lanes value)
{
    if (size == LANES)
        memcpy(x, &value, sizeof(value));
    else
        for (int l = 0; l < size; l++)
            x[l] = value[l];
}

/* What port_evaluate does, a column in each lane, whose table begins at `at`; currents are finite. */
INLINE lanes fast_voltage(const port_tables *table, const int64_t *at, lanes current, lanes *slope)
{
    const double h = table->step, inverse = 1 / h;
    const lanes position = (current - table->start) * inverse;
    const lanes inside = lanes_clip(position, 0, (double)(table->points - 1));
    const lane_index k = __builtin_convertvector(lanes_min(inside, lanes_of((double)(table->points - 2))), lane_index);
    const lanes t = inside - __builtin_convertvector(k, lanes);
    lanes y, rise, m, m_next;
    for (int l = 0; l < LANES; l++) {
        const int64_t place = at[l] + k[l];
        y[l] = table->values[place];
        rise[l] = table->values[place + 1];
        m[l] = table->slopes[place];
        m_next[l] = table->slopes[place + 1];
    }
    rise -= y;
    const lanes c2 = 3 * rise - h * (2 * m + m_next), c3 = h * (m + m_next) - 2 * rise;
    *slope = m + t * (2 * c2 + 3 * t * c3) * inverse;
    return y + t * (h * m + t * (c2 + t * c3)) + *slope * (position - inside) * h;
}

typedef struct {
    int64_t at[LANES];   /* where its table begins */
    lanes offset, slope; /* of the linear terminal [V], [ohm] */
    lanes c[3];          /* what makes an excess effective */
} fast_column;

/* Excess voltage of a terminal over the linear one, made effective by a cubic polynomial, and its derivative. */
INLINE lanes fast_excess(const fast_sense *sense, const fast_column *column, lanes current, lanes *slope)
{
    lanes steepness;
    const lanes *c = column->c;
    const lanes v = fast_voltage(&sense->table, column->at, current, &steepness);
    const lanes e = v - column->offset - column->slope * current;
    const lanes inside = lanes_clip(e, sense->low, sense->high);
    const lanes d = c[0] + inside * (2 * c[1] + inside * 3 * c[2]);
    *slope = d * (steepness - column->slope);
    return inside * (c[0] + inside * (c[1] + inside * c[2])) + d * (e - inside);
}

/* Solve i + y excess(i) = wanted, by Newton's method within a bracket, from a guess of i. */
INLINE lanes fast_couple(const fast_sense *sense, const fast_column *column, lanes y, lanes wanted, lanes current)
{
    lanes low = lanes_of(-INFINITY), high = lanes_of(INFINITY);
    lane_mask active = current == current;
    for (int k = 0; k < COUPLE_LIMIT && lanes_any(active); k++) {
        lanes slope, s = fast_excess(sense, column, current, &slope);
        const lanes f = current + y * s - wanted, step = -f / lanes_max(1 + y * slope, lanes_of(0.1));
        low = lanes_select(f < 0, current, low);
        high = lanes_select(f < 0, high, current);
        lanes next = current + step;
        const lane_mask near = lanes_abs(step) <= 0.03 * sense->table.step; /* what is left is its square */
        const lane_mask lost = ~((next > low) & (next < high)) & (low > -INFINITY) & (high < INFINITY) & ~near;
        next = lanes_select(lost, 0.5 * (low + high), next);
        current = lanes_select(active, next, current);
        active &= ~near;
    }
    return current;
}

/* All columns of one vector; current is a guess, then the answer. Rise is what is left of wanted, as a voltage: the
 * largest is returned. */
CPU_CLONES
static double fast_couple_row(const fast_sense *sense, int columns, const double *polynomials /* (3, columns) */,
                              const float *first, const float *second /* (columns,), or NULL */,
                              const double *y, const double *inverse, const double *wanted, double *current,
                              double *rise)
{
    lanes most = {0};
    for (int start = 0; start < columns; start += LANES) {
        const int size = columns - start < LANES ? columns - start : LANES;
        fast_column column;
        for (int l = 0; l < LANES; l++) {
            const int table = sense->each ? start + (l < size ? l : 0) : 0;
            column.at[l] = table * sense->table.points;
        }
        column.offset = sense->each ? lanes_load(sense->offset + start, size) : lanes_of(sense->offset[0]);
        column.slope = sense->each ? lanes_load(sense->slope + start, size) : lanes_of(sense->slope[0]);
        for (int p = 0; p < 3; p++)
            column.c[p] = lanes_load(polynomials + p * columns + start, size);
        if (first)
            for (int l = 0; l < LANES; l++) {
                const int j = start + (l < size ? l : 0);
                column.c[0][l] += first[j];
                column.c[1][l] += second[j];
            }
        const lanes goal = lanes_load(wanted + start, size);
        const lanes guess = fast_couple(sense, &column, lanes_load(y + start, size), goal,
                                        lanes_load(current + start, size));
        const lanes left = (goal - guess) * lanes_load(inverse + start, size);
        lanes_store(current + start, size, guess);
        lanes_store(rise + start, size, left);
        most = lanes_max(lanes_abs(left), most);
    }
    double largest = 0;
    for (int l = 0; l < LANES; l++)
        largest = most[l] > largest ? most[l] : largest;
    return largest;
}

/* What all others' rises leave of the currents of one vector, turned over turns: x = turned(x) is wanted, and the step
 * is that of Anderson's method of depth one, from what the turn before made (past: turned, change). Returns the largest
 * change. */
CPU_CLONES
static double fast_turn_row(int columns, const double *currents, const double *taken,
                            const double *felt /* (columns,), or NULL */, int known,
                            double *past /* (2, columns), or NULL */, double *wanted)
{
    double largest = 0, along = 0, square = 0;
    for (int j = 0; j < columns; j++) {
        const double change = currents[j] - (felt ? taken[j] * felt[j] : taken[j]) - wanted[j];
        const double bend = known ? change - past[columns + j] : 0;
        largest = fabs(change) > largest ? fabs(change) : largest;
        along += change * bend;
        square += bend * bend;
    }
    const double share = square > 0 ? fmin(fmax(along / square, -4), 0.9) : 0; /* a poor guess must not lead astray */
    for (int j = 0; j < columns; j++) {
        const double change = currents[j] - (felt ? taken[j] * felt[j] : taken[j]) - wanted[j];
        const double turned = wanted[j] + change;
        wanted[j] = known ? turned - share * (turned - past[j]) : turned;
        if (past) {
            past[j] = turned;
            past[columns + j] = change;
        }
    }
    return largest;
}

/* The drivers of one vector: what they deliver, from what they would without load, and the voltage of the source that
 * stands for each, resistance and all; returns how many leave their tables. */
CPU_CLONES
static int fast_load_row(int rows, const port_tables *tables, const int64_t *codes, const int64_t *first, double r_out,
                         double centre, const double *more, const float *open /* beyond the centre */,
                         const float *taken /* by the array, without `more` */, double *delivered, double *v)
{
    const double low = tables->start, high = tables->start + tables->step * (double)(tables->points - 1);
    int outside = 0;
    for (int begin = 0; begin < rows; begin += LANES) {
        const int size = rows - begin < LANES ? rows - begin : LANES;
        int64_t at[LANES];
        lanes current, from, slope;
        for (int l = 0; l < LANES; l++) {
            const int i = begin + (l < size ? l : 0);
            at[l] = (codes[i] + first[i]) * tables->points;
            current[l] = taken[i] + more[i];
            from[l] = open[i] + centre;
            outside += l < size && !(current[l] >= low && current[l] <= high);
        }
        lanes_store(delivered + begin, size, current);
        lanes_store(v + begin, size, from - fast_voltage(tables, at, current, &slope) + r_out * current);
    }
    return outside;
}

typedef struct {
    port_tables input, output; /* against the current */
    const int64_t *index;      /* (columns,) table of each column */
    const double *lift;        /* (columns,) of the top of a bit line over its foot [ohm] */
    double low, high;          /* of the bit line [V] */
} fast_readout;

/* The read-outs of one vector; returns 0 if no column leaves its tables, or the limits of its cells. */
CPU_CLONES
static int fast_read_row(const fast_readout *r, int columns, const double *current, double *out)
{
    const port_tables *t = &r->input;
    const double low = t->start, high = t->start + t->step * (double)(t->points - 1);
    lane_mask outside = {0};
    for (int begin = 0; begin < columns; begin += LANES) {
        const int size = columns - begin < LANES ? columns - begin : LANES;
        const lanes i = lanes_load(current + begin, size);
        int64_t in[LANES], put_out[LANES];
        lanes slope;
        for (int l = 0; l < LANES; l++) {
            const int64_t table = r->index[begin + (l < size ? l : 0)];
            in[l] = table * t->points;
            put_out[l] = table * r->output.points;
        }
        const lanes foot = fast_voltage(t, in, i, &slope), top = foot + lanes_load(r->lift + begin, size) * i;
        lanes_store(out + begin, size, fast_voltage(&r->output, put_out, i, &slope));
        outside -= ~((i >= low) & (i <= high) & (lanes_min(foot, top) >= r->low) & (lanes_max(foot, top) <= r->high));
    }
    int count = 0;
    for (int l = 0; l < LANES; l++)
        count += (int)outside[l];
    return count;
}

#endif
