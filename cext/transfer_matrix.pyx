"""The transfer matrix of an array of linear cells by block elimination over columns; see README.md."""

from libc.math cimport sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from scipy.linalg.cython_blas cimport dsymm, dsyrk, dtrsm
from scipy.linalg.cython_lapack cimport dpotrf


cdef void add_bit_line(
    int rows, int columns, int j,
    const double *g, const double *r_bit, double r_sense,
    double *a,  # IN/OUT (rows, rows), upper triangle of C order
    double *out,  # OUT (rows,)
    double *up, double *ratio, double *down,  # scratch (rows,)
) noexcept nogil:
    """Add to `a` the admittance between the word-line nodes of column j; `out`: its current into the sense node.

    Every number is a product or a quotient of positive sums, so nothing cancels and any resistance may be zero.
    """
    cdef int i, k
    cdef double load, impedance, share, fraction, through
    load = 0.0
    for i in range(rows):  # admittance of what hangs above node i, and voltage of node i as a share of node i + 1
        up[i] = load
        load = load + g[i * columns + j]
        ratio[i] = 1.0 / (1.0 + r_bit[i * columns + j] * load)
        load = load * ratio[i]
    impedance = r_sense
    through = 1.0  # share of the current that leaves node i downwards and arrives at the sense node
    for i in range(rows - 1, -1, -1):
        impedance = impedance + r_bit[i * columns + j]
        down[i] = impedance  # from node i to the virtual ground, cell i apart
        share = 1.0 / (1.0 + impedance * (up[i] + g[i * columns + j]))
        out[i] = g[i * columns + j] * share * through
        fraction = 1.0 / (1.0 + impedance * g[i * columns + j])
        through = through * fraction
        impedance = impedance * fraction
    for i in range(rows):
        load = g[i * columns + j]
        share = 1.0 / (1.0 + down[i] * (up[i] + load))
        a[i * rows + i] += load * (1.0 + down[i] * up[i]) * share
        fraction = load * down[i] * share  # voltage of node i for 1 V on word line i
        for k in range(i - 1, -1, -1):
            fraction = fraction * ratio[k]
            a[k * rows + i] -= g[k * columns + j] * fraction


def transfer_matrix(
    const double[:, ::1] g, const double[:, ::1] r_word, const double[:, ::1] r_bit,  # IN (rows, columns)
    const double[::1] r_driver, const double[::1] r_sense,  # IN (rows,), (columns,)
    double[:, ::1] t,  # OUT (columns, rows)
):
    """Fill t; return 0, or LAPACK's complaint.

    From the right: `a` is the admittance seen from the word-line nodes of a column to the right, t the currents of the
    columns from there on for voltages at these nodes. One step to the left passes the segments of resistance R = S S:
    a := a - X' X and t := t - t R a, where X = L^-1 S a and L L' = 1 + S a S.
    """
    cdef int rows = <int>g.shape[0], columns = <int>g.shape[1], j, i, k, count, info = 0
    cdef size_t square = <size_t>rows * rows
    cdef double *memory = <double *>malloc((3 * square + <size_t>columns * rows + 4 * <size_t>rows) * sizeof(double))
    cdef double *a = memory
    cdef double *m = a + square
    cdef double *x = m + square
    cdef double *scaled = x + square
    cdef double *s = scaled + <size_t>columns * rows
    cdef double one = 1.0, minus = -1.0, resistance, greatest
    if memory == NULL:
        raise MemoryError
    with nogil:
        memset(a, 0, square * sizeof(double))
        for j in range(columns - 1, -1, -1):
            add_bit_line(rows, columns, j, &g[0, 0], &r_bit[0, 0], r_sense[j], a, &t[j, 0],
                         s + rows, s + 2 * rows, s + 3 * rows)
            greatest = 0.0
            for i in range(rows):
                resistance = r_word[i, j] + (r_driver[i] if j == 0 else 0.0)
                s[i] = sqrt(resistance)
                greatest = max(greatest, resistance)
            if greatest == 0.0:
                continue
            for i in range(rows):  # both triangles of a; x = S a, m = 1 + S a S
                for k in range(i):
                    a[i * rows + k] = a[k * rows + i]
            for i in range(rows):
                for k in range(rows):
                    x[i * rows + k] = s[i] * a[i * rows + k]
                    m[i * rows + k] = x[i * rows + k] * s[k]
                m[i * rows + i] += 1.0
            # LAPACK reads C order as the transpose: our upper triangle is its lower one
            dpotrf(b"L", &rows, m, &rows, &info)
            if info != 0:
                break
            dtrsm(b"R", b"L", b"T", b"N", &rows, &rows, &one, m, &rows, x, &rows)
            dsyrk(b"L", b"N", &rows, &rows, &minus, x, &rows, &one, a, &rows)
            count = columns - j
            for k in range(count):
                for i in range(rows):
                    scaled[<size_t>k * rows + i] = t[j + k, i] * s[i] * s[i]
            dsymm(b"L", b"L", &rows, &count, &minus, a, &rows, scaled, &rows, &one, &t[j, 0], &rows)
    free(memory)
    return info
