/* The current of a cell and its slope.
 *
 * Three forms cover all cells: I = k sinh(kappa V) / kappa; the same in series with a selector, I = i0 sinh(V / v0) of
 * its own voltage; and the polynomial I = V (P(V, u) + |V| Q(V, u)), where V is
 * the voltage across the cell and u that of its bit-line node: transistors whose source and drain change places have a
 * bend at V = 0. P has the first v_terms - folds rows of the coefficients, Q the last `folds`. Beyond its limits a cell
 * goes on linearly: Newton may pass there, a solution may not stay there.
 */
#ifndef SPICESIM_CELL_H
#define SPICESIM_CELL_H

#include "lanes.h"

typedef struct {
    const REAL *coefficients; /* (rows, columns, v_terms, u_terms) */
    int v_terms, folds, u_terms;
    REAL kappa; /* [1/V]; 0 for a polynomial, or a linear device with a selector */
    REAL i0, v0; /* of the selector [A], [V]; 0 for none */
    REAL v_low, v_high, u_low, u_high; /* [V] */
} cell_model;

INLINE void cell_sinh(REAL g, REAL kappa, lanes v, lanes *current, lanes *slope)
{
    lanes x = lanes_abs(v) * kappa;
    lanes inside = lanes_min(x, lanes_of((REAL)(sizeof(REAL) == 8 ? 300 : 40)));
    lanes e = lanes_expm1(inside);
    lanes f = e / (e + 1); /* sinh = (e + f) / 2 keeps its digits for small x, too */
    lanes cosh_x = 1 + (REAL)0.5 * e * f;
    lanes i = (g / kappa) * ((REAL)0.5 * (e + f) + cosh_x * (x - inside));
    *slope = g * cosh_x;
    *current = lanes_select(v < 0, -i, i);
}

/* The current through both follows from t, the selector's voltage over v0: t + device(i0 sinh t) / v0 = |v| / v0.
 *
 * The left side rises and, for a selector that closes better than the device, is convex. Halley's method from a bound
 * above the root stays there; each step triples the digits. A lane that has arrived stands still.
 */
INLINE void cell_selected(const cell_model *cell, REAL g, lanes v, lanes *current, lanes *slope)
{
    enum { STEPS = 60 };
    const REAL kappa = cell->kappa, most = (REAL)(sizeof(REAL) == 8 ? 300 : 40);
    if (!(g > 0)) {
        *current = *slope = lanes_of(0);
        return;
    }
    const REAL m = kappa * cell->i0 / g, q = cell->i0 / (g * cell->v0), share = kappa > 0 ? 1 / (kappa * cell->v0) : 0;
    const lanes wanted = lanes_abs(v) * (1 / cell->v0);
    lanes all = lanes_abs(v) * (g / cell->i0); /* sinh t if the device took all */
    if (kappa > 0) {
        lanes e = lanes_expm1(lanes_min(lanes_abs(v) * kappa, lanes_of(most / 2)));
        all = (e + e / (e + 1)) * ((REAL)0.5 / m);
    }
    const lanes high = lanes_min(lanes_min(wanted, lanes_asinh(all)), lanes_of(most));
    lanes t = high, s, c, root;
    lane_mask active = high > 0;
    for (int step = 0;; step++) {
        lanes e = lanes_expm1(t), f = e / (e + 1);
        s = (REAL)0.5 * (e + f);
        c = 1 + (REAL)0.5 * e * f;
        root = kappa > 0 ? lanes_sqrt(1 + m * m * s * s) : lanes_of(1);
        if (step == STEPS || !lanes_any(active))
            break;
        lanes h = t - wanted + (kappa > 0 ? share * lanes_log(m * s + root) : q * s);
        lanes less = kappa > 0 ? 1 / root : root;
        lanes h1 = 1 + q * c * less, h2 = q * (1 - m * m) * s * (less * less * less);
        lanes square = h1 * h1, bent = 2 * square - h * h2; /* bounded, so that no step is wild far from the root */
        lanes change = 2 * h * h1 / lanes_min(lanes_max(bent, square), 3 * square);
        lanes next = lanes_min(lanes_max(t - change, (lanes){0}), high);
        change = lanes_abs(next - t);
        t = lanes_select(active, next, t);
        active &= change > (REAL)(sizeof(REAL) == 8 ? 1e-5 : 1e-3);
    }
    lanes i = cell->i0 * s;
    *slope = 1 / (cell->v0 / (cell->i0 * c) + 1 / (g * root));
    *current = lanes_select(v < 0, -i, i);
}

/* Add to p(v) and p'(v) the rows from `first` down to `last`, by Horner's rule. */
INLINE void cell_rows(const REAL *k, int first, int last, int u_terms, lanes v, lanes u, lanes *value, lanes *derivative)
{
    for (int a = first; a >= last; a--) {
        const REAL *row = k + a * u_terms;
        lanes c = lanes_of(row[u_terms - 1]);
        for (int b = u_terms - 2; b >= 0; b--)
            c = c * u + row[b];
        *derivative = *derivative * v + *value;
        *value = *value * v + c;
    }
}

INLINE void cell_polynomial(const cell_model *cell, const REAL *k, lanes v, lanes u, lanes *current, lanes *slope)
{
    lanes inside = lanes_clip(v, cell->v_low, cell->v_high);
    lanes bias = lanes_clip(u, cell->u_low, cell->u_high);
    lanes value = {0}, derivative = {0};
    const int smooth = cell->v_terms - cell->folds;
    cell_rows(k, smooth - 1, 0, cell->u_terms, inside, bias, &value, &derivative);
    if (cell->folds) {
        lanes bend = {0}, slope_of_bend = {0}, size = lanes_abs(inside);
        cell_rows(k, cell->v_terms - 1, smooth, cell->u_terms, inside, bias, &bend, &slope_of_bend);
        value += size * bend;
        derivative += size * slope_of_bend + lanes_select(inside < 0, -bend, bend);
    }
    derivative = derivative * inside + value; /* I = V p(V), so I' = p + V p' */
    *slope = derivative;
    *current = value * inside + derivative * (v - inside);
}

INLINE void cell_evaluate(const cell_model *cell, int64_t index, lanes v, lanes u, lanes *current, lanes *slope)
{
    const REAL *k = cell->coefficients + index * cell->v_terms * cell->u_terms;
    if (cell->i0 > 0)
        cell_selected(cell, k[0], v, current, slope);
    else if (cell->kappa > 0)
        cell_sinh(k[0], cell->kappa, v, current, slope);
    else if (cell->v_terms == 1 && cell->u_terms == 1) {
        *current = k[0] * v;
        *slope = lanes_of(k[0]);
    } else
        cell_polynomial(cell, k, v, u, current, slope);
}

#endif
