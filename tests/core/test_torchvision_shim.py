"""torchvision can be imported by plug-ins and programs where its library does not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

CHILD = Path(__file__).parents[2] / "nstbench" / "plugins" / "programs" / "child_python"


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | env
    )


def needs_torchvision() -> None:
    import importlib.util

    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")


def test_a_plugin_imports_torchvision_before_anything_of_nstbench_did(tmp_path):
    needs_torchvision()
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import torchvision\n"
        "from nstbench.contracts import Method, MethodInfo\n"
        "from nstbench.core.records import Flexibility\n"
        "class Mine(Method):\n"
        "    info = MethodInfo('Mine', 'me', 2026, 'p', 'test', Flexibility.ARBITRARY)\n"
        "    def prepare(self, style): pass\n"
        "    def stylize(self, content, *, generator, on_step): return content.pixels\n"
    )
    done = python(
        "from pathlib import Path; from nstbench.plugins import registry\n"
        f"print(registry.add_file(Path({str(plugin)!r})).kind)"
    )
    assert (done.returncode, done.stdout) == (0, "methods\n"), done.stderr


def test_torch_is_not_imported_by_the_hook():
    code = (
        "import sys; from nstbench.core.torchvision_shim import install; install(); install()\n"
        "hooks = [f for f in sys.meta_path if type(f).__module__ == install.__module__]\n"
        "print(len(hooks), 'torch' in sys.modules)"
    )
    assert python(code).stdout == "1 False\n"


def test_a_child_process_imports_torchvision(tmp_path):
    needs_torchvision()
    done = python("import torchvision; print('fine')", PYTHONPATH=str(CHILD))
    assert done.stdout == "fine\n", done.stderr
    # the sitecustomize of the user runs as well
    (tmp_path / "sitecustomize.py").write_text("print('own')\n")
    done = python("import torchvision", PYTHONPATH=os.pathsep.join([str(CHILD), str(tmp_path)]))
    assert done.stdout == "own\n", done.stderr
    assert "Error" not in done.stderr


def test_doctor_says_when_the_shim_is_in_use(monkeypatch, capsys):
    from nstbench.cli.show import weights

    monkeypatch.setattr(weights, "print_weights", lambda check: True)
    monkeypatch.setattr(weights, "entries", lambda kind: [])
    for used in (True, False):
        monkeypatch.setattr(weights, "shim_in_use", lambda used=used: used)
        weights.print_doctor()
        assert ("torchvision shim" in capsys.readouterr().out) == used


def test_the_shim_and_its_finder_declare_the_operators_once():
    needs_torchvision()
    code = (
        "from nstbench.core.torchvision_shim import ensure_torchvision, install\n"
        "install()\nensure_torchvision()\nimport torchvision\nprint('fine')"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
