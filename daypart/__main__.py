"""Run the command line: `python -m daypart`."""

from daypart.flows.cli import main

main()
