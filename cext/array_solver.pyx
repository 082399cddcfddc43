"""Loop over groups of vectors; the physics is in the headers, the checks in spicesim.crossbar."""

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free


cdef port_tables ports(tuple tables):
    """View (values, slopes, start, step) as the kernel does; the tuple must outlive the view."""
    cdef port_tables p
    cdef const double[:, ::1] values = tables[0]
    cdef const double[:, ::1] slopes = tables[1]
    p.values = NULL if values is None else &values[0, 0]
    p.slopes = NULL if slopes is None else &slopes[0, 0]
    p.points = 0 if values is None else values.shape[1]
    p.start = tables[2]
    p.step = tables[3]
    return p


def solve_batch(
    const double[:, ::1] v,  # IN (batch, rows), batch > 0
    const double[:, ::1] r_word, const double[:, ::1] r_bit,  # IN (rows, columns)
    const double[::1] r_driver, const double[::1] r_sense,  # IN (rows,), (columns,)
    const double[:, :, :, ::1] coefficients, int folds, double kappa,  # IN (rows, columns, v_terms, u_terms)
    tuple selector,  # i0, v0; zeros for none
    tuple limits,  # v_low, v_high, u_low, u_high
    tuple drivers, const int64_t[:, ::1] driver_index,  # IN (values, slopes, start, step); (batch, rows) or None
    tuple senses, const int64_t[::1] sense_index,  # IN the same; (columns,)
    const double[:, ::1] mask,  # IN (batch, rows) 0 or 1, or None
    double tolerance, int newton_limit, int threads,
    double[:, ::1] currents, double[:, ::1] row_currents,  # OUT (batch, columns), (batch, rows)
    double[::1] residual, double[:, ::1] extents,  # OUT (batch,), (batch, 4)
    int64_t[::1] steps, int64_t[:, ::1] worst,  # OUT (batch,), (batch, 3)
    double[:, :, ::1] cell_voltages, double[:, :, ::1] bit_line_voltages,  # OUT (batch, rows, columns) or None
):
    """Solve a batch of input vectors; see array_solver.h."""
    cdef array_model m
    cdef batch_arrays b
    cdef int64_t group, groups = (v.shape[0] + LANES - 1) // LANES
    cdef int t, allocated = 1, biased
    cdef workspace *work
    m.wires.rows = <int>r_word.shape[0]
    m.wires.columns = <int>r_word.shape[1]
    m.wires.r_word = &r_word[0, 0]
    m.wires.r_bit = &r_bit[0, 0]
    m.wires.r_driver = &r_driver[0]
    m.wires.r_sense = &r_sense[0]
    m.cell.coefficients = &coefficients[0, 0, 0, 0]
    m.cell.v_terms = <int>coefficients.shape[2]
    m.cell.folds = folds
    m.cell.u_terms = <int>coefficients.shape[3]
    m.cell.kappa = kappa
    m.cell.i0, m.cell.v0 = selector
    m.cell.v_low, m.cell.v_high, m.cell.u_low, m.cell.u_high = limits
    biased = m.cell.u_terms > 1 or m.cell.u_low > -INFINITY or m.cell.u_high < INFINITY
    m.drivers = ports(drivers)
    m.senses = ports(senses)
    m.sense_index = &sense_index[0]
    m.tolerance = tolerance
    m.newton_limit = newton_limit
    b.count = v.shape[0]
    b.v = &v[0, 0]
    b.driver_index = NULL if driver_index is None else &driver_index[0, 0]
    b.mask = NULL
    if mask is not None:
        b.mask = &mask[0, 0]
    b.currents = &currents[0, 0]
    b.row_currents = &row_currents[0, 0]
    b.residual = &residual[0]
    b.extents = &extents[0, 0]
    b.steps = &steps[0]
    b.worst = &worst[0, 0]
    b.cell_voltages = NULL if cell_voltages is None else &cell_voltages[0, 0, 0]
    b.bit_line_voltages = NULL if bit_line_voltages is None else &bit_line_voltages[0, 0, 0]
    threads = <int>max(1, min(threads, groups))
    work = <workspace *>calloc(threads, sizeof(workspace))
    if work == NULL:
        raise MemoryError
    for t in range(threads):
        allocated &= workspace_allocate(&work[t], m.wires.rows, m.wires.columns, biased)
    if allocated:
        for group in prange(groups, nogil=True, num_threads=threads, schedule="dynamic"):
            solve_batch_group(&m, &work[threadid()], &b, group)
    for t in range(threads):
        free(work[t].memory)
    free(work)
    if not allocated:
        raise MemoryError(f"no memory for the fields of {threads} threads; use fewer threads")
