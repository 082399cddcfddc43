"""The structures of the C headers, as far as the loop needs them."""

from libc.stdint cimport int64_t

cdef extern from "batch.h" nogil:
    enum: LANES

    ctypedef struct wire_model:
        int rows, columns
        const double *r_word
        const double *r_bit
        const double *r_driver
        const double *r_sense

    ctypedef struct cell_model:
        const double *coefficients
        int v_terms, folds, u_terms
        double kappa, i0, v0, v_low, v_high, u_low, u_high

    ctypedef struct port_tables:
        const double *values
        const double *slopes
        int64_t points
        double start, step

    ctypedef struct array_model:
        wire_model wires
        cell_model cell
        port_tables drivers, senses
        const int64_t *sense_index
        double tolerance
        int newton_limit

    ctypedef struct workspace:
        void *memory

    ctypedef struct batch_arrays:
        int64_t count
        const double *v
        const int64_t *driver_index
        const double *mask
        double *currents
        double *row_currents
        double *residual
        double *extents
        int64_t *steps
        int64_t *worst
        double *cell_voltages
        double *bit_line_voltages

    int workspace_allocate(workspace *w, int rows, int columns, int biased)
    void solve_batch_group(const array_model *m, workspace *w, const batch_arrays *b, int64_t group)
