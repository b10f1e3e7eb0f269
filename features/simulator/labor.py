"""Person-hours: scheduled ahead from usual demand, and worked on the day."""

import numpy as np

from daypart.features.simulator.noise import Array, Index, stream
from daypart.features.simulator.spec import ChainSpec

ORDERS_A_PERSON = 12.0
"""Orders that one person serves in an hour."""

WAGE, WAGE_RISE = 15.0, 0.03


def scheduled_hours(usual: Array) -> Array:
    """Return one person to keep the door and one for every so many usual orders, in half hours."""
    return np.asarray(np.ceil(2 * (1 + usual / ORDERS_A_PERSON)) / 2)


def worked_hours(spec: ChainSpec, scheduled: Array, usual: Array, orders: Array, chosen: slice) -> Array:
    """Return hours worked: people stay or go for half of the departure of demand from the usual, with some noise."""
    noise = np.stack(
        [stream(spec.seed, "labor", item).standard_normal(orders.shape[1]) for item in range(spec.stores)[chosen]]
    )
    met = scheduled + 0.5 * (orders - usual) / ORDERS_A_PERSON + 0.2 * noise
    return np.asarray(np.round(np.maximum(met, 1.0), 2))


def hourly_wage(day: Index) -> Array:
    """Return the mean wage on days counted from the start, raised once a year."""
    return np.round(WAGE * (1 + WAGE_RISE) ** (day // 365), 2)
