"""The command line as ``python -m nstbench``."""

from nstbench.cli.app import main

if __name__ == "__main__":
    main()
