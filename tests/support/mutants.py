"""Valid files and random edits of them, for fuzzing with Hypothesis."""

from __future__ import annotations

import io
import json
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import odd_images
import tifffile
from hypothesis import strategies as st
from PIL import Image

# Values at which lengths, counts and offsets overflow or become negative.
EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0",
            b"\0\0\0\x80", b"\0\1\0\0", b"\xff\xff", b"\0\0"]  # fmt: skip


@cache
def pictures() -> dict[str, bytes]:
    """Return name -> a small valid picture, for every format and the modes it supports."""
    rgb = odd_images.gradient(40, 48)
    wide = (np.arange(40 * 48, dtype=np.uint32).reshape(40, 48) * 34).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    marked: dict[str, Any] = {"icc_profile": odd_images.rgb_profile(), "exif": exif}
    image = Image.fromarray(rgb)
    frames = [Image.fromarray(np.roll(rgb, 9 * i, 0)) for i in (1, 2)]
    more: dict[str, Any] = {"save_all": True, "append_images": frames}
    return {
        "jpeg": _saved(image, "JPEG", **marked),
        "jpeg-progressive": _saved(image, "JPEG", progressive=True, optimize=True),
        "jpeg-cmyk": _saved(image.convert("CMYK"), "JPEG",
                            icc_profile=odd_images.cmyk_profile(b"\xff\x80\x80", {})),
        "jpeg-grey": _saved(image.convert("L"), "JPEG", restart_marker_blocks=2),
        "png": _saved(image, "PNG", **marked),
        "png-16": odd_images.png16(np.stack([wide] * 3, -1), 2),
        "png-grey-16": odd_images.png16(wide[..., None], 0,
                                        odd_images.chunk(b"tRNS", b"\x01\x05")),
        "png-palette": _saved(image.quantize(16), "PNG", transparency=b"\0\x80\xff"),
        "png-alpha": _saved(Image.fromarray(np.dstack([rgb, rgb[..., 0]])), "PNG"),
        "png-animated": _saved(image, "PNG", **more),
        "gif": _saved(image, "GIF", transparency=3),
        "gif-animated": _saved(image, "GIF", **more),
        "webp": _saved(image, "WEBP", **marked),
        "webp-lossless": _saved(image, "WEBP", lossless=True),
        "webp-animated": _saved(image, "WEBP", **more),
        "bmp": _saved(image, "BMP"),
        "bmp-palette": _saved(image.quantize(16), "BMP"),
        "tiff": _saved(image, "TIFF", **marked),
        "tiff-lzw": _saved(image, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": _saved(image, "TIFF", compression="tiff_deflate"),
        "tiff-jpeg": _saved(image, "TIFF", compression="jpeg"),
        "tiff-packbits": _saved(image.convert("1"), "TIFF", compression="packbits"),
        "tiff-fax": _saved(image.convert("1"), "TIFF", compression="group4"),
        "tiff-pages": _saved(image, "TIFF", **more),
        "tiff-float": _tiff(wide.astype(np.float32) / 65535),
        "tiff-tiles": _tiff(np.pad(rgb, ((0, 24), (0, 16), (0, 0))), tile=(32, 32)),
        "tiff-planes": _tiff(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"),
    }  # fmt: skip


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _tiff(samples: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


@st.composite
def broken_pictures(draw: st.DrawFn) -> bytes:
    """Draw a picture file with one to six edits; the checksums of some PNG files are corrected."""
    names = st.sampled_from(sorted(pictures()))
    data = edited(draw, pictures()[draw(names)], [pictures()[draw(names)]])
    if data.startswith(b"\x89PNG") and draw(st.booleans()):
        data = _with_checksums(data)
    return data


def edited(draw: st.DrawFn, data: bytes, others: list[bytes]) -> bytes:
    """Change bytes, write extreme values, cut, repeat, remove, insert or splice, up to 6 times."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["byte", "byte", "extreme", "extreme", "cut", "repeat",
                                     "remove", "insert", "splice"]))  # fmt: skip
        # The first bytes of a file decide most about how it is read.
        reach = draw(st.sampled_from([len(content), min(len(content), 120)]))
        place = draw(st.integers(0, max(0, reach - 1)))
        length = draw(st.sampled_from([1, 4, 13, 100, 1000]))
        if kind == "byte" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "extreme":
            value = draw(st.sampled_from(EXTREMES))
            content[place : place + len(value)] = value
        elif kind == "cut":
            del content[place:]
        elif kind == "repeat":
            content[place:place] = content[place : place + length]
        elif kind == "remove":
            del content[place : place + length]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=20))
        elif kind == "splice":
            other = draw(st.sampled_from(others))
            content[place:] = other[min(place, len(other)) :]
    return bytes(content)


def _with_checksums(data: bytes) -> bytes:
    """Return a PNG with correct checksums of all complete chunks."""
    out, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            break
        body = data[place + 4 : place + 8 + length]
        out += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return out + data[place:]


# --- text --------------------------------------------------------------------------------

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 1e308, "", "x" * 500, "../../../etc/passwd", "/etc/passwd", "a\0b",
    "\ud800", "<script>", [], {}, [[]], {"": {}}, [None], "done", "failed", float("nan"),
]  # fmt: skip


@st.composite
def broken_json(draw: st.DrawFn, data: Any) -> bytes:
    """Draw a JSON file in which a node is replaced, removed or repeated, or bytes are changed."""
    text = json.dumps(data).encode()
    if draw(st.integers(0, 3)) == 0:
        deep = draw(st.booleans())
        return b"[" * 200_000 if deep and draw(st.booleans()) else edited(draw, text, [text])
    whole = [json.loads(text)]
    for _ in range(draw(st.integers(1, 3))):
        node: Any = whole
        for _ in range(draw(st.integers(1, 6))):
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.integers(0, 4)):
                node = node[key]
                continue
            if draw(st.integers(0, 3)):
                node[key] = draw(st.sampled_from(ODD_VALUES))
            elif node is not whole:
                del node[key]
            break
    return json.dumps(whole[0]).encode()


YAML_PIECES = [
    "&a [*a]", "*b", "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "? ",
    "<<: 1", "2001-99-99", "2001-13-01 99:99:99", "0x_", "0b", ".inf", "-.nan", "[" * 999,
    "{" * 50, "- " * 60, "!!timestamp x", "!!bool x", "!!int x", "!!float x", "!!binary '*'",
    "!!set {a: 1}", "!!omap [a]", "!!pairs [a]", "'", '"', "|", ">", "\t", "\0", "\u2028",
    "%YAML 9.9", "---", "...", ": :", "1: 2", "[1]: 2", "null: 1", "suite: [1]", "suite: {a: b}",
    "methods: {a: 1}", "study: {method: 3}", "study: 1", "study: {grid: {a: 1..9:999999999}}",
    "size: 1e999", "seeds: {}", "plugins: [1]", "out: [a]", "timing_sizes: 3", "methods: [[[]]]",
    "limit: .nan", "a: &x [1,1,1,1,1,1,1,1,1,1]\nb: &y [*x,*x,*x,*x,*x,*x,*x,*x]\n"
    "c: &z [*y,*y,*y,*y,*y,*y,*y]\nd: &w [*z,*z,*z,*z,*z,*z,*z,*z]\n"
    "params: [*w,*w,*w,*w,*w,*w,*w,*w,*w]\nsize: [*w,*w,*w,*w,*w]",
]  # fmt: skip


@st.composite
def broken_yaml(draw: st.DrawFn, texts: list[str]) -> bytes:
    """Draw a configuration file with lines that are difficult for YAML readers."""
    lines = draw(st.sampled_from(texts)).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1)) if lines else 0
        piece = draw(st.sampled_from(YAML_PIECES))
        kind = draw(st.sampled_from(["line", "value", "remove", "indent"]))
        if kind == "line" or not lines:
            lines.insert(place, piece)
        elif kind == "value":
            lines[place] = f"{lines[place].partition(':')[0]}: {piece}"
        elif kind == "remove":
            del lines[place]
        else:
            lines[place] = "  " + lines[place]
    text = "\n".join(lines).encode()
    return edited(draw, text, [text]) if draw(st.integers(0, 3)) == 0 else text
