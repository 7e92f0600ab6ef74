"""``python -m nstbench`` is the command line."""

from nstbench.cli import main

if __name__ == "__main__":
    main()
