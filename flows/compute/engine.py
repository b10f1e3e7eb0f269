"""The engine that settings ask for: this process or a Dask cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from daypart.features.errors import InputError
from daypart.flows.compute.meter import Meter
from daypart.flows.config.settings import Settings
from daypart.forecasting.models.engine import Engine, Local


@contextmanager
def opened(settings: Settings) -> Iterator[Callable[[Meter], Engine]]:
    """What makes an engine for a job's meter, while a cluster is there if one was asked for.

    Raises InputError where Dask is not installed, and for a cluster that could not do the work.
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
    with cluster.opened(settings) as make_engine:
        yield make_engine


@contextmanager
def by_name(settings: Settings, names: Sequence[str]) -> Iterator[dict[str, Callable[[Meter], Engine]]]:
    """The named engines that are not the settings' own, as `opened` has them."""
    with ExitStack() as stack:
        variants = {name: settings.model_copy(update={"engine": name}) for name in names if name != settings.engine}
        yield {name: stack.enter_context(opened(other)) for name, other in variants.items()}
