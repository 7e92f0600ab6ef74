"""Convolutions of 3 x 3 by fewer multiplications, for passes that need no gradient.

Winograd's algorithm F(4 x 4, 3 x 3) makes each 4 x 4 tile of the result from a 6 x 6 tile of the
input with 36 multiplications per pair of channels instead of 144:

    Y = A^T [(G g G^T) * (B^T d B)] A

Transforming the tiles costs additions, so this pays for many channels and many positions only. On
VGG-16's blocks 3 and 4 it takes about half the time of oneDNN's direct convolution. The error of a
layer is about 1.5 times as large: 8e-7 of the result's norm in float32.

Reference: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks",
arXiv 1509.09308, section 4.3.
"""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.layers.frozen_convolution import FrozenConvolution, same_bytes

TILE = 4
"""Height and width of a tile of the result; tiles of the input are larger by two."""

LEAST_CHANNELS = 128
LEAST_POSITIONS = 32 * 32
"""Channels of the input and positions of the result from which tiles are faster."""

AT_ONCE = 256
"""Tiles that are transformed at a time, so that they fit into the cache of a processor."""

_SIDE = TILE + 2
_GROUPS = _SIDE * _SIDE
_INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_KERNEL = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_RESULT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
_ONE, _NONE = [1, 1], [0, 0]


class WinogradConvolution(FrozenConvolution):
    """A frozen 3 x 3 convolution with stride 1 and a border of 1; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tiled: dict[tuple[int, ...], torch.Tensor] = {}
        self._tiled_of: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the transformed weights."""
        return {**super().__getstate__(), "_tiled": {}, "_tiled_of": None}

    def convolve_packed(self, x: torch.Tensor, rectify: bool) -> torch.Tensor:
        """Return the convolution; arguments and result as in ``FrozenConvolution``."""
        pays = self.in_channels >= LEAST_CHANNELS and x[0, 0].numel() >= LEAST_POSITIONS
        if not pays or x.dtype != torch.float32 or x.device.type != "cpu":
            return super().convolve_packed(x, rectify)
        height, width = x.shape[2:]
        down, across = -(-height // TILE), -(-width // TILE)
        border = (1, TILE * across - width + 1, 1, TILE * down - height + 1)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, *border))
        made = x.new_empty(len(x), down, TILE, across, TILE, self.out_channels)
        step = max(1, AT_ONCE // across)
        for picture, result in zip(padded, made, strict=True):
            for start in range(0, down, step):
                rows = result[start : start + step]
                tiles = self._tiles(picture[TILE * start :], len(rows), across)
                if self.bias is None:
                    rows.copy_(tiles)
                else:
                    torch.add(tiles, self.bias, out=rows)
        y = made.view(len(x), TILE * down, TILE * across, -1)
        if rectify:
            y.relu_()
        # the tiles may reach beyond the last row and column
        return y[:, :height, :width].contiguous().permute(0, 3, 1, 2)

    def _tiles(self, padded: torch.Tensor, down: int, across: int) -> torch.Tensor:
        """Return tiles of the result without its bias, (down, TILE, across, TILE, outputs).

        Args:
            padded: the input from the first row of the first tile on, (H, W, inputs).
            down: number of rows of tiles.
            across: number of tiles in a row.
        """
        y, x, c = padded.stride()
        shape = (_SIDE, _SIDE, down, across, self.in_channels)
        seen = padded.as_strided(shape, (y, x, TILE * y, TILE * x, c))
        tiles = down * across
        moved = _both_axes(padded.new_tensor(_INPUT), seen.reshape(_GROUPS, -1))
        # One position per tile, and one group of channels per entry of a tile.
        flat = moved.view(_GROUPS, tiles, -1).transpose(0, 1).reshape(1, down, across, -1)
        product: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            flat.permute(0, 3, 1, 2), self._transformed(down, across), None,
            _NONE, _ONE, _ONE, _GROUPS, "none", [], "",
        )  # fmt: skip
        entries = product.permute(0, 2, 3, 1).reshape(tiles, _GROUPS, -1).transpose(0, 1)
        back = _both_axes(padded.new_tensor(_RESULT), entries.reshape(_GROUPS, -1))
        return back.view(TILE, TILE, down, across, -1).permute(2, 0, 3, 1, 4)

    def _transformed(self, down: int, across: int) -> torch.Tensor:
        """Return the weights of all entries of a tile in oneDNN's order, made at the first call."""
        state = (self.weight.data_ptr(), self.weight._version)
        if self._tiled_of != state:
            self._tiled.clear()
            self._tiled_of = state
        key = (down, across, torch.get_num_threads())
        if key not in self._tiled:
            kernel = torch.tensor(_KERNEL, dtype=torch.float64)
            # one row per entry of a kernel, one column per pair of channels
            entries = self.weight.permute(2, 3, 0, 1).flatten(2).flatten(0, 1).double()
            weight = (torch.kron(kernel, kernel) @ entries).float()
            made = torch.ops.mkldnn._reorder_convolution_weight(
                weight.view(-1, self.in_channels, 1, 1).contiguous(
                    memory_format=torch.channels_last
                ),
                _NONE, _ONE, _ONE, _GROUPS, [1, _GROUPS * self.in_channels, down, across],
            )  # fmt: skip
            known = self._tiled.values()
            self._tiled[key] = next((other for other in known if same_bytes(other, made)), made)
        return self._tiled[key]

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._tiled.clear()
        return super()._apply(*args, **kwargs)


def use_winograd(network: nn.Module) -> None:
    """Replace the convolutions of a network that tiles can make faster; weights are shared."""
    for name, step in network.named_children():
        if type(step) is FrozenConvolution and _can(step):
            made = WinogradConvolution(
                step.in_channels, step.out_channels, 3, padding=1, bias=False, device="meta"
            )
            made.weight, made.bias = step.weight, step.bias
            setattr(network, name, made.eval())


def _can(step: FrozenConvolution) -> bool:
    return (
        (step.kernel_size, step.stride, step.dilation) == ((3, 3), (1, 1), (1, 1))
        and (step.padding, step.padding_mode, step.groups) == ((1, 1), "zeros", 1)
        and step.in_channels >= LEAST_CHANNELS
        and step.weight.dtype == torch.float32
    )


def _both_axes(matrix: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
    """Return matrix @ tile @ matrix^T for tiles whose entries are the rows of (n n, M)."""
    rows, columns = matrix.shape
    down = matrix @ tiles.view(columns, -1)
    return matrix @ down.view(rows, columns, -1)
