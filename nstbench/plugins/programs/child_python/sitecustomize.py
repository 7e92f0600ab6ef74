"""Python runs this file at its start, if its folder is in PYTHONPATH.

``{python}`` programs have it there where torchvision needs the shim. The user's own
``sitecustomize`` runs as well.
"""

import importlib
import sys
from pathlib import Path


def _run_own() -> None:
    """Import the ``sitecustomize`` that Python would have run without this one."""
    here, this = str(Path(__file__).parent), sys.modules.pop("sitecustomize", None)
    sys.path = [folder for folder in sys.path if folder != here]
    try:
        importlib.import_module("sitecustomize")
    except ModuleNotFoundError:
        if this is not None:
            # Python looks for this module after the import
            sys.modules["sitecustomize"] = this


def _install_shim() -> None:
    try:
        from nstbench.core.torchvision_shim import install
    except ModuleNotFoundError:
        return  # another Python without nstbench
    install()


_run_own()
_install_shim()
