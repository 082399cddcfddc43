"""Codes of uniform converters in one pass over memory; every operation is that of numpy, so codes are the same."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

cdef double MAGIC = 6755399441055744.0  # 1.5 x 2^52: added to a small number, its low bits are the nearest integer's


cdef inline int64_t bits_of(double value) noexcept nogil:
    cdef int64_t found
    memcpy(&found, &value, sizeof(found))
    return found


def input_codes(
    const double[:, ::1] values,  # (batch, rows)
    const double[::1] scales,  # (batch,), positive: numbers that take a full span
    double steps, double lowest, int64_t zero, int64_t last,  # `lowest` in units of the scale
    int64_t[:, ::1] out,  # OUT (batch, rows)
):
    """Fill `out`; return how many numbers are beyond the converter's range by over half a step, and if any is NaN."""
    cdef Py_ssize_t batch = values.shape[0], rows = values.shape[1], i, j
    cdef double low = -<double>zero, high = <double>(last - zero), value, scale, bottom, top
    cdef int64_t shift = zero - bits_of(MAGIC), beyond = 0, broken = 0
    with nogil:
        for i in range(batch):
            scale = scales[i]
            bottom = lowest * scale - scale / steps / 2
            top = scale - scale / steps / 2
            for j in range(rows):
                value = values[i, j]
                beyond += (value < bottom) | (value > top)
                broken += value != value
                value = value / scale * steps
                value = value if value > low else low
                value = value if value < high else high
                out[i, j] = bits_of(value + MAGIC) + shift
    return beyond, broken > 0


def output_volts(
    const double[:, ::1] volts,  # (batch, columns)
    double low, double lsb, int64_t last, double middle, double reach,
    double[:, ::1] out,  # OUT (batch, columns)
):
    """Fill `out` with what the codes of outputs stand for; return how many outputs are further than `reach` from `middle`."""
    cdef Py_ssize_t batch = volts.shape[0], columns = volts.shape[1], i, j
    cdef double value, high = <double>last
    cdef int64_t beyond = 0
    with nogil:
        for i in range(batch):
            for j in range(columns):
                value = volts[i, j] - middle
                beyond += (value > reach) | (-value > reach)
                value = (volts[i, j] - low) / lsb
                value = value if value > 0.0 else 0.0
                value = value if value < high else high
                out[i, j] = low + ((value + MAGIC) - MAGIC) * lsb
    return beyond
