"""Run the command line as a module."""

from daypart.flows.cli.entry import main

main()
