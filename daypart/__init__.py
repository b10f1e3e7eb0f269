"""daypart: hourly, store-level demand forecasts, with what it takes to run them.

`open` returns a home, whose methods are the jobs: `ingest`, `features`, `train`, `forecast`, `backtest`, `monitor`.
`simulate` makes a chain to try them on, `score` scores any forecasts, and `errors` holds what is raised.

Inside, `daypart.features` is what is known before a model, `daypart.forecasting` what a model makes of it, and
`daypart.flows` everything that touches the world. The three are links to the folders of the same name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daypart import errors
    from daypart.flows.api.home import Home
    from daypart.flows.api.home import open_home as open
    from daypart.flows.api.scoring import score
    from daypart.flows.api.simulation import simulate

    __version__: str

__all__ = ["Home", "__version__", "errors", "open", "score", "simulate"]

_PLACES = {
    "Home": ("daypart.flows.api.home", "Home"),
    "open": ("daypart.flows.api.home", "open_home"),
    "score": ("daypart.flows.api.scoring", "score"),
    "simulate": ("daypart.flows.api.simulation", "simulate"),
}
"""Where each name lies. They are imported when first used: the command line's help must not wait for them."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("daypart.errors")
    if name == "__version__":
        return import_module("importlib.metadata").version("daypart")
    if name not in _PLACES:
        raise AttributeError(f"module 'daypart' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
