"""A realistic Board in a folder, built without running a method or a metric.

Outputs are simple filters of small generated pictures. Scores are random values around a
profile per method, from a seeded generator.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from nstbench.core.board import Board
from nstbench.core.cards import MethodCard, MetricCard, PictureCard, TrainingCard, WeightCard
from nstbench.core.records import Availability, Timing

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"onmouseover="window.pwned=2" \'&quot;',
    "x" * 300,
    "שלום-مرحبا",
    "🎨🖌️ peinture",
)
AVAILABLE = Availability()


@dataclass(frozen=True)
class Profile:
    """Properties of a fake method: errors, times, memory and kind of output."""

    name: str
    flexibility: str
    content: float
    style: float
    latency: float
    memory: float
    prepare: float = 0.0
    training: float = 0.0
    iterative: bool = False
    trained_on: tuple[str, ...] = ()


PROFILES = (
    Profile("content_copy", "baseline", 0.0, 1.0, 0.0002, 1e5),
    Profile("style_copy", "baseline", 1.0, 0.0, 0.0003, 2e5),
    Profile("reinhard_2001", "baseline", 0.17, 0.82, 0.011, 9e6),
    Profile("gatys_2015", "arbitrary", 0.38, 0.33, 48.0, 1.1e9, 0.4, 0.0, True, ("vgg16-gram",)),
    Profile("ghiasi_2017", "arbitrary", 0.41, 0.55, 0.31, 2.4e8, 0.05, 90000.0),
    Profile("johnson_2016", "per-style", 0.40, 0.43, 0.12, 1.9e8, 0.0, 5400.0, False,
            ("vgg16-gram",)),
    Profile("dumoulin_2017", "multi-style", 0.43, 0.47, 0.14, 2.0e8, 0.0, 7200.0),
)  # fmt: skip


def metric_cards() -> dict[str, MetricCard]:
    """Return the metrics of the fake board, with every role, direction and scope."""

    def card(name: str, title: str, scope: str, order: int, **extra: Any) -> MetricCard:
        facts: dict[str, Any] = {
            "higher_is_better": False,
            "range": (0.0, float("inf")),
            "unit": "",
            "citation": "Fake et al. 2026, section 3",
            "description": f"{title}, explained in one sentence.",
            "version": 1,
            "home_for": (),
            "role": "",
            "availability": AVAILABLE,
            "networks": ("vgg16", "alexnet"),
        }
        return MetricCard(name=name, title=title, scope=scope, order=order, **{**facts, **extra})

    cards = (
        card("uef", "UEF", "pair", 1, role="quality"),
        card("style_error", "Style error", "pair", 2, role="style"),
        card("content_error", "Content error", "pair", 3, role="content"),
        card("style_loss", "Style loss", "pair", 4, home_for=("vgg16-gram",)),
        card("ssim", "SSIM", "pair", 5, higher_is_better=True, range=(-1.0, 1.0)),
        card("fd_vgg16", "FD (VGG-16)", "set", 6),
        card("latency", "Latency", "timing", 7, role="speed", unit="s"),
        card("peak_memory", "Peak memory", "timing", 8, role="memory", unit="bytes"),
        card("artfid", "ArtFID", "set", 9, availability=Availability(
            ok=False, reason="the art-Inception weights are missing",
            remedy="Download the file")),
    )  # fmt: skip
    return {c.name: c for c in cards}


def weight_cards(profile: Profile) -> tuple[WeightCard, ...]:
    """Return the card of a loss network, and of two checkpoints for a trained method."""
    loss = WeightCard("vgg16", "ab" * 32, "BSD-3-Clause", "https://example.org/vgg")
    trained = [
        WeightCard(f"{profile.name}--style_{i}", f"c{i}" * 32, "MIT", training=training(profile, i))
        for i in range(2 if profile.training else 0)
    ]
    return (*([loss] if profile.trained_on else []), *trained)


def training(profile: Profile, index: int) -> TrainingCard:
    """Return the card of a training; the second one started from the first."""
    steps = 2000 * (index + 1)
    curve = tuple(
        {"step": float(i), "seconds": profile.training * i / steps,
         "style": 80.0 / (1 + i / 200) + 9, "total": 100.0 / (1 + i / 300) + 20 + index}
        for i in range(100, steps + 1, 100)
    )  # fmt: skip
    return TrainingCard(
        method=profile.name.split(":")[0], content_data="7 pictures of fake",
        style_data=f"style_{index}", steps=steps, size=192, batch=4, learning_rate=1e-3,
        seconds=profile.training, start="an earlier training" if index else "",
        start_seconds=profile.training * index, device="Fake GPU", threads=2,
        finished="2026-11-20T10:00:00+00:00", loss_curve=curve,
        deviations=(f"Trained with {steps} steps instead of 40,000.",),
        held_out_loss=21.5 + index, held_out_loss_of_start=30.25 if index else None,
    )  # fmt: skip


def method_card(profile: Profile) -> MethodCard:
    """Return the card of a fake method."""
    return MethodCard(
        method=profile.name,
        plugin=profile.name.split(":")[0],
        title=profile.name.replace("_", " et al. "),
        authors="A. Author, B. Buthor",
        year=2016,
        paper="" if profile.flexibility == "baseline" else "https://arxiv.org/abs/1508.06576",
        code="https://example.org/code",
        family="image optimisation" if profile.iterative else "feed-forward network",
        flexibility=profile.flexibility,
        licence="MIT",
        trained_on=profile.trained_on,
        deviations=("Average pooling instead of max pooling.",) if profile.iterative else (),
        params={"iterations": 300, "alpha": 1.0},
        defaults={"iterations": 500, "alpha": 1.0},
        weights=weight_cards(profile),
        availability=AVAILABLE,
    )


def picture(seed: int, size: int) -> Image.Image:
    """Return a square picture of sine waves; the same seed gives the same picture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = [np.sin(2 * np.pi * (rng.uniform(1, 6, 2) @ np.stack([x, y]).reshape(2, -1)))
             for _ in range(3)]  # fmt: skip
    pixels = (np.stack(waves, -1).reshape(size, size, 3) + 1) * 127.5
    return Image.fromarray(pixels.astype(np.uint8))


def stylise(content: Image.Image, style: Image.Image, profile: Profile) -> Image.Image:
    """Return a fake output: a blend of content and style after matching their colours."""
    style = style.resize(content.size)
    c, s = np.asarray(content, float), np.asarray(style, float)
    matched = (c - c.mean((0, 1))) / (c.std((0, 1)) + 1e-6) * s.std((0, 1)) + s.mean((0, 1))
    recoloured = profile.style * c + (1 - profile.style) * matched
    mixed = (1 - profile.content**2) * recoloured + profile.content**2 * s
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


@dataclass
class FakeRun:
    """Settings of a fake run; :meth:`board` writes its files and returns its Board."""

    root: Path
    profiles: Sequence[Profile] = PROFILES
    contents: int = 3
    styles: int = 3
    size: int = 48
    sizes: Sequence[int] = ()
    hostile: bool = False
    timings: bool = True
    fail: float = 0.08
    pictures: tuple[list[Image.Image], list[Image.Image]] | None = None
    seed: int = 7
    linked: Path | None = None
    """If given, every output is a hard link to this file."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        if self.hostile:
            extra = [replace(PROFILES[4], name=f"{n}", style=0.5 + 0.03 * i)
                     for i, n in enumerate(HOSTILE)]  # fmt: skip
            self.profiles = (*self.profiles, *extra)
        self.sizes = self.sizes or (self.size,)

    def board(self) -> Board:
        """Write pictures and traces below ``root`` and return the tables."""
        images, cards = self._pictures()
        units = self._units(images)
        metrics = metric_cards()
        scores = self._scores(units, metrics)
        return Board(
            root=self.root,
            info=self._info(),
            units=units,
            scores=scores,
            leaderboard=self._leaderboard(units, scores, metrics),
            timings=self._timings() if self.timings else (),
            methods={p.name: method_card(p) for p in self.profiles},
            metrics=metrics,
            pictures=tuple(cards),
        )

    def _pictures(self) -> tuple[dict[str, dict[str, Image.Image]], list[PictureCard]]:
        images: dict[str, dict[str, Image.Image]] = {"content": {}, "style": {}}
        cards = []
        for index, (role, count) in enumerate((("content", self.contents), ("style", self.styles))):
            given = self.pictures[index] if self.pictures else None
            for i in range(count):
                name = f"{role}_{i}"
                if self.hostile and i == 0:
                    name = HOSTILE[index]
                image = given[i % len(given)] if given else picture(100 * index + i, self.size)
                images[role][name] = image
                file = f"inputs/{role}/{i}.png"
                (self.root / file).parent.mkdir(parents=True, exist_ok=True)
                image.save(self.root / file)
                cards.append(PictureCard(role, name, file, f"{index}{i}" * 20, "CC0-1.0",
                                         "NASA", "https://example.org/picture"))  # fmt: skip
        return images, cards

    def _units(self, images: dict[str, dict[str, Image.Image]]) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for p in self.profiles:
            for size in self.sizes:
                for c, content in images["content"].items():
                    for s, style in images["style"].items():
                        rows.append(self._unit(p, size, (c, content), (s, style), len(rows)))
        return pd.DataFrame(rows)

    def _unit(
        self, p: Profile, size: int, c: tuple[str, Image.Image], s: tuple[str, Image.Image], n: int
    ) -> dict[str, Any]:
        key = f"{n:064x}"
        failed = p.flexibility != "baseline" and self.rng.random() < self.fail
        output = "" if failed else f"outputs/m{self._number(p)}/{key[-2:]}/{key}.png"
        if not failed:
            path = self.root / output
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.linked:
                path.hardlink_to(self.linked)
            else:
                stylise(c[1], s[1], p).save(path)
            if p.iterative:
                self._trace(key, p)
        error = 'RuntimeError("out of <b>luck</b>")' if failed else ""
        return {
            "key": key, "method": p.name, "plugin": p.name.split(":")[0], "content": c[0],
            "style": s[0], "size": size, "seed": 0, "status": "failed" if failed else "done",
            "message": error,
            "traceback": f"Traceback (most recent call last):\n  {error}" if failed else "",
            "seconds": p.latency * (1 + 0.1 * self.rng.random()), "output": output,
        }  # fmt: skip

    def _number(self, p: Profile) -> int:
        return [q.name for q in self.profiles].index(p.name)

    def _trace(self, key: str, p: Profile) -> None:
        path = self.root / "traces" / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = []
        scale = 10 ** self.rng.uniform(4, 6)
        for i in range(0, 300, 3):
            content = scale * (1 - np.exp(-i / 20)) * 0.1
            style = scale * np.exp(-i / 12) + scale * 0.05 * np.exp(-i / 100)
            steps.append({"step": i, "seconds": p.latency * (i + 1) / 300, "content": content,
                          "style": style, "total": content + style})  # fmt: skip
        path.write_text(json.dumps({"steps": steps}))

    def _scores(self, units: pd.DataFrame, metrics: dict[str, MetricCard]) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        hard = {s: self.rng.normal(0, 0.06) for s in units["style"].unique()}
        by_name = {p.name: p for p in self.profiles}
        for unit in units[units["status"] == "done"].to_dict("records"):
            p = by_name[unit["method"]]
            noise = self.rng.normal(0, 0.03, 3) + hard[unit["style"]]
            content = p.content if p.content in (0, 1) else max(0.02, p.content + noise[0])
            style = p.style if p.style in (0, 1) else max(0.02, p.style + noise[1])
            values = {
                ("uef", ""): float(np.hypot(content, style)),
                ("style_error", ""): style, ("content_error", ""): content,
                ("style_error", "vgg16"): style * 0.8, ("style_error", "alexnet"): style * 1.2,
                ("style_loss", ""): 1e6 * style**2, ("ssim", ""): 1 - content**0.7 + noise[2] / 9,
            }  # fmt: skip
            place = {k: unit[k] for k in ("method", "plugin", "content", "style", "size", "seed")}
            rows += [{**place, "metric": m, "part": part, "value": v}
                     for (m, part), v in values.items()]  # fmt: skip
        for p in self.profiles:
            for size in self.sizes:
                values = {("fd_vgg16", ""): 40 * p.style + 9}
                if self.timings:
                    values |= {("latency", ""): p.latency * (size / self.size) ** 2,
                               ("peak_memory", ""): p.memory}  # fmt: skip
                rows += [{"method": p.name, "plugin": p.name.split(":")[0], "content": "",
                          "style": "", "size": size, "seed": np.nan, "metric": m, "part": part,
                          "value": v} for (m, part), v in values.items()]  # fmt: skip
        return pd.DataFrame(rows)

    def _leaderboard(
        self, units: pd.DataFrame, scores: pd.DataFrame, metrics: dict[str, MetricCard]
    ) -> pd.DataFrame:
        rows = []
        whole = scores[scores["part"] == ""]
        for p in self.profiles:
            for size in self.sizes:
                mine = units[(units["method"] == p.name) & (units["size"] == size)]
                done = int((mine["status"] == "done").sum())
                row: dict[str, Any] = {
                    "method": p.name, "plugin": p.name.split(":")[0],
                    "flexibility": p.flexibility, "size": size,
                    "coverage": f"{done}/{len(mine)}", "done": done, "planned": len(mine),
                }  # fmt: skip
                for name, card in metrics.items():
                    values = whole[(whole["method"] == p.name) & (whole["size"] == size)
                                   & (whole["metric"] == name)]  # fmt: skip
                    row[name] = values["value"].mean()
                    if card.scope == "pair":
                        means = values.groupby("style")["value"].mean()
                        half = 1.96 * means.std(ddof=0) / np.sqrt(max(1, len(means)))
                        row[f"{name}_low"] = row[name] - half
                        row[f"{name}_high"] = row[name] + half
                rows.append(row)
        table = pd.DataFrame(rows).sort_values("uef", kind="stable", ignore_index=True)
        low = [1 + sum(table["uef_high"] < v) for v in table["uef_low"]]
        high = [len(table) - sum(table["uef_low"] > v) for v in table["uef_high"]]
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        table.insert(1, "rank_low", low)
        table.insert(2, "rank_high", high)
        return table

    def _timings(self) -> tuple[Timing, ...]:
        return tuple(
            Timing(
                method=p.name, plugin=p.name.split(":")[0], size=size, device="cpu",
                latency=tuple(p.latency * f for f in (0.97, 1.0, 1.02, 1.1)),
                first_call=p.latency * 2, load=0.3, prepare=(p.prepare, p.prepare * 1.1),
                peak_memory=int(p.memory), parameters=1_700_000, calibration=(0.11, 0.12),
                environment={"threads": 2}, training=p.training,
            )
            for p in self.profiles
            for size in self.sizes
        )  # fmt: skip

    def _info(self) -> dict[str, Any]:
        name = HOSTILE[0] if self.hostile else "starter"
        return {
            "name": name,
            "command": f"nstbench run --methods all --out 'runs/{name}'",
            "config": {"methods": [p.name for p in self.profiles], "size": self.size, "seed": 0},
            "suite": "starter v1",
            "environment": {"python": "3.11.2", "torch": "2.13.0", "device": "cpu",
                            "cpu": "Fake CPU @ 2 GHz", "threads": 2,
                            "packages": {"numpy": "2.0", "pandas": "3.0"}},
            "started": "2026-11-22T17:00:00+00:00",
            "finished": "2026-11-22T17:06:10+00:00",
            "version": "0.1.0",
        }  # fmt: skip
