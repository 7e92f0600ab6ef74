"""Workers on the nodes of a Ray cluster, one of which is lost."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from nstbench.config import build_config
from nstbench.errors import UsageError
from nstbench.pipeline import execute

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="the package ray is not installed: pip install 'nstbench[ray]'",
)

PLUGIN = """
import time
from nstbench.contracts import Method, MethodInfo
from nstbench.records import Flexibility

class Slow(Method):
    info = MethodInfo("Slow", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style

    def stylize(self, content, *, generator, on_step):
        time.sleep(1.0)
        return (content.pixels + self.style.pixels.flip(-1)) / 2
"""
PROGRAM = {"name": "copied", "command": "cp {content} {output}"}
# A program of its own: Ray's threads and warnings stay out of the test process.
CLUSTER = """
import sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster

settings = eval(sys.argv[1])

from nstbench.executors.ray import connect

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
# before there is another node: the one that a driver is connected to cannot be taken away
connect(cluster.address)
second = cluster.add_node(num_cpus=1)
out = Path(settings["out"])

def lose_a_node():
    while len(list((out / "outputs").glob("slow_method/*/*.json"))) < 2:
        time.sleep(0.1)
    cluster.remove_node(second, allow_graceful=False)

threading.Thread(target=lose_a_node, daemon=True).start()
from nstbench.config import build_config
from nstbench.pipeline import execute
config = build_config(settings | {"ray_address": cluster.address, "out": out,
                                  "plugins": tuple(Path(p) for p in settings["plugins"])})
board = execute(config)
print("workers", board.info["config"]["workers"])
assert set(board.units["status"]) == {"done"}
import ray

# the driver lets go of the head before that is stopped
ray.shutdown()
cluster.shutdown()
"""


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    plugin = tmp_path / "slow_method.py"
    plugin.write_text(PLUGIN)
    return {
        "methods": ["content_copy", "slow_method", PROGRAM], "plugins": (str(plugin),),
        "contents": str(contents), "styles": str(styles), "size": 64, "timing_repeats": 0,
        "seeds": (0, 1, 2), "metrics": ("ssim",), "formats": ("csv",), "device": "cpu",
        "threads": 1, "out": str(tmp_path / "run"),
    }  # fmt: skip


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lost_node_costs_no_unit(settings, tmp_path):
    alone = build_config(settings | {"out": tmp_path / "alone"})
    execute(alone)
    process = subprocess.run(
        [sys.executable, "-c", CLUSTER, repr(settings | {"executor": "ray"})],
        capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "workers 2" in process.stdout
    tables = [tmp_path / run / "report" / "leaderboard.csv" for run in ("run", "alone")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    written = [json.loads(p.read_text()) for p in (tmp_path / "run" / "outputs").rglob("*.json")]
    assert len(written) == 36
    assert len({record["process"] for record in written}) >= 2
    assert any((tmp_path / "run" / "logs").glob("ray_*.log"))


def test_without_ray_the_way_out_is_told(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'nstbench\[ray\]'"):
        execute(build_config(settings | {"executor": "ray"}))
