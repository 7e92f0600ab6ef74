"""Tests of the painter: pictures repeat under a seed, are varied, and differ from noise."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from nstbench.core.errors import UsageError
from nstbench.pictures.painter.styles import LABEL_COLOURS, STYLES, Label, paint, painting
from nstbench.pictures.painter.tools import colour, fields, regions
from nstbench.pictures.painter.tools.strokes import Brush, PaintLayer
from nstbench.pictures.painter.tools.tesserae import lay_tiles

SIZE = 96
MAPPED = {
    "nocturne",
    "stained_glass",
    "woodblock",
    "pointillism",
    "etching",
    "mosaic",
    "fauvism",
    "ink_wash",
    "art_nouveau",
    "water_lilies",
}


@functools.cache
def picture(style: str) -> np.ndarray:
    pixels = paint(style, SIZE, 0)
    pixels.setflags(write=False)
    return pixels


def features(style: str) -> np.ndarray:
    """Return colour and texture as a few numbers: Oklab moments, edges and their directions."""
    lab = colour.to_lab(picture(style) / 255.0)
    light = lab[..., 0]
    down, right = np.gradient(light)
    edges = np.hypot(down, right)
    turn = np.arctan2(down, right) % np.pi
    directions, _ = np.histogram(turn, 6, (0, np.pi), weights=edges)
    fine = light - ndimage.gaussian_filter(light, 2)
    moments = [*lab.mean(axis=(0, 1)), *lab.std(axis=(0, 1)), 4 * edges.mean(), 4 * fine.std()]
    return np.array([*moments, *(directions / directions.sum())])


@pytest.mark.parametrize("style", STYLES)
class TestEveryStyle:
    def test_is_an_rgb_picture(self, style):
        pixels = picture(style)
        assert pixels.shape == (SIZE, SIZE, 3)
        assert pixels.dtype == np.uint8

    def test_repeats_under_a_seed(self, style):
        np.testing.assert_array_equal(paint(style, 64, 5), paint(style, 64, 5))

    def test_seeds_change_composition_and_palette(self, style):
        seeds = range(1, 5)
        light = {seed: colour.to_lab(paint(style, 64, seed) / 255.0) for seed in seeds}
        for one, other in itertools.combinations(seeds, 2):
            apart = np.abs(light[one][..., 0] - light[other][..., 0])
            assert apart.mean() > 0.02, "the same composition twice"
        chroma = np.array([light[seed][..., 1:].mean(axis=(0, 1)) for seed in seeds])
        assert np.ptp(chroma, axis=0).max() > 0.004, "one palette for all"

    def test_does_not_use_the_global_generator(self, style):
        before = np.random.get_state()[1].copy()
        paint(style, 32, 3)
        np.testing.assert_array_equal(before, np.random.get_state()[1])

    def test_has_colours_light_and_form(self, style):
        pixels = picture(style)
        _, counts = np.unique(pixels.reshape(-1, 3) // 32, axis=0, return_counts=True)
        assert stats.entropy(counts, base=2) > 2.0, "almost one colour"
        light = pixels.mean(axis=-1)
        assert np.ptp(np.percentile(light, [5, 95])) > 40, "no light and shade"
        # Noise has no large shapes: averaging over 12 px would reduce its contrast to a twelfth.
        masses = light.reshape(8, 12, 8, 12).mean(axis=(1, 3))
        assert masses.std() > 0.15 * light.std(), "noise, no composition"

    def test_shows_its_medium(self, style):
        light = picture(style).mean(axis=-1)
        fine = light - ndimage.gaussian_filter(light, 1.5)
        assert fine.std() > 0.8, "smooth as a gradient"

    def test_regions(self, style):
        made = painting(style, SIZE, 0)
        labels = made.label_pixels()
        assert (labels is not None) == (style in MAPPED)
        if labels is None:
            return
        assert labels.shape == (SIZE, SIZE, 3)
        values, counts = np.unique(made.labels, return_counts=True)
        assert 3 <= len(values) <= len(Label)
        assert counts.max() < 0.9 * SIZE * SIZE
        lookup = {LABEL_COLOURS[label] for label in Label}
        assert {tuple(c) for c in labels.reshape(-1, 3).tolist()} <= lookup


def test_styles_differ():
    table = {style: features(style) for style in STYLES}
    for one, other in itertools.combinations(STYLES, 2):
        assert np.linalg.norm(table[one] - table[other]) > 0.06, f"{one} and {other}"


def test_labels_have_colours_far_apart():
    colours = np.array([LABEL_COLOURS[label] for label in Label])
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) > 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nocturn",), "Did you mean 'nocturne'"),
        (("nocturne", 16), "too small"),
        (("nocturne", 64, -1), "0 or more"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(UsageError, match=message):
        paint(*arguments)


class TestColour:
    # Values for the sRGB primaries, published with the definition of Oklab (Ottosson 2020).
    @pytest.mark.parametrize(
        ("rgb", "lab"),
        [
            ((1, 1, 1), (1, 0, 0)),
            ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
            ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
            ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
        ],
    )
    def test_oklab(self, rgb, lab):
        np.testing.assert_allclose(colour.to_lab(rgb), lab, atol=1e-4)

    def test_round_trip(self):
        rgb = np.random.default_rng(0).random((50, 3))
        np.testing.assert_allclose(colour.from_lab(colour.to_lab(rgb)), rgb, atol=1e-6)

    def test_ramp_passes_through_its_stops(self):
        stops = colour.hexes("102030", "c08040", "f0f0e0")
        np.testing.assert_allclose(colour.ramp(stops, [0, 0.5, 1]), stops, atol=1e-6)


class TestFields:
    def test_noise_is_standardised_and_independent_of_size(self):
        large = fields.noise(np.random.default_rng(1), 128, 0.2, 3)
        small = fields.noise(np.random.default_rng(1), 64, 0.2, 3)
        assert abs(large.mean()) < 1e-5
        assert large.std() == pytest.approx(1, abs=1e-3)
        assert np.corrcoef(fields.resize(large, 64).ravel(), small.ravel())[0, 1] > 0.98

    def test_trace_follows_a_circle(self):
        x, y = fields.grid(256)
        angle = np.arctan2(y - 0.5, x - 0.5) + np.pi / 2
        start = np.array([[0.8, 0.5], [0.5, 0.3]])
        paths = fields.trace(angle, start, np.array([0.3, 0.2]), 41)
        np.testing.assert_allclose(paths[:, 20], start, atol=1e-6)
        radius = np.hypot(*(paths - 0.5).transpose(2, 0, 1))
        np.testing.assert_allclose(radius, [[0.3] * 41, [0.2] * 41], atol=0.02)
        length = np.hypot(*np.diff(paths, axis=1).transpose(2, 0, 1)).sum(axis=1)
        np.testing.assert_allclose(length, [0.3, 0.2], rtol=1e-4)

    def test_curve_goes_through_its_points(self):
        points = [(0.1, 0.2), (0.4, 0.9), (0.8, 0.3)]
        line = fields.curve(points, 10)
        assert len(line) == 21
        np.testing.assert_allclose(line[::10], points, atol=1e-6)

    def test_mask_has_the_polygons_area(self):
        triangle = [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9)]
        assert fields.mask(triangle, 90).mean() == pytest.approx(0.32, abs=0.01)
        assert fields.inside(triangle, 90).mean() == pytest.approx(0.32, abs=0.02)


def test_strokes_cover_their_path_in_their_colour():
    ground = np.array([0.9, 0.9, 0.9], dtype=np.float32)
    red = np.array([[0.8, 0.1, 0.1]], dtype=np.float32)
    layer = PaintLayer(64, ground)
    path = np.stack([np.linspace(0.2, 0.8, 9), np.full(9, 0.5)], -1)[None]
    flat = Brush(bristles=4, ragged=0.0, streak=0.0, load=0.0, taper=0.0)
    layer.lay(np.random.default_rng(0), path, np.array([0.2]), red, flat)
    made = layer.render(relief=0.0)
    np.testing.assert_allclose(made[32, 16:48], np.repeat(red, 32, 0), atol=1e-3)
    np.testing.assert_allclose(made[8, :], np.repeat(ground[None], 64, 0), atol=1e-6)


def test_tiles_follow_the_contour_without_holes():
    x, y = fields.grid(192)
    region = (np.hypot(x - 0.5, y - 0.5) < 0.3).astype(np.int32)
    everywhere = np.ones_like(region, dtype=bool)
    tiles = lay_tiles(np.random.default_rng(0), region, [(everywhere, 0.03)])
    covered = (tiles.along * tiles.across).sum()
    assert 0.75 < covered < 1.15
    dx, dy = (tiles.at - 0.5).T
    # The first rows on both sides of the circle are parallel to it.
    near = (np.abs(np.hypot(dx, dy) - 0.3) < 0.02) & (tiles.along > 0.02)
    assert near.sum() > 20
    radial = np.arctan2(dy, dx)[near]
    assert np.median(np.abs(np.cos(radial - tiles.turn[near]))) < 0.15


@pytest.mark.parametrize("name", regions.PHOTOGRAPHS)
def test_photograph_maps_scale(name):
    large = regions.photograph_map(name, 120, 80)
    assert large.shape == (80, 120, 3)
    small = regions.photograph_map(name, 60, 40)
    assert (large[::2, ::2] == small).all(axis=-1).mean() > 0.9
    assert {tuple(c) for c in large.reshape(-1, 3).tolist()} <= set(LABEL_COLOURS.values())


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "scripts" / "style_diversity.py"
    spec = importlib.util.spec_from_file_location("style_diversity", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestDiversityScript:
    def test_distances_equal_the_definition(self, script):
        rng = np.random.default_rng(0)
        factors = rng.normal(size=(3, 2, 5, 9))
        grams = [[f @ f.T for f in picture] for picture in factors]
        found = script.pairwise_distances(grams)
        for i, j in itertools.product(range(3), repeat=2):
            terms = [
                np.sum((a - b) ** 2) / (np.sum(a**2) + np.sum(b**2))
                for a, b in zip(grams[i], grams[j], strict=True)
            ]
            assert found[i, j] == pytest.approx(np.mean(terms), abs=1e-12)
        pairs = [found[0, 1], found[0, 2], found[1, 2]]
        assert script.mean_distance(found) == pytest.approx(np.mean(pairs))

    def test_names_the_problem_with_the_folder(self, script, network_weights, capsys):
        assert script.main(["no/such/folder"]) == 2
        assert "does not exist" in capsys.readouterr().err

    @pytest.mark.slow
    def test_starter_styles_differ_as_much_as_paintings(self, script, network_weights, capsys):
        paintings = Path(__file__).parents[3] / "shared" / "data" / "style"
        if not paintings.is_dir():
            pytest.skip(f"there are no paintings in {paintings}")
        assert script.main([str(paintings)]) == 0
        ratio = float(capsys.readouterr().out.rsplit("ratio:", 1)[1])
        assert ratio >= 0.8


def test_pictures_painted_in_several_processes_are_the_same(tmp_path):
    from nstbench.pictures.decode import read_image
    from nstbench.pictures.painter.paint_files import Wanted, paint_files

    wanted = [
        Wanted(style, 32, seed, str(tmp_path / f"{style}-{seed}.png"))
        for style in ("ink_wash", "mosaic")
        for seed in (1, 2)
    ]
    Path(wanted[0].path).write_bytes(b"kept")
    paint_files(wanted, processes=2)
    assert Path(wanted[0].path).read_bytes() == b"kept"
    for one in wanted[1:]:
        pixels = read_image(Path(one.path))
        assert np.array_equal(pixels, paint(one.style, 32, one.seed))
