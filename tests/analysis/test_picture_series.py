"""Controlled sweeps, and sweeps that are read from folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sweep_pictures import SIZE, picture, save_sweep, source

from nstbench.analysis.validation.picture_series import (
    BLEND_SHARES,
    NOISE_SIGMAS,
    controlled_sweeps,
    folder_sweep,
    folder_sweeps,
    make_sources,
)
from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import ImageRecord


def test_controlled_sweeps_begin_with_the_undamaged_picture():
    origin = source()
    sweeps = list(controlled_sweeps(origin, seeds=2))
    labels = [(s.kind, s.base, s.seed) for s in sweeps]
    assert len(labels) == len(set(labels)) == 9
    for sweep in sweeps:
        assert len(sweep.outputs) == 6
        base = origin.style if sweep.base == "style" else origin.content
        np.testing.assert_array_equal(sweep.outputs[0], base)
        assert all(o.dtype == np.uint8 and o.shape == base.shape for o in sweep.outputs)
    np.testing.assert_array_equal(sweeps[0].outputs[-1], origin.style)


def test_each_step_of_a_sweep_goes_further_from_its_base():
    for sweep in controlled_sweeps(source(), seeds=1):
        base = sweep.outputs[0].astype(float)
        distance = [np.abs(o - base).mean() for o in sweep.outputs]
        assert np.diff(distance).min() >= 0, sweep.kind
        assert distance[-1] > 5 * distance[1] or sweep.kind in ("jpeg", "blend")


def test_blend_and_noise_follow_their_definitions():
    origin = source()
    blend, *rest = controlled_sweeps(origin, seeds=2)
    for share, output in zip(BLEND_SHARES, blend.outputs, strict=True):
        expected = (1 - share) * origin.content.astype(float) + share * origin.style
        assert np.abs(output - expected).max() <= 0.5 + 1e-9
    first, second = (s for s in rest if (s.kind, s.base) == ("noise", "content"))
    assert not np.array_equal(first.outputs[1], second.outputs[1])
    noise = (first.outputs[2].astype(float) - origin.content) / 255
    assert noise.std() == pytest.approx(NOISE_SIGMAS[2], rel=0.05)
    again = next(s for s in controlled_sweeps(origin, seeds=2) if s.kind == "noise")
    np.testing.assert_array_equal(again.outputs[3], first.outputs[3])


def test_sources_pair_every_content_with_every_style(tmp_path):
    for seed in range(4):
        Image.fromarray(picture(seed, 80)[:70]).save(tmp_path / f"p{seed}.png")
    records = [ImageRecord(f"p{i}", tmp_path / f"p{i}.png") for i in range(4)]
    sources = make_sources(records[:2], records[2:], SIZE)
    assert [(s.content_name, s.style_name) for s in sources] == [
        ("p0", "p2"), ("p1", "p2"), ("p0", "p3"), ("p1", "p3"),
    ]  # fmt: skip
    assert {s.content.shape for s in sources} == {(SIZE, SIZE, 3)}


def test_folder_sweeps_are_read_in_the_order_of_their_numbers(tmp_path):
    sweep = folder_sweep(save_sweep(tmp_path / "mine", 11), 32)
    assert len(sweep.outputs) == 11
    assert sweep.source.content_name == "mine/content"
    distance = [np.abs(o.astype(float) - sweep.source.content).mean() for o in sweep.outputs]
    assert np.diff(distance).min() > 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "content.png").unlink(), "no picture called 'content'"),
        (lambda f: Image.fromarray(picture(1)).save(f / "style.jpg"), "2 pictures called 'style'"),
        (lambda f: [(f / f"{i}.png").unlink() for i in range(2)], "contains 2 numbered outputs"),
        (
            lambda f: Image.fromarray(picture(1)).save(f / "01.png"),
            "with the same number",
        ),
        (lambda f: Image.fromarray(picture(1)[:40]).save(f / "1.png"), "64 x 40"),
    ],
)
def test_folders_that_are_not_sweeps_are_refused_with_a_reason(tmp_path, damage, message):
    folder = save_sweep(tmp_path / "mine", 4)
    damage(folder)
    with pytest.raises(UsageError, match=message):
        folder_sweep(folder, SIZE)


def test_missing_folders_and_broken_pictures_are_refused(tmp_path):
    with pytest.raises(UsageError, match="not a folder"):
        folder_sweep(tmp_path / "none", SIZE)
    folder = save_sweep(tmp_path / "mine")
    (folder / "3.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"3\.png"):
        folder_sweep(folder, SIZE)


def test_folders_with_the_same_name_get_different_names(tmp_path):
    places = ["x/sweep", "y/sweep", "a/y/sweep", "other"]
    read = folder_sweeps([save_sweep(tmp_path / place, 3) for place in places], 32)
    assert [sweep.source.style_name for sweep in read] == [
        "x/sweep/style", f"{tmp_path.name}/y/sweep/style", "a/y/sweep/style", "other/style",
    ]  # fmt: skip


def test_a_folder_given_twice_is_refused(tmp_path):
    folder = save_sweep(tmp_path / "mine", 3)
    with pytest.raises(UsageError, match="is the same folder as"):
        folder_sweeps([folder, tmp_path / "other" / ".." / "mine"], 32)
