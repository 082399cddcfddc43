"""What arrays of converters have of outputs: cubics of the output, linear between those of two loads."""

from libc.stdint cimport int64_t


cdef inline double cubic(const double *own, double x) noexcept nogil:
    """Return a cubic, highest power first, at `x`."""
    return ((own[0] * x + own[1]) * x + own[2]) * x + own[3]


def receive(
    const double[:, ::1] volts,  # (batch, columns), settled outputs
    const double[::1] places,  # (batch,), 0..nodes - 1: between which loads
    const double[:, :, :, ::1] pieces,  # (nodes, columns, pieces, 4), of the distance from each piece's beginning
    double start, double step,
    double[:, ::1] out,  # OUT (batch, columns)
):
    """Add to outputs what arrays have more; beyond the pieces it is that of their end."""
    cdef int64_t batch = volts.shape[0], columns = volts.shape[1], last = pieces.shape[2] - 1, nodes = pieces.shape[0]
    cdef int64_t i, j, k, node
    cdef double reach = step * <double>(last + 1), slope = 1.0 / step, x, along, error
    with nogil:
        for i in range(batch):
            node = <int64_t>places[i]
            node = node if node < nodes - 1 else nodes - 1
            along = places[i] - <double>node
            for j in range(columns):
                x = volts[i, j] - start
                x = x if x < reach else reach  # NaN ends here, and in the sum below
                x = x if x > 0.0 else 0.0
                k = <int64_t>(x * slope)
                k = k if k < last else last
                x = x - step * <double>k
                error = cubic(&pieces[node, j, k, 0], x)
                if along > 0.0:
                    error = error + along * (cubic(&pieces[node + 1, j, k, 0], x) - error)
                out[i, j] = volts[i, j] + error
