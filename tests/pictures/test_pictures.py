"""Tests of reading, fitting and writing pictures."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import odd_images
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from skimage.color import lab2rgb

import nstbench
from nstbench.core.errors import ImageError, StoreError
from nstbench.core.records import ImageRecord
from nstbench.pictures import picture as picture_module
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import (
    Fit,
    fit,
    fit_picture,
    load_picture,
    pixel_hash,
    resize,
    same_proportions,
    to_pixels,
    to_tensor,
    write_png,
)

Reader = Callable[[bytes], np.ndarray]

# The effect of each EXIF orientation on a stored picture, as plain array operations.
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.transpose(a, (1, 0, 2)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.transpose(a, (1, 0, 2)), 2),
    8: lambda a: np.rot90(a, 1),
}


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def read(data: bytes) -> np.ndarray:
        path = tmp_path / "picture.png"
        path.write_bytes(data)
        return read_image(path)

    return read


# --- orientation and colour -------------------------------------------------------------


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(read: Reader, kind: str, orientation: int) -> None:
    stored = odd_images.gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    shown = read(encoded(stored, kind, exif=exif, **lossless.get(kind, {})))
    expected = TURNS[orientation](stored)
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).max() <= (8 if kind == "JPEG" else 0)
    assert shown.flags.c_contiguous
    assert shown.flags.writeable


def test_rgb_profile_is_converted_to_srgb(read: Reader) -> None:
    stored = odd_images.gradient()
    profile = odd_images.rgb_profile(2.2)
    shown = read(encoded(stored, icc_profile=profile))
    # The expected values, computed step by step: P3 -> XYZ (D50) -> linear sRGB -> sRGB
    srgb_to_xyz = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    linear = (stored / 255.0) ** 2.2 @ (np.linalg.inv(srgb_to_xyz) @ odd_images.P3_TO_XYZ).T
    linear = linear.clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    inside = ((linear > 0.01) & (linear < 0.99)).all(axis=-1)
    assert inside.mean() > 0.3
    assert np.abs(shown - srgb * 255.0)[inside].max() < 2.0
    assert np.abs(shown.astype(int) - stored).max() > 10


def test_grey_profile_is_converted_to_srgb(read: Reader) -> None:
    stored = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    shown = read(encoded(stored, icc_profile=odd_images.grey_profile(1.0)))
    linear = stored / 255.0
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(shown[..., 1] - srgb * 255.0)[:, 8:].max() < 2.5
    assert (np.ptp(shown, axis=-1) == 0).all()


def test_profile_of_another_colour_space_is_ignored(read: Reader) -> None:
    stored = odd_images.gradient()
    for profile in (odd_images.grey_profile(1.0), odd_images.cmyk_profile(b"\xff\x80\x80", {})):
        np.testing.assert_array_equal(read(encoded(stored, icc_profile=profile)), stored)


@pytest.mark.parametrize("profile", [b"not a profile", odd_images.rgb_profile()[:200], b"\0" * 128])
def test_damaged_profile_is_ignored(read: Reader, profile: bytes) -> None:
    stored = odd_images.gradient()
    np.testing.assert_array_equal(read(encoded(stored, icc_profile=profile)), stored)


def test_cmyk_jpeg_without_profile(read: Reader) -> None:
    cyan = Image.new("CMYK", (64, 48), (255, 0, 0, 0))
    stream = io.BytesIO()
    cyan.save(stream, "JPEG", quality=95)
    assert np.abs(read(stream.getvalue()).astype(int) - (0, 255, 255)).max() <= 3


def test_cmyk_jpeg_with_profile(read: Reader) -> None:
    # In 8-bit Lab: L = 255 l / 100, a + 128, b + 128
    paper, cyan = (96.0, 1.0, 2.0), (57.0, -30.0, -42.0)
    as_bytes = [bytes([round(v[0] * 2.55), v[1] + 128, v[2] + 128]) for v in
                ((96.0, 1, 2), (57.0, -30, -42))]  # fmt: skip
    profile = odd_images.cmyk_profile(as_bytes[0], {8: as_bytes[1]})
    image = Image.new("CMYK", (64, 48), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 32, 48))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=100, subsampling=0, icc_profile=profile)
    shown = read(stream.getvalue())
    # Relative colorimetric intent maps paper to white, and changes cyan accordingly.
    assert (shown[:, 40:] >= 250).all()
    expected = lab2rgb(np.array(cyan), illuminant="D50") * 255
    white = lab2rgb(np.array(paper), illuminant="D50") * 255
    assert np.abs(shown[24, 8] - expected * 255 / white).max() < 20
    plain = (0, 255, 255)
    assert np.abs(shown[24, 8].astype(int) - plain).max() > 40


# --- transparency, palettes, depth -------------------------------------------------------


def test_alpha_is_composited_on_white(read: Reader) -> None:
    colour = odd_images.gradient()
    alpha = np.tile(np.linspace(0, 255, colour.shape[1]).astype(np.uint8), (colour.shape[0], 1))
    shown = read(encoded(np.dstack([colour, alpha])))
    weight = alpha[..., None] / 255.0
    assert np.abs(shown - (colour * weight + 255 * (1 - weight))).max() <= 1.0
    assert (shown[:, 0] == 255).all()


def test_grey_with_alpha(read: Reader) -> None:
    grey = odd_images.gradient()[..., 0]
    alpha = np.full_like(grey, 128)
    shown = read(encoded(np.dstack([grey, alpha])))
    assert np.abs(shown[..., 0] - (grey * (128 / 255.0) + 127)).max() <= 1.0


@pytest.mark.parametrize("transparency", [b"\x00\xff\x80", 0])
def test_palette_with_transparency(read: Reader, transparency: bytes | int) -> None:
    indices = np.tile(np.repeat([0, 1, 2], 16).astype(np.uint8), (32, 1))
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([255, 0, 0, 0, 200, 0, 0, 0, 250])
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=transparency)
    shown = read(stream.getvalue())
    assert (shown[:, 8] == 255).all()
    assert (shown[:, 24] == (0, 200, 0)).all()
    half = (127, 127, 252) if isinstance(transparency, bytes) else (0, 0, 250)
    assert np.abs(shown[:, 40].astype(int) - half).max() <= 1


def test_palette_without_transparency_and_black_and_white(read: Reader) -> None:
    colours = odd_images.gradient()
    palette = Image.fromarray(colours).quantize(16)
    stream = io.BytesIO()
    palette.save(stream, "PNG")
    np.testing.assert_array_equal(read(stream.getvalue()), np.asarray(palette.convert("RGB")))
    bilevel = Image.fromarray(colours[..., 0] > 128)
    stream = io.BytesIO()
    bilevel.save(stream, "PNG")
    np.testing.assert_array_equal(read(stream.getvalue())[..., 2], (colours[..., 0] > 128) * 255)


RAMP16 = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(read: Reader, kind: str) -> None:
    shown = read(encoded(RAMP16, kind))
    np.testing.assert_array_equal(shown[..., 0], np.rint(RAMP16 / 257.0))
    assert (np.ptp(shown, axis=-1) == 0).all()


def test_16_bit_grey_with_a_transparent_level(read: Reader) -> None:
    samples = RAMP16[:32, :32, None]
    data = odd_images.png16(samples, 0, odd_images.chunk(b"tRNS", b"\x01\x05"))
    shown = read(data)
    transparent = samples[..., 0] == 0x0105
    assert transparent.sum() == 1
    assert (shown[transparent] == 255).all()
    assert (shown[~transparent] <= 31).all()


def test_16_bit_rgb_and_grey_alpha_png(read: Reader) -> None:
    colour = np.stack([RAMP16, RAMP16[::-1], RAMP16.T], axis=-1)
    shown = read(odd_images.png16(colour, 2))
    assert np.abs(shown - colour / 257.0).max() <= 1.0
    grey_alpha = np.stack([RAMP16, RAMP16.T], axis=-1)
    weight = RAMP16.T / 65535.0
    expected = RAMP16 / 257.0 * weight + 255 * (1 - weight)
    shown = read(odd_images.png16(grey_alpha, 4))
    assert np.abs(shown[..., 0] - expected).max() <= 2.5


def test_tiff_with_wide_samples(tmp_path: Path) -> None:
    path = tmp_path / "wide.tif"
    ramp = RAMP16 / 65535.0
    expected = np.rint(ramp * 255)
    for samples in (
        ramp.astype(np.float32),
        (ramp * 255).astype(np.float32),
        RAMP16.astype(np.int32),
        65535 - RAMP16,
    ):
        inverted = samples.dtype == np.uint16
        photometric = "miniswhite" if inverted else "minisblack"
        tifffile.imwrite(path, samples, photometric=photometric)
        assert np.abs(read_image(path)[..., 0] - expected).max() <= (0.5 if inverted else 0)
    colour = np.dstack([RAMP16, RAMP16[::-1], RAMP16.T])
    tifffile.imwrite(path, colour, photometric="rgb")
    assert np.abs(read_image(path) - colour / 257.0).max() <= 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_tiff_with_impossible_floats_is_refused(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "float.tif"
    samples = np.full((32, 32), 0.5, dtype=np.float32)
    samples[3, 4] = bad
    tifffile.imwrite(path, samples)
    with pytest.raises(ImageError, match=r"float\.tif: .*(not finite|white level)"):
        read_image(path)


def test_first_frame_of_an_animation(read: Reader) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        stream = io.BytesIO()
        lossless = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **lossless)
        assert (read(stream.getvalue()) == (255, 0, 0)).all(), kind


# --- files that are refused --------------------------------------------------------------

JPEG = encoded(odd_images.gradient(240, 320), "JPEG", quality=90)
PNG = encoded(odd_images.gradient())
REFUSED = {
    "empty": (b"", "empty"),
    "truncated-jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "truncated-png": (PNG[: len(PNG) // 2], "damaged"),
    "header-only": (PNG[:20], "damaged"),
    "bad-header": (PNG[:12] + b"!" * 99, "header is damaged"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not a JPEG"),
    "text": (b"hello\n" * 100, "not a JPEG"),
    "one-pixel": (encoded(np.zeros((1, 1, 3), np.uint8)), "1 x 1 pixels; both sides"),
    "strip": (encoded(np.zeros((5000, 1, 3), np.uint8)), "1 x 5000 pixels; both sides"),
    "ribbon": (encoded(np.zeros((20, 400, 3), np.uint8)), "more than 16 times"),
    "bomb": (odd_images.bomb(), "limit of 100 megapixels"),
    "big": (odd_images.png(12_000, 9_000, 8, 0, b""), "12000 x 9000 pixels .* 100 megapixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unusable_file_is_named_with_the_reason(tmp_path: Path, name: str) -> None:
    data, reason = REFUSED[name]
    path = tmp_path / f"{name}.png"
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match=reason) as refusal:
            read_image(path)
    assert caught == []
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_very_wide_picture_is_read_and_fitted(tmp_path: Path, kind: str) -> None:
    stored = odd_images.gradient(1250, 20_000)
    path = tmp_path / "wide"
    path.write_bytes(encoded(stored, kind, **({"compress_level": 1} if kind == "PNG" else {})))
    shown = read_image(path)
    assert shown.shape == stored.shape
    assert np.abs(shown[::50, ::50].astype(int) - stored[::50, ::50]).max() <= (kind == "JPEG") * 9
    assert fit(shown, 256, "crop").shape == (256, 256, 3)
    assert fit(shown, 256, "inside").shape == (16, 256, 3)


def test_square_of_20000_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(odd_images.png(20_000, 20_000, 8, 2, b""))
    started = time.process_time()
    with pytest.raises(ImageError, match="the limit of 100 megapixels"):
        read_image(path)
    assert time.process_time() - started < 1


def test_folders_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.png", "no such file"),
        (loop, "symbolic links"),
        (pipe, "not a regular file"),
        (Path("nul\0.png"), "nul.*damaged|null"),
        (tmp_path / ("long" * 100), "too long"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_image(path)


def test_unreadable_file(without_rights: Path) -> None:
    path = without_rights / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    with pytest.raises(ImageError, match="permission denied"):
        read_image(path)


def test_odd_name_is_shown_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m😀.png"
    path.write_bytes(b"nothing")
    with pytest.raises(ImageError) as refusal:
        read_image(path)
    assert "a\\nb\\x1b[31m😀.png: not a JPEG" in str(refusal.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_files_are_read_or_named(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]))
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {}
    if kind not in ("GIF", "BMP"):
        options = {"icc_profile": odd_images.rgb_profile(), "exif": exif}
    content = bytearray(encoded(odd_images.gradient(), kind, **options))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    path = tmp_path / "mutant.png"
    path.write_bytes(bytes(content[:cut]))
    message, pixels = "", None
    try:
        pixels = read_image(path)
    except ImageError as error:
        message = str(error)
    if pixels is None:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


def test_reading_changes_no_global_state(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(odd_images.bomb())
    good = tmp_path / "good.png"
    good.write_bytes(PNG)
    state = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)

    def work() -> None:
        for _ in range(20):
            read_image(good)
            with pytest.raises(ImageError):
                read_image(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    assert now == state


def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, nstbench.pictures.picture; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(nstbench.__file__).parents[1],
    )  # fmt: skip
    assert result.stdout.strip() == "False"


# --- fitting -----------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (300, 511), (33, 32), (32, 32)])
@pytest.mark.parametrize("size", [32, 64, 127])
def test_fit_shapes_and_idempotence(height: int, width: int, size: int) -> None:
    pixels = odd_images.gradient(height, width)
    cropped = fit(pixels, size, "crop")
    assert cropped.shape == (size, size, 3)
    inside = fit(pixels, size, "inside")
    assert max(inside.shape[:2]) == size
    assert abs(inside.shape[0] / inside.shape[1] - height / width) < 0.05
    np.testing.assert_array_equal(fit(cropped, size, "crop"), cropped)
    np.testing.assert_array_equal(fit(inside, size, "inside"), inside)


def test_crop_takes_the_middle() -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = (np.arange(64) * 4)[None, :, None]
    np.testing.assert_array_equal(fit(pixels, 64, "crop"), pixels[:, 32:96])
    upright = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    np.testing.assert_array_equal(fit(upright, 64, "crop"), upright[32:96])


def test_shrinking_is_antialiased() -> None:
    checkers = np.indices((256, 256)).sum(axis=0) % 2 * 255
    pixels = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    assert np.abs(fit(pixels, 64, "inside").astype(int) - 127.5)[4:-4, 4:-4].max() < 4


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'crop' or 'inside'"):
        fit(odd_images.gradient(), 32, "stretch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8 RGB"):
        fit(np.zeros((4, 4, 3)), 32, "crop")
    with pytest.raises(ValueError, match="uint8 RGB"):
        pixel_hash(np.zeros((4, 4), np.uint8))


# --- tensors and files -------------------------------------------------------------------


def test_tensor_round_trip_is_exact() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint32).astype(np.uint8).reshape(16, 16, 3)
    pixels.setflags(write=False)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor[0, 1, 2, 3].item() == np.float32(pixels[2, 3, 1]) / np.float32(255)
    np.testing.assert_array_equal(to_pixels(tensor), pixels)


def test_to_pixels_clamps_rounds_and_refuses() -> None:
    tensor = torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 2.0]).reshape(1, 1, 1, 4)
    levels = to_pixels(tensor.repeat(1, 3, 1, 1).double().requires_grad_())
    assert levels[0, :, 0].tolist() == [0, 0, 1, 255]
    for bad in (torch.zeros(2, 3, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(4, 4)):
        with pytest.raises(ValueError, match="one RGB picture"):
            to_pixels(bad)
    with pytest.raises(ValueError, match="not finite"):
        to_pixels(torch.full((1, 3, 4, 4), float("nan")))


def test_resize_against_pillow() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    for shape in ((48, 64), (31, 200)):
        ours = resize(to_tensor(pixels), shape)
        for channel in range(3):
            # Mode F, because Pillow rounds between its two passes for 8 bits.
            plane = Image.fromarray(pixels[..., channel].astype(np.float32))
            theirs = plane.resize(shape[::-1], Image.Resampling.BICUBIC)
            expected = np.asarray(theirs).clip(0, 255) / 255.0
            np.testing.assert_allclose(ours[0, channel].numpy(), expected, atol=2e-5)
    edge = torch.zeros(2, 3, 32, 32)
    edge[..., 16:] = 1.0
    scaled = resize(edge, (64, 64))
    assert scaled.shape == (2, 3, 64, 64)
    assert scaled.min() == 0.0
    assert scaled.max() == 1.0
    assert resize(edge, (32, 32)) is edge


def test_write_png_is_lossless_and_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "picture.png"
    pixels = odd_images.gradient()
    write_png(path, pixels)
    np.testing.assert_array_equal(read_image(path), pixels)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StoreError, match=r"picture\.png cannot be written: No space left"):
        write_png(path, 255 - pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]


def test_pixel_hash_sees_shape_and_values() -> None:
    pixels = odd_images.gradient(32, 32)
    same = np.asfortranarray(pixels)
    assert pixel_hash(pixels) == pixel_hash(same)
    assert len(pixel_hash(pixels)) == 64
    changed = pixels.copy()
    changed[3, 4, 1] ^= 1
    hashes = {pixel_hash(p) for p in (pixels, changed, pixels.reshape(16, 64, 3))}
    assert len(hashes) == 3


# --- pictures ----------------------------------------------------------------------------


def test_load_picture_with_its_map(tmp_path: Path) -> None:
    pixels = odd_images.gradient(96, 160)
    labels = np.zeros((48, 80, 3), np.uint8)
    labels[:, 40:] = (255, 0, 0)
    write_png(tmp_path / "a.png", pixels)
    write_png(tmp_path / "a_sem.png", labels)
    record = ImageRecord("a", tmp_path / "a.png", semantic_map=tmp_path / "a_sem.png")
    shapes: dict[Fit, tuple[int, ...]] = {
        "crop": (1, 3, 64, 64),
        "inside": (1, 3, 38, 64),
    }
    for way, shape in shapes.items():
        picture = load_picture(record, 64, way)
        assert picture.semantic_map is not None
        assert picture.pixels.shape == picture.semantic_map.shape == shape
        found = to_pixels(picture.semantic_map)
        assert {tuple(c) for c in found.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 0, 0)}
        assert (found[:, :32, 0] == 0).all()
        assert (found[:, 32:, 0] == 255).all()
        assert picture.sha256 == pixel_hash(to_pixels(picture.pixels))
        assert picture.record is record


def test_fit_picture_gives_the_pixels_of_load_picture(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", odd_images.gradient(96, 160))
    write_png(tmp_path / "a_sem.png", odd_images.gradient(48, 80))
    record = ImageRecord("a", tmp_path / "a.png", semantic_map=tmp_path / "a_sem.png")
    pixels, labels = fit_picture(record, 64, "crop")
    picture = load_picture(record, 64, "crop")
    assert labels is not None
    assert picture.semantic_map is not None
    np.testing.assert_array_equal(pixels, to_pixels(picture.pixels))
    np.testing.assert_array_equal(labels, to_pixels(picture.semantic_map))
    assert picture.sha256 == pixel_hash(pixels)


def test_load_picture_decodes_and_hashes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "a.png", odd_images.gradient(96, 160))
    calls = []
    for name in ("read_image", "pixel_hash"):
        function = getattr(picture_module, name)
        monkeypatch.setattr(
            picture_module, name, lambda value, f=function, n=name: calls.append(n) or f(value)
        )
    load_picture(ImageRecord("a", tmp_path / "a.png"), 64, "crop")
    assert calls == ["read_image", "pixel_hash"]


@pytest.mark.parametrize(("width", "same"), [(400, True), (407, True), (409, False), (391, False)])
def test_same_proportions_allows_two_percent(width: int, same: bool) -> None:
    reference, other = np.zeros((150, 200, 3), np.uint8), np.zeros((300, width, 3), np.uint8)
    assert same_proportions(other, reference) is same


def test_map_that_is_missing_or_of_another_shape(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", odd_images.gradient(96, 160))
    write_png(tmp_path / "square.png", odd_images.gradient(96, 96))
    for name, reason in (
        ("square.png", "not the shape of its picture"),
        ("no.png", "no such file"),
    ):
        record = ImageRecord("a", tmp_path / "a.png", semantic_map=tmp_path / name)
        with pytest.raises(ImageError, match=f"{name}: .*{reason}"):
            load_picture(record, 64, "crop")


def test_shared_photographs_and_maps() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "semantic"
    if not folder.is_dir():
        pytest.skip("needs ../shared")
    record = ImageRecord("seth", folder / "seth.jpg", semantic_map=folder / "seth_sem.png")
    picture = load_picture(record, 128, "inside")
    assert picture.semantic_map is not None
    assert picture.pixels.shape == picture.semantic_map.shape == (1, 3, 128, 88)
