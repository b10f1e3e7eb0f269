"""A portfolio of 160 units: time to list and monitor it, and what tiers save beside one uniform top tier.

python -m infra.bench.loop.unit_portfolio FOLDER [--segments N] [--stores N] [--days N] [--seed N] [--only listing tiers]

`unit_listing`, `unit_monitoring` and `tier_savings` hold the three parts.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from daypart.features.simulator import ChainSpec
from infra.bench.harness.results import write_text
from infra.bench.loop.tier_savings import tier_savings
from infra.bench.loop.unit_listing import listing_seconds
from infra.bench.loop.unit_monitoring import monitor_seconds

PORTFOLIO_PARTS = ("listing", "watching", "tiers")


def main() -> int:
    """Run the selected parts and write units.json."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench.loop.unit_portfolio", description=__doc__)
    parser.add_argument("folder", type=Path, help="where homes are kept between runs, and units.json goes")
    parser.add_argument("--segments", type=int, default=80)
    parser.add_argument("--stores", type=int, default=160)
    parser.add_argument("--watched-stores", type=int, default=2000)
    parser.add_argument("--days", type=int, default=440)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PORTFOLIO_PARTS, default=PORTFOLIO_PARTS)
    arguments = parser.parse_args()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {}
    if "listing" in arguments.only:
        report["listing"] = listing_seconds(folder, arguments.segments)
    if "watching" in arguments.only:
        report["watching"] = monitor_seconds(folder, arguments.segments, arguments.watched_stores)
    if "tiers" in arguments.only:
        # The 14 days that are forecast are simulated with the others.
        days, seed = arguments.days + 14, arguments.seed
        spec = ChainSpec(arguments.stores, days=days, seed=seed, issues_days=0, observed_days=0)
        for report["tiers"] in tier_savings(spec, arguments.segments):
            write_text(folder / "units.json", json.dumps(report, indent=1) + "\n")
    write_text(folder / "units.json", json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
