"""``python -m contextnet`` and the program ``contextnet``: the command line."""

import sys


def main() -> None:
    """Run the command line; an interrupt ends it in silence, also while it is being imported."""
    try:
        from contextnet.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
