"""The command line. Heavy libraries are imported by the command that needs them, so that help is instant."""

from daypart.flows.cli.entry import main

__all__ = ["main"]
