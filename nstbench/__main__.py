"""``python -m nstbench`` is the command line."""

from nstbench.cli.app import main

if __name__ == "__main__":
    main()
