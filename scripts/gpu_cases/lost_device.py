"""A tiny run with plug-ins whose kernels fail, among plug-ins that work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpu_cases.programs import nstbench
from gpu_cases.rows import Recorder
from nstbench.core.records import Status, UnitRecord
from nstbench.store.store import Store

PAIRS = 1
"""Units of each plug-in; every planted error costs the start of a worker."""

PLUGIN = """
import torch

from nstbench.contracts import Flexibility, Method, MethodInfo


class Planted(Method):
    info = MethodInfo("{name}", "nstbench", 2026, "none", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self._mean = style.pixels.mean()

    def stylize(self, content, *, generator, on_step):
        pixels = content.pixels
{body}
        return pixels * 0.5 + self._mean * 0.5
"""
GOOD = ""
INDEX = """
        places = torch.full((4,), 1_000_000, device=pixels.device)
        pixels = pixels + torch.zeros(4, device=pixels.device)[places].sum()
"""
ASSERTION = """
        torch._assert_async(torch.zeros((), dtype=torch.bool, device=pixels.device))
"""
ON_CPU = """
        raise RuntimeError("CUDA error: device-side assert triggered")
"""
"""What torch raises on a GPU; a CPU has no error that ends a process's use of it."""


def plugins(on_gpu: bool) -> Mapping[str, str]:
    """Return name -> body of ``stylize``; the names of those that fail begin with ``bad``."""
    return {
        "good_first": GOOD,
        "bad_index": INDEX if on_gpu else ON_CPU,
        "good_between": GOOD,
        "bad_assertion": ASSERTION if on_gpu else ON_CPU,
        "good_last": GOOD,
    }


def run(record: Recorder) -> None:
    """Measure and record."""
    with record.attempt("lost-device"):
        wrong, facts = [], []
        records = records_of_run(record)
        for name, units in records.items():
            expected = Status.FAILED if name.startswith("bad") else Status.DONE
            facts.append(f"{name} {', '.join(unit.status for unit in units)}")
            wrong += [f"{name} has {len(units)} units"] * (len(units) != PAIRS)
            wrong += [f"{name}: {u.message[:100]}" for u in units if u.status != expected]
            wrong += [
                f"{name} does not name the error: {unit.message[:100]}"
                for unit in units
                if expected == Status.FAILED and "CUDA error" not in unit.message
            ]
        failed = {unit.process for name in records if "bad" in name for unit in records[name]}
        planted = PAIRS * sum(name.startswith("bad") for name in records)
        wrong += ["a worker was used after an error"] * (len(failed) != planted)
        note = "; ".join(facts) + (f". First: {wrong[0]}" if wrong else "")
        case = "Units that a planted CUDA error costs wrongly"
        record.value("lost-device", case, float(len(wrong)), "", note)


def records_of_run(record: Recorder) -> Mapping[str, Sequence[UnitRecord]]:
    """Run the plug-ins over some pairs, and return name -> records of units."""
    bodies = plugins(record.full)
    for name, body in bodies.items():
        text = PLUGIN.format(name=name, body=body)
        (record.folder / f"{name}.py").write_text(text, encoding="utf-8")
    files = [str(record.folder / f"{name}.py") for name in bodies]
    out = record.folder / "lost_device"
    nstbench(
        record, "run", "--methods", ",".join(bodies), *options("--plugin", files),
        "--contents", "starter", "--styles", "starter", "--limit", str(PAIRS),
        "--contents-per-style", "1", "--size", "64", "--timing-repeats", "1",
        "--metrics", "ssim", "--format", "csv", "--device", str(record.device), "--out", str(out),
        accepted=(0, 1),
    )  # fmt: skip
    store = Store.open(out)
    return {name: list(store.records(name)) for name in bodies}


def options(name: str, values: list[str]) -> list[str]:
    """Return an option once per value."""
    return [part for value in values for part in (name, value)]
