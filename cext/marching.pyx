"""Loops of the marching solver over groups of vectors; the physics is in march.h, the checks in spicesim."""

from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t
from libc.stdlib cimport free

cdef extern from "stdlib.h" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

ctypedef fused real:
    float
    double


cdef class Memory:
    """Work space of some threads, aligned for vectors of lanes."""

    cdef char *start
    cdef int64_t size

    def __cinit__(self, int64_t size, int threads):
        self.size = (size + 63) // 64 * 64
        self.start = <char *>aligned_alloc(64, self.size * threads)
        if self.start == NULL:
            raise MemoryError(f"no memory for the fields of {threads} threads; use fewer threads")

    def __dealloc__(self):
        free(self.start)


cdef march_model wires_of(
    const real[:, ::1] slope, const real[:, ::1] share, const real[:, ::1] r_word, const real[:, ::1] r_bit,
    const real[::1] r_head, const real[::1] head, const real[::1] tail, const real[::1] top_u, const real[::1] top_i,
):
    cdef march_model m
    m.driver_values = m.driver_slopes = m.sense_values = m.sense_slopes = NULL
    m.driver_points = m.sense_points = 0
    m.rows = <int>slope.shape[0]
    m.columns = <int>slope.shape[1]
    m.fields = m.gated = 0
    m.v_terms = m.folds = m.u_terms = 0
    m.slope = &slope[0, 0]
    m.share = &share[0, 0]
    m.r_word = &r_word[0, 0]
    m.r_bit = &r_bit[0, 0]
    m.r_head = &r_head[0]
    m.head = &head[0]
    m.tail = NULL
    if tail is not None:
        m.tail = &tail[0]
    m.top_u = &top_u[0]
    m.top_i = &top_i[0]
    return m


def march_linear(
    const double[:, ::1] slope, const double[:, ::1] share,  # IN (rows, columns)
    const double[:, ::1] r_word, const double[:, ::1] r_bit,  # IN (rows, columns)
    const double[::1] r_head, const double[::1] head, const double[::1] tail,  # IN (rows,); tail may be None
    const double[::1] top_u, const double[::1] top_i,  # IN (columns,)
    const double[:, ::1] v, const double[:, ::1] top,  # IN (batch, rows), batch > 0; (batch, columns) or None
    double[:, ::1] feet, double[:, ::1] currents, double[:, ::1] row_currents,  # OUT (batch, columns or rows)
):
    """March linear cells from given unknowns; see march_model.h."""
    cdef march_model m = wires_of[double](slope, share, r_word, r_bit, r_head, head, tail, top_u, top_i)
    cdef march_linear_arrays b
    cdef const march_kernel *kernel = march_choose(False)
    cdef int64_t group, lanes = kernel.lanes, groups = (v.shape[0] + lanes - 1) // lanes
    cdef Memory memory = Memory(kernel.memory(&m), 1)
    b.count = v.shape[0]
    b.v = &v[0, 0]
    b.top = NULL
    if top is not None:
        b.top = &top[0, 0]
    b.across = b.bit = NULL
    b.row_stride = b.column_stride = 0
    b.feet = &feet[0, 0]
    b.currents = &currents[0, 0]
    b.row_currents = &row_currents[0, 0]
    with nogil:
        for group in range(groups):
            kernel.linear(&m, &b, group, memory.start)


def march_fields(
    const double[:, ::1] slope, const double[:, ::1] share,  # IN (rows, columns)
    const double[:, ::1] r_word, const double[:, ::1] r_bit,  # IN (rows, columns)
    const double[::1] r_head, const double[::1] head, const double[::1] tail,  # IN (rows,); tail may be None
    const double[::1] top_u, const double[::1] top_i,  # IN (columns,)
    const double[:, ::1] v, const double[:, ::1] top,  # IN (batch, rows), (batch, columns), batch > 0
    int threads,
    float[:, :, :] across, float[:, :, :] bit,  # OUT (rows, columns, batch), the last axis dense; bit may be None
):
    """March linear cells from the right unknowns and leave the voltages of all cells; see march_model.h."""
    cdef march_model m = wires_of[double](slope, share, r_word, r_bit, r_head, head, tail, top_u, top_i)
    cdef march_linear_arrays b
    cdef const march_kernel *kernel = march_choose(False)
    cdef int64_t group, lanes = kernel.lanes, groups = (v.shape[0] + lanes - 1) // lanes, size
    threads = <int>max(1, min(threads, groups))
    cdef Memory memory = Memory(kernel.memory(&m), threads)
    cdef char *start = memory.start
    size = memory.size
    b.count = v.shape[0]
    b.v = &v[0, 0]
    b.top = &top[0, 0]
    b.feet = b.currents = b.row_currents = NULL
    b.across = &across[0, 0, 0]
    b.bit = NULL if bit is None else &bit[0, 0, 0]
    b.row_stride = across.strides[0] // <int64_t>sizeof(float)
    b.column_stride = across.strides[1] // <int64_t>sizeof(float)
    for group in prange(groups, nogil=True, num_threads=threads, schedule="static"):
        kernel.linear(&m, &b, group, start + size * threadid())


def march(
    const real[:, :, :, ::1] coefficients,  # IN (rows, columns, v_terms, u_terms)
    const real[:, ::1] slope, const real[:, ::1] share,  # IN (rows, columns)
    const real[:, ::1] r_word, const real[:, ::1] r_bit,  # IN (rows, columns)
    const real[::1] r_head, const real[::1] head, const real[::1] tail,  # IN (rows,); tail may be None
    const real[::1] top_u, const real[::1] top_i, const real[::1] r_sense, const real[::1] foot,  # IN (columns,)
    const real[:, ::1] correction, const real[:, ::1] response,  # IN (columns, columns)
    const real[:, ::1] row_response,  # IN (columns, rows)
    const real[:, ::1] guess, const real[:, ::1] profile,  # IN (rows, columns)
    const real[:, ::1] admittance, const real[:, ::1] row_guess,  # IN (columns, columns), (rows, rows)
    const real[:, ::1] driver_values, const real[:, ::1] driver_slopes,  # IN (tables, points) or None
    const real[:, ::1] sense_values, const real[:, ::1] sense_slopes,  # IN (tables, points) or None
    tuple grids,  # driver start, step, chord, sense start, step, chord
    tuple bounds,  # defect, defect_u, spread, largest
    const int64_t[:, ::1] driver_index, const int64_t[::1] sense_index,  # IN (batch, rows), (columns,); or None
    const double[:, ::1] mask,  # IN (batch, rows) or None
    double tolerance, int folds, int step_limit, int threads,
    const double[:, ::1] v,  # IN (batch, rows), batch > 0
    double[:, ::1] currents, double[:, ::1] top_currents, double[:, ::1] row_currents,  # OUT (batch, columns or rows)
    double[::1] residual, double[:, ::1] extents, int64_t[::1] steps,  # OUT (batch,), (batch, 4), (batch,)
    double[:, :, ::1] word, double[:, :, ::1] bit,  # OUT (batch, rows, columns) or None
):
    """Solve a batch of input vectors; see march_model.h."""
    cdef march_model m = wires_of[real](slope, share, r_word, r_bit, r_head, head, tail, top_u, top_i)
    cdef march_arrays b
    cdef const march_kernel *kernel = march_choose(real is float)
    cdef int64_t group, groups, size
    m.coefficients = &coefficients[0, 0, 0, 0]
    m.v_terms = <int>coefficients.shape[2]
    m.folds = folds
    m.u_terms = <int>coefficients.shape[3]
    m.step_limit = step_limit
    m.fields = word is not None
    m.gated = mask is not None
    b.mask = NULL if mask is None else &mask[0, 0]
    m.r_sense = &r_sense[0]
    m.foot = &foot[0]
    m.correction = &correction[0, 0]
    m.response = &response[0, 0]
    m.row_response = &row_response[0, 0]
    m.guess = &guess[0, 0]
    m.profile = &profile[0, 0]
    m.admittance = &admittance[0, 0]
    m.row_guess = &row_guess[0, 0]
    if driver_values is not None:
        m.driver_values = &driver_values[0, 0]
        m.driver_slopes = &driver_slopes[0, 0]
        m.driver_points = driver_values.shape[1]
        b.driver_index = &driver_index[0, 0]
    else:
        b.driver_index = NULL
    if sense_values is not None:
        m.sense_values = &sense_values[0, 0]
        m.sense_slopes = &sense_slopes[0, 0]
        m.sense_points = sense_values.shape[1]
        m.sense_index = &sense_index[0]
    m.driver_start, m.driver_step, m.driver_chord, m.sense_start, m.sense_step, m.sense_chord = grids
    m.defect, m.defect_u, m.spread, m.largest = bounds
    m.tolerance = tolerance
    b.count = v.shape[0]
    b.v = &v[0, 0]
    b.currents = &currents[0, 0]
    b.top_currents = &top_currents[0, 0]
    b.row_currents = &row_currents[0, 0]
    b.residual = &residual[0]
    b.extents = &extents[0, 0]
    b.steps = &steps[0]
    b.word = NULL if word is None else &word[0, 0, 0]
    b.bit = NULL if bit is None else &bit[0, 0, 0]
    groups = (v.shape[0] + kernel.lanes - 1) // kernel.lanes
    threads = <int>max(1, min(threads, groups))
    cdef Memory memory = Memory(kernel.memory(&m), threads)
    cdef char *start = memory.start
    size = memory.size
    for group in prange(groups, nogil=True, num_threads=threads, schedule="dynamic"):
        kernel.solve(&m, &b, group, start + size * threadid())
