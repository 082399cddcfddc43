/* The wires of an array as running sums: O(cells), no matrix, any segment may be zero.
 *
 * A word line carries, in the segment that leads into column j, the currents of the cells j, j + 1, ...: sums from the
 * right. A bit line carries below row i the currents of the cells 0 .. i: sums from above. What the wires take from
 * the voltage across a cell, its drop, is then a sum of r times current along both ways.
 */
#ifndef SPICESIM_WIRES_H
#define SPICESIM_WIRES_H

#include "lanes.h"

typedef struct {
    int rows, columns;
    const REAL *r_word, *r_bit;     /* (rows, columns) [ohm] */
    const REAL *r_driver, *r_sense; /* (rows,), (columns,) [ohm] */
} wire_model;

/* Currents in the segments of one word line; returns that of the driver. */
INLINE lanes word_line_currents(int columns, const lanes *cell /* IN */, lanes *segment /* OUT */)
{
    lanes sum = {0};
    for (int j = columns - 1; j >= 0; j--) {
        sum += cell[j];
        segment[j] = sum;
    }
    return sum;
}

/* Step all bit lines from the row below to row i, and find the drop at its cells.
 *
 * head: drop in the driver of the row. carried: bit-line currents below row i, left as those above it.
 * rise: voltages of the bit-line nodes below row i, left as those of row i.
 */
INLINE void drop_of_row(const wire_model *wires, int i, const lanes *cell /* IN */, const lanes *segment /* IN */,
                        lanes head, lanes *carried, lanes *rise, lanes *drop /* OUT */)
{
    const REAL *r_word = wires->r_word + (int64_t)i * wires->columns;
    const REAL *r_bit = wires->r_bit + (int64_t)i * wires->columns;
    for (int j = 0; j < wires->columns; j++) {
        head += r_word[j] * segment[j];
        rise[j] += r_bit[j] * carried[j];
        carried[j] -= cell[j];
        drop[j] = head + rise[j];
    }
}

#endif
