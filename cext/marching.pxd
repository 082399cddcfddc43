"""The structures of march_model.h."""

from libc.stdint cimport int64_t

cdef extern from "march_model.h" nogil:
    ctypedef struct march_model:
        int rows, columns, v_terms, folds, u_terms, step_limit, fields, gated
        const void *coefficients
        const void *slope
        const void *share
        const void *r_word
        const void *r_bit
        const void *r_head
        const void *head
        const void *tail
        const void *top_u
        const void *top_i
        const void *r_sense
        const void *foot
        const void *correction
        const void *response
        const void *row_response
        const void *guess
        const void *profile
        const void *driver_values
        const void *driver_slopes
        const void *sense_values
        const void *sense_slopes
        int64_t driver_points, sense_points
        double driver_start, driver_step, sense_start, sense_step
        const int64_t *sense_index
        double driver_chord, sense_chord
        const void *admittance
        const void *row_guess
        double largest
        double defect, defect_u, spread, tolerance

    ctypedef struct march_arrays:
        int64_t count
        const double *v
        const int64_t *driver_index
        const double *mask
        double *currents
        double *top_currents
        double *row_currents
        double *residual
        double *extents
        int64_t *steps
        double *word
        double *bit

    ctypedef struct march_linear_arrays:
        int64_t count
        const double *v
        const double *top
        double *feet
        double *currents
        double *row_currents
        float *across
        float *bit
        int64_t row_stride, column_stride

    ctypedef struct march_kernel:
        int64_t lanes
        int64_t (*memory)(const march_model *m) noexcept nogil
        void (*solve)(const march_model *m, const march_arrays *b, int64_t group, void *memory) noexcept nogil
        void (*linear)(const march_model *m, const march_linear_arrays *b, int64_t group, void *memory) noexcept nogil

    const march_kernel *march_choose(int single)
