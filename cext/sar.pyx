"""Codes of successive-approximation converters: the curve of the input, and the step that it lies on."""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    CHUNK = 256  # conversions at a time: each pass is one plain loop


cdef inline int64_t find_step(const double *steps, int64_t count, double start, double slope, double top) noexcept nogil:
    """Return how many of the steps, which do not fall, lie below `top`; all of them for NaN.

    `steps` lie between -inf at -1 and two inf. They are nearly even, so what a straight line guesses is right to one
    either way, which three comparisons without a branch settle; what is missed beyond is walked.
    """
    cdef double guess = (top - start) * slope
    cdef double last = <double>(count - 1)
    cdef int64_t found
    guess = guess if guess < last else last  # NaN ends here
    guess = guess if guess > 0.0 else 0.0
    found = <int64_t>guess
    found = found - 1 + (steps[found - 1] < top) + (steps[found] < top) + (steps[found + 1] < top)
    while steps[found] < top:
        found += 1
    while found > 0 and not steps[found - 1] < top:
        found -= 1
    return found if top == top else count


def convert(
    const double[::1] volts,  # (batch x columns,), outputs below the reference
    double middle, double half, double beyond,
    const double[::1] curve,  # (order + 1,)
    const double[:, ::1] steps,  # (converters, codes + 2): -inf, the steps, inf, inf
    const double[:, ::1] lines,  # (converters, 2), first step and steps a volt of the guess
    const int32_t[::1] which,  # (columns,), converter of each column
    int64_t[::1] out,  # OUT (batch x columns,)
):
    """Convert; every operation is that of numpy, in its order, so that codes are the same to the last bit."""
    cdef int64_t columns = which.shape[0], count = steps.shape[1] - 3, total = volts.shape[0]
    cdef int64_t begin = 0, size, i, column = 0
    cdef int order = curve.shape[0] - 1, k
    cdef int32_t own
    cdef double place[CHUNK]
    cdef double top[CHUNK]
    cdef double value
    with nogil:
        while begin < total:
            size = total - begin if total - begin < CHUNK else CHUNK
            for i in range(size):
                value = (-volts[begin + i] - middle) / half
                value = -beyond if value < -beyond else value
                value = beyond if value > beyond else value
                place[i] = value
                top[i] = curve[order] + value * 0.0  # NaN stays
            for k in range(order - 1, -1, -1):
                value = curve[k]
                for i in range(size):
                    top[i] = value + top[i] * place[i]
            for i in range(size):
                own = which[column]
                out[begin + i] = count - find_step(&steps[own, 1], count, lines[own, 0], lines[own, 1], top[i])
                column = column + 1 if column + 1 < columns else 0
            begin = begin + size
