"""``python -m contextnet``: the command line."""

from contextnet.cli import main

if __name__ == "__main__":
    main()
