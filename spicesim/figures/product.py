"""Products of random weights with random inputs on the chip, and their signal-to-noise ratio.

A product goes the whole way of a network's layer: weights become pairs of cells, inputs codes, outputs are converted,
and each is corrected by a digital gain and an offset that were fitted on other inputs. Its error is the difference
from the product of the same numbers in floating point.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from spicesim.arrays import Floats
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import Subject, run_subject
from spicesim.figures.study import Study
from spicesim.network.dataset import Dataset

__all__ = ["Activations", "Product", "draw_inputs", "make_product", "product_model", "step_limit"]

Activations = Literal["uniform", "half normal", "normal"]
"""How inputs are spread: uniform and half normal from 0 up, as after a ReLU, normal with both signs; within 3 sigma."""

OUTPUTS = 8
"""Of a product, as far as columns go."""
TYPICAL = 500
"""Inputs that set ranges, gains and offsets: of few the largest come too late, and clip."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Product:
    """Weights and inputs."""

    weights: Floats
    """(rows, outputs)."""
    inputs: Floats
    """To multiply, (vectors, rows)."""
    typical: Floats
    """Others of their kind, for ranges, gains and offsets, (vectors, rows)."""

    @property
    def exact(self) -> Floats:
        """The product in floating point, (vectors, outputs)."""
        return self.inputs @ self.weights

    def outputs(self, study: Study, plan: RunPlan, *, bits: int | None = None) -> list[Floats]:
        """Return what each chip of a plan makes of it, (vectors, outputs).

        Parameters
        ----------
        study : Study
            Gives the chip.
        plan : RunPlan
            How to run.
        bits : int, optional
            Round inputs to so many bits before they are driven.
        """
        inputs, typical = self.inputs, self.typical
        if bits is not None:
            inputs, typical = (_rounded(x, self.largest, bits) for x in (inputs, typical))
        dataset = Dataset(
            inputs={"x": inputs.astype(np.float32)}, labels=None, calibration_inputs=typical.astype(np.float32)
        )
        subject = Subject.of(product_model(self.weights), dataset, study.calibration)
        found = run_subject(plan, subject, keeping=study.keeping)
        return [np.asarray(one.result.logits, dtype=float) for one in found.experiments]

    @property
    def largest(self) -> float:
        """The largest magnitude of an input."""
        return float(np.abs(self.typical).max())

    def snr_db(self, study: Study, plan: RunPlan, *, bits: int | None = None) -> Floats:
        """Return the variance of outputs over inputs by their mean squared error, for each chip [dB]."""
        exact = self.exact
        power = float(np.var(exact, axis=0).mean())
        errors = [float(np.mean((found - exact) ** 2)) for found in self.outputs(study, plan, bits=bits)]
        return np.asarray(10 * np.log10(power / np.maximum(errors, np.finfo(float).tiny)))


def _rounded(x: Floats, largest: float, bits: int) -> Floats:
    """Round inputs to a grid of so many bits, the sign one of them."""
    steps = 2**bits - 1 if x.min() >= 0 else 2 ** (bits - 1) - 1
    return np.asarray(np.clip(np.rint(x / largest * steps), -steps, steps) / steps * largest)


def draw_inputs(kind: Activations, shape: tuple[int, int], rng: np.random.Generator, zeros: float = 0.0) -> Floats:
    """Draw inputs, some of them 0.

    Parameters
    ----------
    kind : {"uniform", "half normal", "normal"}
        How they are spread.
    shape : tuple of int
        Vectors and rows.
    rng : numpy.random.Generator
        Source of randomness.
    zeros : float
        Share that is 0.
    """
    if kind == "uniform":
        x = rng.random(shape)
    else:
        x = np.clip(rng.standard_normal(shape), -3, 3) / 3
        x = np.abs(x) if kind == "half normal" else x
    return np.asarray(np.where(rng.random(shape) < zeros, 0.0, x))


def make_product(study: Study, rows: int, kind: Activations = "uniform", *, zeros: float = 0.0) -> Product:
    """Draw a product with normal weights, cut at 3 sigma, of as many outputs as the array has pairs for, 8 at most."""
    rng, outputs = study.rng, max(1, min(OUTPUTS, study.calibration.chip.array.columns // 2))
    weights = np.clip(rng.standard_normal((rows, outputs)), -3, 3) / 3
    both = draw_inputs(kind, (study.vectors + TYPICAL, rows), rng, zeros)
    return Product(weights=weights, inputs=both[: study.vectors], typical=both[study.vectors :])


def step_limit(product: Product, study: Study, *, input_bits: int, output_bits: int) -> float:
    """Return the signal-to-noise ratio that the steps of inputs and outputs alone leave [dB].

    Notes
    -----
    A quantiser of B bits adds a step's square over 12, ``SQNR = 6.02 B + 4.77 - PAR`` in dB with the peak-to-average
    ratio PAR, and ratios add up as ``1/SNR = 1/SQNR_in + 1/SQNR_out``: Gonugondla, Sakr, Dbouk and Shanbhag, arXiv
    2012.13645. Here an output is the difference of two columns, so that two conversions err, each over the range that
    the chip's percentile of typical column currents sets; columns hold the lowest conductance besides weights.
    """
    x, w = product.typical, product.weights
    low, high = study.calibration.conductance_range
    scale = (high - low) / np.abs(w).max(axis=0)
    pair = [x @ (low + scale * np.maximum(sign * w, 0.0)) for sign in (1, -1)]
    currents = np.concatenate(pair, axis=1)
    signed = bool((x < 0).any())
    reach = float(np.percentile(np.abs(currents), study.calibration.chip.adc.percentile))
    step_out = reach * (2 if signed else 1) / (2**output_bits - 1)
    signal = np.var(pair[0] - pair[1], axis=0)
    noise_out = 2 * step_out**2 / 12
    step_in = product.largest * (2 if signed else 1) / (2**input_bits - 1)
    noise_in = step_in**2 / 12 * ((scale * w) ** 2).sum(axis=0)
    # outputs are weighed as the product has them, each in units of its weights
    shares = (np.array([np.mean(signal / scale**2), np.mean((noise_out + noise_in) / scale**2)])).tolist()
    return float(10 * np.log10(shares[0] / shares[1]))


def product_model(weights: Floats) -> onnx.ModelProto:
    """Return a network of one product."""
    rows, outputs = weights.shape
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "product",
        [value("x", onnx.TensorProto.FLOAT, ["batch", rows])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", outputs])],
        [onnx.numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
