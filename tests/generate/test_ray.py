"""Workers on the nodes of a Ray cluster while a node is killed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_nodes import RayNodes
from slow_method import write_slow_method

from nstbench.core.errors import UsageError
from nstbench.pipeline.job import execute
from nstbench.plan.config_file import build_config

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="the package ray is not installed: pip install 'nstbench[ray]'",
)

PROGRAM = {"name": "copied", "command": "cp {content} {output}"}


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    # A process that ran two units waits for the file, so that no load of the machine decides
    # how many units are left when the node is killed.
    wait = f"""Slow.units = getattr(Slow, "units", 0) + 1
        from pathlib import Path
        while Slow.units > 2 and not Path({str(tmp_path / "continue")!r}).exists():
            time.sleep(0.05)"""
    plugin = write_slow_method(tmp_path, 0, wait)
    return {
        "methods": ["content_copy", "slow_method", PROGRAM], "plugins": (str(plugin),),
        "contents": str(contents), "styles": str(styles), "size": 64, "timing_repeats": 0,
        "seeds": (0, 1, 2), "metrics": ("ssim",), "formats": ("csv",), "device": "cpu",
        "threads": 1, "out": str(tmp_path / "run"),
    }  # fmt: skip


def command(settings, *options):
    file = Path(settings["out"]).with_suffix(".yaml")
    file.write_text(
        json.dumps({name: value for name, value in settings.items() if name != "plugins"})
    )
    plugins = [f"--plugin={plugin}" for plugin in settings["plugins"]]
    return [sys.executable, "-m", "nstbench", "run", "--config", str(file), *plugins, *options]


def wait_for(condition, process, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_unit_is_missing_after_a_node_was_killed(settings, tmp_path):
    (tmp_path / "continue").touch()
    alone = execute(build_config(settings | {"out": tmp_path / "alone"}))
    (tmp_path / "continue").unlink()
    out = tmp_path / "run"

    def records():
        return [json.loads(path.read_text()) for path in (out / "outputs").rglob("*.json")]

    def slow_workers():
        return {record["process"] for record in records() if record["method"] == "slow_method"}

    with RayNodes() as nodes:
        options = ("--executor=ray", f"--ray-address={nodes.address}", "--workers=2")
        driver = subprocess.Popen(
            command(settings, *options), env=nodes.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait_for(slow_workers, driver)
            # A node that joins later gets the worker that found no free CPU before.
            nodes.join()
            wait_for(lambda: len(slow_workers()) == 2, driver)
            (killed,) = nodes.workers("second")
            nodes.kill()
            assert len(records()) < 36, "units were left when the node was killed"
            (tmp_path / "continue").touch()
            _, errors = driver.communicate(timeout=300)
        finally:
            driver.kill()
            driver.communicate()
    assert driver.returncode == 0, errors
    assert "Traceback" not in errors
    written = records()
    assert {record["status"] for record in written} == {"done"}
    assert len(written) == len(alone.units) == 36
    assert killed.pid in {record["process"] for record in written}
    tables = [tmp_path / run / "report" / "leaderboard.csv" for run in ("run", "alone")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    assert len(list((out / "logs").glob("ray_*.log"))) >= 2
    assert not (out / "leases").exists()


def test_without_ray_the_error_tells_how_to_install_it(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'nstbench\[ray\]'"):
        execute(build_config(settings | {"executor": "ray"}))
