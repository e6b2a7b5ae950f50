"""The command line: one module a command, each of which parses, calls and prints."""

from contextnet.cli.app import main

__all__ = ["main"]
