"""Python runs this file at its start, if its folder is in PYTHONPATH.

``{python}`` programs have it there where torchvision needs the shim. The user's own
``sitecustomize`` runs as well.
"""

import sys
from pathlib import Path


def _run_own() -> None:
    """Import the ``sitecustomize`` that Python would have run without this one."""
    here, this = str(Path(__file__).parent), sys.modules.pop("sitecustomize")
    sys.path = [folder for folder in sys.path if folder != here]
    try:
        import sitecustomize  # noqa: F401
    except ModuleNotFoundError:
        sys.modules["sitecustomize"] = this


def _install_shim() -> None:
    try:
        from nstbench.core.torchvision_hook import install
    except ModuleNotFoundError:
        return  # another Python without nstbench
    install()


_run_own()
_install_shim()
