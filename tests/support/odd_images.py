"""Image files that programs trip over, made byte by byte where no library writes them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Display P3's primaries, adapted to D50: rows X, Y, Z; columns R, G, B.
P3_TO_XYZ = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    """Return smooth uint8 RGB whose corners differ, so that every turn of it is told apart."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 255 // (height - 1), columns * 255 // (width - 1)
    return np.stack([red, green, (red + green) // 3], axis=-1).astype(np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Return a PNG of unfiltered ``rows``; ``extra`` holds chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(samples: np.ndarray, colour: int, extra: bytes = b"") -> bytes:
    """Return a 16-bit PNG of uint16 samples (H, W, channels)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(samples.shape[1], samples.shape[0], 16, colour, rows, extra)


def bomb() -> bytes:
    """Return a small PNG that claims 60000 x 60000 pixels."""
    return png(60_000, 60_000, 8, 2, b"\0" * 1000)


def rgb_profile(gamma: float = 2.2) -> bytes:
    """Return an ICC profile with Display P3's primaries and a pure power curve."""
    tags = {
        name: b"XYZ \0\0\0\0" + b"".join(_s15(v) for v in P3_TO_XYZ[:, i])
        for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | {n: _curve(gamma) for n in _TRC})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(paper: bytes, inked: dict[int, bytes]) -> bytes:
    """Return a CMYK profile: 8-bit Lab of bare paper, and of the corners named in ``inked``.

    Corners are numbered in binary, cyan the highest bit; all others are black.
    """
    corners = {0: paper} | inked
    grid = b"".join(corners.get(i, b"\x00\x80\x80") for i in range(16))
    matrix = b"".join(_s15(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


_TRC = (b"rTRC", b"gTRC", b"bTRC")


def _s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = b"XYZ \0\0\0\0" + b"".join(_s15(v) for v in D50)
    text = b"test\0"
    tags = tags | {
        b"wtpt": white,
        b"cprt": b"text\0\0\0\0" + text,
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 79,
    }
    directory, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"test", 0x02400000, kind, space, connection
    )
    header += b"\0" * 12 + b"acsp" + b"\0" * 28
    header += b"".join(_s15(v) for v in D50) + b"\0" * 48
    return header + directory + body
