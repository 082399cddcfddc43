"""One bit line: what wire resistance takes from it, against the closed form."""

import numpy as np

import spicesim


def main() -> None:
    """Print the current of a column against its length, with and without wires."""
    g, v, r = 50e-6, 0.2, 1.0
    print("cells   ideal [uA]   with 1 ohm a segment [uA]   closed form [uA]")
    for cells in (8, 32, 128, 512):
        (current,) = spicesim.Crossbar(np.full((cells, 1), g), r_bit_line=r).currents(np.full(cells, v))
        t = np.arccosh(1 + r * g / 2)
        closed = v / r * (1 - np.cosh((cells - 0.5) * t) / np.cosh((cells + 0.5) * t))
        print(f"{cells:5d} {1e6 * cells * g * v:12.2f} {1e6 * current:26.4f} {1e6 * closed:18.4f}")
        np.testing.assert_allclose(current, closed, rtol=1e-9)


if __name__ == "__main__":
    main()
