"""A chain simulated from a seed: tables to try daypart on, and the truth to compare its forecasts with.

Start with `simulated_chain`. `ChainSpec` says what to simulate, `faults` what to plant.
"""

from daypart.features.simulator.faults import Drift, Fault, LateData, Outage
from daypart.features.simulator.simulated_chain import Chain, simulate, simulate_blocks
from daypart.features.simulator.spec import HORIZON_DAYS, ChainSpec

__all__ = [
    "HORIZON_DAYS",
    "Chain",
    "ChainSpec",
    "Drift",
    "Fault",
    "LateData",
    "Outage",
    "simulate",
    "simulate_blocks",
]
