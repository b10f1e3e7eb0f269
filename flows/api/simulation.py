"""A simulated chain to try daypart on, in memory."""

from daypart.features.simulator import simulate as simulate_chain
from daypart.flows.api.results import SimulatedChain
from daypart.flows.jobs.simulate import chain_of

EVERY_DAY = 9999


def simulate(
    stores: int = 48, years: float = 2, seed: int = 7, weather_days: int = EVERY_DAY
) -> SimulatedChain:  # fmt: skip
    """Simulate a chain: stores in the US and Canada with demand, hours, weather, macro-economic and labor data.

    Args:
        stores: 1 to 9,999.
        years: Years of trade, 0.01 to 19.9.
        seed: The same seed gives the same chain.
        weather_days: The last days that have weather, observed and as issued; by default all.

    Returns:
        Its tables, and the truth that demand was drawn from.

    Raises:
        InputError: A size, span or seed is out of range.

    Examples:
        >>> import daypart
        >>> chain = daypart.simulate(stores=2, years=0.1)
        >>> chain.tables["stores"]["store_id"].to_list()
        ['S0001', 'S0002']
    """
    spec = chain_of(stores, years, seed, weather_days, weather_days)
    chain = simulate_chain(spec)
    tables = {name: frame for name, frame in chain.tables.items() if frame.height}
    return SimulatedChain(spec, tables, chain.truth, chain.planted)
