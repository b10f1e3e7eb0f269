"""Command-line options for the simulated chain of a benchmark."""

import argparse
import os
from dataclasses import replace

from daypart.features.simulator import ChainSpec


def parse_chain_spec(description: str | None, default: ChainSpec) -> ChainSpec:
    """Return `default` with the size, span and seed of the command line. Also sets how OpenMP threads wait."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("stores", "days", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    # LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return replace(default, **vars(parser.parse_args()))
