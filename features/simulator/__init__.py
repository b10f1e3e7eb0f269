"""A chain simulated from a seed: tables to try daypart on, and the truth to hold its forecasts against."""

from features.simulator.chain import Chain, simulate, simulate_blocks
from features.simulator.faults import Drift, Fault, LateData, Outage
from features.simulator.spec import HORIZON_DAYS, ChainSpec

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
