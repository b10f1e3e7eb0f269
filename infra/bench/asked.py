"""The simulated chain that a benchmark is asked to run on."""

import argparse
import os
from dataclasses import replace

from daypart.features.simulator import ChainSpec


def asked(description: str | None, usual: ChainSpec) -> ChainSpec:
    """The usual chain with the size, span and seed of the command line; also sets threads as the command line has it."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("stores", "days", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    # LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return replace(usual, **vars(parser.parse_args()))
