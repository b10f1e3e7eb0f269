"""Independent random streams, and stationary Gaussian paths."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ASPECTS = (
    "stores", "refits", "openings", "local events", "promotions", "chain promotions", "prices", "wander",
    "macro", "temperature", "rain", "wind", "forecast", "region days", "store days", "orders", "tickets",
    "labor", "faults",
)  # fmt: skip
"""Each aspect has its own stream. Only ever append: the position is part of the stream's seed."""


def stream(seed: int, aspect: str, item: int = 0) -> np.random.Generator:
    """Return the generator of one aspect (and item of it), independent of every other aspect and item."""
    key = (ASPECTS.index(aspect), item)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def gaussian_paths(rng: np.random.Generator, rows: int, steps: int, memory: float, order: int = 1) -> Array:
    """Return Gaussian paths of mean 0 and variance 1, (rows, steps), that forget over `memory` steps.

    An autoregressive process of order 1 (or 2 with equal roots, which is smooth), drawn in the frequency
    domain: white noise times the root of the process's spectrum.
    """
    padded = steps + int(6 * memory)
    root = np.exp(-1.0 / memory)
    frequency = 2 * np.pi * np.arange(padded // 2 + 1) / padded
    gain = np.abs(1 - root * np.exp(-1j * frequency)) ** -order
    twice = np.concatenate([gain, gain[1 : (padded + 1) // 2]])
    gain /= np.sqrt(np.mean(twice**2))
    white = np.fft.rfft(rng.standard_normal((rows, padded)), axis=1)
    return np.fft.irfft(white * gain, n=padded, axis=1)[:, :steps]
