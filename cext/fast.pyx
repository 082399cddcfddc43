"""The fast tier: polynomials in inputs and features by matrix products, and its ports; see README.md."""

import numpy as np
from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from scipy.linalg.cython_blas cimport dgemm, sgemm

cdef extern from "fast.h" nogil:
    double fast_powers_of_doubles(int, int, int, const double *, double, double, float *) noexcept
    double fast_powers_of_floats(int, int, int, const float *, double, double, float *) noexcept
    void fast_add(int, int, int, const int32_t *, const float *, const float *, const float *, float *) noexcept
    void fast_add_row(int, int, const float *, float *) noexcept
    void fast_feet_row(int, int, int, int, int, const float *, const float *, float, double *) noexcept
    void fast_store_doubles(int64_t, const float *, double *) noexcept
    ctypedef struct plane_adders:
        int planes, columns, orders
        double mine, v_line, v_sum
        const double *left
        const double *alone
        const double *law
        const double *joins
        const double *stored
        const double *before
    void fast_planes_row(const plane_adders *, const double *, int64_t, double *, double *) noexcept

cdef extern from "fast_ports.h" nogil:
    ctypedef struct port_tables:
        const double *values
        const double *slopes
        int64_t points
        double start
        double step
    ctypedef struct fast_sense:
        port_tables table
        int each
        const double *offset
        const double *slope
        double low
        double high
    ctypedef struct fast_readout:
        port_tables input
        port_tables output
        const int64_t *index
        const double *lift
        double low
        double high
    double fast_interpolate(const port_tables *, int64_t, double) noexcept
    double fast_couple_row(const fast_sense *, int, const double *, const float *, const float *, const double *,
                           const double *, const double *, double *, double *) noexcept
    double fast_turn_row(int, const double *, const double *, const double *, int, double *, double *) noexcept
    int fast_load_row(int, const port_tables *, const int64_t *, const int64_t *, double, double, const double *,
                      const float *, const float *, double *, double *) noexcept
    int fast_read_row(const fast_readout *, int, const double *, double *) noexcept

cdef extern from "fast_cells.h" nogil:
    ctypedef struct fast_cells:
        int rows, columns, v_terms, folds, u_terms, followed
        double kappa
        double v_low, v_high, u_low, u_high
        const double *coefficients
        const double *slope
        const double *bias_slope
        const double *origin
        const double *v
        const double *u
        const double *own_v
        const double *own_u
        const double *r_word
        const double *r_driver
    void fast_cells_row(const fast_cells *, int, const double *, const double *, double *) noexcept
    void fast_beyond_row(const fast_cells *, int, const double *, const double *, double, int, const float *,
                         double *, float *) noexcept

cdef enum:
    CHUNK = 256  # vectors at a time: their powers stay in the cache, and results do not depend on the threads


cdef void multiply(int count, int inner, int columns, int stride, const float *x, const float *w, float *out) noexcept nogil:
    """Out (count, columns) = the first `inner` columns of x (count, stride), times w (inner, columns)."""
    cdef float one = 1.0, zero = 0.0
    sgemm(b"N", b"N", &columns, &count, &inner, &one, <float *>w, &columns, <float *>x, &stride, &zero, out, &columns)


cdef void evaluate_chunk(
    int count, int rows, int columns, int rank, int terms, int highest,
    const float *x, const float *features, const int32_t *exponents, const int32_t *orders,
    const float *constants, const float *weights,
    float *q, float *product, float *total,
) noexcept nogil:
    """Fill total (count, columns). The first term is the polynomial in the inputs alone, of order 1 at least."""
    cdef int t, order
    if rank:
        multiply(count, rows, rank * columns, highest * rows, x, features, q)
    for t in range(terms):
        order = orders[t]
        if order:
            multiply(count, order * rows, columns, highest * rows, x, weights, total if t == 0 else product)
            weights = weights + <int64_t>order * rows * columns
        if t == 0:
            fast_add_row(count, columns, constants, total)
        else:
            fast_add(count, columns, rank, exponents + t * rank, constants + t * columns,
                     product if order else NULL, q, total)


def evaluate(
    const floating[:, ::1] v,  # IN (batch, rows), batch > 0 [V]
    double centre, double half,  # IN [V]
    const float[::1] features,  # IN (rows, rank, columns)
    const int32_t[:, ::1] exponents,  # IN (terms, rank + 1), the last of no meaning
    const int32_t[::1] orders,  # IN (terms,)
    const float[:, ::1] constants,  # IN (terms, columns)
    const float[::1] weights,  # IN (order * rows, columns) for each term
    int threads,
    floating[:, ::1] out,  # OUT (batch, columns) [A]
):
    """Fill out; return the largest distance of an input from the centre, in halves of the range."""
    cdef int64_t batch = v.shape[0], first
    cdef int rows = <int>v.shape[1], columns = <int>out.shape[1], terms = <int>orders.shape[0]
    cdef int rank = <int>exponents.shape[1] - 1, highest = 1, count, t, chunk
    cdef int chunks = <int>((batch + CHUNK - 1) // CHUNK)
    cdef int32_t *powers = NULL
    cdef size_t size
    cdef float *memory
    cdef float *work
    cdef float *total
    cdef double *largest
    for t in range(terms):
        highest = max(highest, orders[t])
    threads = max(1, min(threads, chunks))
    size = <size_t>CHUNK * (highest * <size_t>rows + (rank + 2) * <size_t>columns)
    memory = <float *>malloc(threads * size * sizeof(float))
    largest = <double *>malloc(chunks * sizeof(double))
    powers = <int32_t *>malloc((terms * rank + 1) * sizeof(int32_t))
    if memory == NULL or largest == NULL or powers == NULL:
        free(memory)
        free(largest)
        free(powers)
        raise MemoryError
    for t in range(terms):
        for count in range(rank):
            powers[t * rank + count] = exponents[t, count]
    for chunk in prange(chunks, nogil=True, num_threads=threads, schedule="dynamic"):
        first = <int64_t>chunk * CHUNK
        count = <int>min(<int64_t>CHUNK, batch - first)
        work = memory + threadid() * size
        if floating is double:
            largest[chunk] = fast_powers_of_doubles(count, rows, highest, &v[first, 0], centre, half, work)
        else:
            largest[chunk] = fast_powers_of_floats(count, rows, highest, &v[first, 0], centre, half, work)
        if floating is double:
            total = work + CHUNK * (highest * rows + (rank + 1) * columns)
        else:
            total = &out[first, 0]
        evaluate_chunk(
            count, rows, columns, rank, terms, highest, work, &features[0] if rank else NULL, powers, &orders[0],
            &constants[0, 0], &weights[0], work + CHUNK * (highest * rows),
            work + CHUNK * (highest * rows + rank * columns), total,
        )
        if floating is double:
            fast_store_doubles(<int64_t>count * columns, total, &out[first, 0])
    reached = 0.0
    for chunk in range(chunks):
        reached = largest[chunk] if not largest[chunk] <= reached else reached  # a NaN stays
        if reached != reached:
            break
    free(memory)
    free(largest)
    free(powers)
    return reached


def feet(
    const float[:, ::1] sums,  # IN (batch, (terms + rank + tilts rank) columns), batch > 0, of halves of the range
    int rank, int terms, int tilts, int steps,  # IN terms <= 16, tilts <= terms
    const float[::1] middle, float half,  # IN (columns,) [V]
    int threads,
    double[:, ::1] out,  # OUT (batch, columns) [V]
):
    """Fill out with the voltages of open feet, each from its own equation."""
    cdef int64_t k, batch = sums.shape[0]
    cdef int columns = <int>middle.shape[0]
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        fast_feet_row(columns, rank, terms, tilts, steps, &sums[k, 0], &middle[0], half, &out[k, 0])


def add_planes(
    const double[:, :, ::1] feet,  # IN (planes, batch, columns), batch > 0, finite [V]
    const double[::1] left, const double[::1] alone,  # IN (columns,)
    double mine, double v_line, double v_sum,  # IN [1], [V], [V]
    const double[:, ::1] law,  # IN (orders, columns) [V]
    const double[:, :, ::1] joins,  # IN (4, 4, columns) [V]
    const double[::1] stored, const double[::1] before,  # IN (columns,) [V]
    int threads,
    double[:, ::1] out,  # OUT (batch, columns) [V]
):
    """Fill out with sums of planes; return the largest voltages of a line and of a capacitor."""
    cdef plane_adders a
    cdef int64_t k, batch = feet.shape[1], stride = feet.shape[1] * feet.shape[2]
    cdef double[:, ::1] largest = np.zeros((batch, 2))
    a.planes = <int>feet.shape[0]
    a.columns = <int>feet.shape[2]
    a.orders = <int>law.shape[0]
    a.mine = mine
    a.v_line = v_line
    a.v_sum = v_sum
    a.left = &left[0]
    a.alone = &alone[0]
    a.law = &law[0, 0]
    a.joins = &joins[0, 0, 0]
    a.stored = &stored[0]
    a.before = &before[0]
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        fast_planes_row(&a, &feet[0, k, 0], stride, &out[k, 0], &largest[k, 0])
    return np.max(largest[:, 0]), np.max(largest[:, 1])


cdef port_tables ports(const double[:, ::1] values, const double[:, ::1] slopes, double start, double step) noexcept:
    cdef port_tables p
    p.values = &values[0, 0]
    p.slopes = &slopes[0, 0]
    p.points = values.shape[1]
    p.start = start
    p.step = step
    return p


def interpolate(
    const double[:, ::1] values, const double[:, ::1] slopes, double start, double step,  # IN (tables, points)
    const int64_t[:, ::1] index,  # IN (batch, ports) which table, or None for the first
    const double[:, ::1] x,  # IN (batch, ports), batch > 0
    int threads,
    double[:, ::1] out,  # OUT (batch, ports)
):
    """Fill out with the values of tables at x."""
    cdef port_tables p = ports(values, slopes, start, step)
    cdef int64_t k, batch = x.shape[0]
    cdef int j, columns = <int>x.shape[1], indexed = index is not None
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        for j in range(columns):
            out[k, j] = fast_interpolate(&p, index[k, j] if indexed else 0, x[k, j])


def open_voltages(
    const double[:, :] table,  # IN (rows, codes) unloaded voltages [V]; rows that are alike may be one, of stride 0
    const int64_t[:, ::1] codes,  # IN (batch, rows), batch > 0, of the table
    double centre,  # IN [V]
    int threads,
    float[:, ::1] out,  # OUT (batch, rows) [V]
):
    """Fill out with the unloaded voltages of codes, from the centre on."""
    cdef int64_t k, batch = codes.shape[0]
    cdef int i, rows = <int>codes.shape[1]
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        for i in range(rows):
            out[k, i] = table[i, codes[k, i]] - centre


def load(
    const double[:, ::1] values, const double[:, ::1] slopes, double start, double step,  # IN droops (tables, points)
    const int64_t[:, ::1] codes, const int64_t[::1] first,  # IN (batch, rows), batch > 0, (rows,): add up to a table
    double r_out, double centre, const double[::1] more,  # IN [ohm], [V], (rows,) [A]
    const float[:, ::1] open,  # IN (batch, rows) unloaded, from the centre on [V]
    const float[:, ::1] taken,  # IN (batch, rows) by the array, without `more` [A]
    int threads,
    double[:, ::1] delivered,  # OUT (batch, rows) [A]
    double[:, ::1] v,  # OUT (batch, rows) sources behind r_out [V]
):
    """Load the drivers; return how many leave their tables."""
    cdef port_tables p = ports(values, slopes, start, step)
    cdef int64_t k, batch = codes.shape[0], outside = 0
    cdef int rows = <int>codes.shape[1]
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        outside += fast_load_row(rows, &p, &codes[k, 0], &first[0], r_out, centre, &more[0], &open[k, 0],
                                 &taken[k, 0], &delivered[k, 0], &v[k, 0])
    return outside


def turn(
    const double[:, ::1] values, const double[:, ::1] slopes, double start, double step,  # IN (1 or columns, points)
    const double[::1] offsets, const double[::1] resistances,  # IN linear terminals, one a table [V], [ohm]
    double low, double high,  # IN where the polynomials hold [V]
    const double[:, ::1] polynomials,  # IN (3, columns)
    const float[:, :, ::1] tilts,  # IN (2, batch, columns) to add to the first two coefficients, or None
    const double[::1] y, const double[::1] inverse,  # IN (columns,) [S], [ohm]
    const double[:, ::1] others,  # IN (columns, columns), its diagonal 0 [S]
    const double[:, ::1] felt,  # IN (batch, columns) share of what others take that is taken, or None for all
    const double[:, ::1] linear,  # IN (batch, columns), batch > 0, with linear terminals [A]
    int known,  # IN whether `past` is that of the turn before
    int threads,
    double[:, :, ::1] past,  # OUT (batch, 2, columns) for the next turn [A], or None
    double[:, ::1] wanted,  # IN (batch, columns) what each column is solved for, OUT for the next turn [A]
    double[:, ::1] current,  # IN a guess, OUT (batch, columns) [A]
    double[:, ::1] rise,  # OUT (batch, columns) [V]
    double[:, ::1] changes,  # OUT (batch, 2): largest change of what is wanted [A], largest rise [V]
):
    """Solve each column by itself, coupled to its terminal, and tell what that makes of the others."""
    cdef fast_sense sense
    cdef int64_t k, first, last, batch = linear.shape[0]
    cdef int columns = <int>linear.shape[1], tilted = tilts is not None, feels = felt is not None
    cdef int keeps = past is not None, count, chunk
    cdef int chunks = <int>((batch + CHUNK - 1) // CHUNK)
    cdef double one = 1.0, zero = 0.0
    cdef double *memory
    cdef double *taken
    sense.table = ports(values, slopes, start, step)
    sense.each = values.shape[0] > 1
    sense.offset = &offsets[0]
    sense.slope = &resistances[0]
    sense.low = low
    sense.high = high
    threads = max(1, min(threads, chunks))
    memory = <double *>malloc(threads * <size_t>CHUNK * columns * sizeof(double))
    if memory == NULL:
        raise MemoryError
    for chunk in prange(chunks, nogil=True, num_threads=threads, schedule="dynamic"):
        first = <int64_t>chunk * CHUNK
        last = min(first + CHUNK, batch)
        count = <int>(last - first)
        taken = memory + threadid() * <int64_t>CHUNK * columns
        for k in range(first, last):
            changes[k, 1] = fast_couple_row(
                &sense, columns, &polynomials[0, 0], &tilts[0, k, 0] if tilted else NULL,
                &tilts[1, k, 0] if tilted else NULL, &y[0], &inverse[0], &wanted[k, 0], &current[k, 0], &rise[k, 0])
        dgemm(b"N", b"N", &columns, &count, &columns, &one, <double *>&others[0, 0], &columns, &rise[first, 0],
              &columns, &zero, taken, &columns)
        for k in range(first, last):
            changes[k, 0] = fast_turn_row(columns, &linear[k, 0], taken + (k - first) * columns,
                                          &felt[k, 0] if feels else NULL, known,
                                          &past[k, 0, 0] if keeps else NULL, &wanted[k, 0])
    free(memory)


def read_out(
    const double[:, ::1] values, const double[:, ::1] slopes, double start, double step,  # IN inputs (tables, points)
    const double[:, ::1] put_out, const double[:, ::1] rises, double begin, double apart,  # IN outputs, the same
    const int64_t[::1] index,  # IN (columns,) table of each column
    const double[::1] lift, double low, double high,  # IN (columns,) [ohm]; of bit lines [V]
    const double[:, ::1] currents,  # IN (batch, columns), batch > 0 [A]
    int threads,
    double[:, ::1] out,  # OUT (batch, columns) [V]
):
    """Fill out with the outputs; return 0 if no column leaves its tables or limits."""
    cdef fast_readout r
    cdef int64_t k, batch = currents.shape[0], outside = 0
    cdef int columns = <int>currents.shape[1]
    r.input = ports(values, slopes, start, step)
    r.output = ports(put_out, rises, begin, apart)
    r.index = &index[0]
    r.lift = &lift[0]
    r.low = low
    r.high = high
    for k in prange(batch, nogil=True, num_threads=threads, schedule="static"):
        outside += fast_read_row(&r, columns, &currents[k, 0], &out[k, 0])
    return outside


def cells(
    const double[:, :, :, ::1] coefficients, int folds, double kappa,  # IN (rows, v_terms, u_terms, columns)
    const double[:, ::1] v, const double[:, ::1] u,  # IN (rows, columns) [V]
    double[:, ::1] out,  # OUT (rows, columns) [A]
):
    """Fill out with the currents of cells."""
    cdef fast_cells c
    cdef int i
    c.rows, c.v_terms = <int>coefficients.shape[0], <int>coefficients.shape[1]
    c.u_terms, c.columns = <int>coefficients.shape[2], <int>coefficients.shape[3]
    c.folds = folds
    c.kappa = kappa
    c.coefficients = &coefficients[0, 0, 0, 0]
    with nogil:
        for i in range(c.rows):
            fast_cells_row(&c, i, &v[i, 0], &u[i, 0], &out[i, 0])


def beyond(
    const double[:, :, :, ::1] coefficients, int folds, double kappa,  # IN (rows, v_terms, u_terms, columns)
    tuple limits,  # IN of V and u, low and high [V]
    const double[:, :, ::1] parts,  # IN (7, rows, columns): slope, slope in u, origin; V, u there; own V and u
    const double[:, ::1] r_word, const double[::1] r_driver,  # IN (rows, columns), (rows,); or None
    const double[:, ::1] v, const double[:, ::1] u,  # IN (rows, columns) without the own input [V]
    const double[::1] x,  # IN (count,) own inputs [V]
    const float[:, ::1] start,  # IN (rows, columns) currents beyond the slopes, to begin with; or None
    int turns, int threads,
    float[:, :, ::1] out,  # OUT (count, rows, columns) [A]
):
    """Fill out with what cells carry beyond their slopes, given what they make drop along their word line."""
    cdef fast_cells c
    cdef int i, k, count = <int>x.shape[0]
    cdef const float *begin = NULL
    cdef double *memory
    c.rows, c.v_terms = <int>coefficients.shape[0], <int>coefficients.shape[1]
    c.u_terms, c.columns = <int>coefficients.shape[2], <int>coefficients.shape[3]
    c.folds = folds
    c.kappa = kappa
    c.v_low, c.v_high, c.u_low, c.u_high = limits
    c.coefficients = &coefficients[0, 0, 0, 0]
    c.slope, c.bias_slope, c.origin = &parts[0, 0, 0], &parts[1, 0, 0], &parts[2, 0, 0]
    c.v, c.u, c.own_v, c.own_u = &parts[3, 0, 0], &parts[4, 0, 0], &parts[5, 0, 0], &parts[6, 0, 0]
    c.followed = r_word is not None
    c.r_word = &r_word[0, 0] if c.followed else NULL
    c.r_driver = &r_driver[0] if c.followed else NULL
    if start is not None:
        begin = &start[0, 0]
    threads = max(1, min(threads, c.rows))
    memory = <double *>malloc(threads * 2 * <size_t>c.columns * sizeof(double))
    if memory == NULL:
        raise MemoryError
    for i in prange(c.rows, nogil=True, num_threads=threads, schedule="static"):
        for k in range(count):
            fast_beyond_row(&c, i, &v[i, 0], &u[i, 0], x[k], turns, begin,
                            memory + threadid() * 2 * <int64_t>c.columns, &out[k, i, 0])
    free(memory)
