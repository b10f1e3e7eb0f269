"""Opens the engine that the settings choose: this process or a Dask cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from daypart.features.errors import InputError
from daypart.flows.compute.meter import Meter
from daypart.flows.config.settings import Settings
from daypart.forecasting.models.engine import Engine, Local


@contextmanager
def open_engine(settings: Settings) -> Iterator[Callable[[Meter], Engine]]:
    """Yield a function that makes the engine for a job's meter. A Dask cluster lives as long as the block.

    Raises InputError if Dask is not installed, and for a cluster that cannot do the work.
    """
    if settings.engine == "local":
        yield Local
        return
    try:
        from daypart.flows.compute import cluster
    except ModuleNotFoundError as missing:
        if missing.name not in ("dask", "distributed"):
            raise
        raise InputError(
            f"the engine dask needs the package {missing.name}: run pip install 'daypart[cluster]'"
        ) from None
    with cluster.open_cluster(settings) as make_engine:
        yield make_engine


@contextmanager
def open_engines(settings: Settings, names: Sequence[str]) -> Iterator[dict[str, Callable[[Meter], Engine]]]:
    """Yield the named engines that differ from the engine of the settings, each as `open_engine` yields it."""
    with ExitStack() as stack:
        variants = {name: settings.model_copy(update={"engine": name}) for name in names if name != settings.engine}
        yield {name: stack.enter_context(open_engine(variant)) for name, variant in variants.items()}
