"""The command line. Heavy libraries are imported by the command that needs them, so that help is instant."""

from flows.cli.entry import main

__all__ = ["main"]
