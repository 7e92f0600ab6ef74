"""A convolution with constant weights that is fast on CPUs for small pictures, too.

oneDNN computes torch's convolutions on CPUs. It needs weights in an order of its own and
reorders them at every call, forward and backward. That takes as long for 64 px as for 1024 px,
and most of the time of VGG's deep layers at 128 px. Weights that never change can be reordered
once (here: *packed*). The operators for it are part of torch, written for its compiler. The best
order depends on the size of the activations and on the number of threads; from another order
oneDNN reorders the weights at every call, by code that takes up to a hundred times as long as the
convolution. So weights are packed for each size, and equal copies are kept once. For GPUs,
packed weights have multiples of eight channels (:mod:`nstbench.nn.layers.gpu_kernels`); they are
used where a gradient is computed. Where neither applies (other devices and processors, trained
weights, channels before positions, groups), torch's ordinary convolution is used.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.layers import gpu_kernels
from nstbench.nn.layers.reflection import with_reflected_border

_ONE = [1, 1]
_LAST = torch.channels_last


class FrozenConvolution(nn.Conv2d):
    """``nn.Conv2d`` with weights that are not trained; its results are those of ``nn.Conv2d``.

    Changes of the weights between two calls are detected, except through ``weight.data``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # by dtype, direction, number of threads, and shape of the activations
        self._packed: dict[tuple[torch.dtype, bool, int, tuple[int, ...]], torch.Tensor] = {}
        self._packed_of: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the packed weights, which can neither be copied nor saved."""
        return {**self.__dict__, "_packed": {}}

    def forward(self, x: torch.Tensor, rectify: bool = False) -> torch.Tensor:
        """Return the convolution (B, outputs, H', W'); autocast applies as in ``nn.Conv2d``.

        Args:
            x: floating-point activations (B, inputs, H, W).
            rectify: return max(0, result), in one pass over the memory where possible.
        """
        learns = torch.is_grad_enabled() and x.requires_grad
        if learns or not self.packs(x):
            y = self._mirrored(x) if self._mirrors(x) else super().forward(x)
            return y.relu_() if rectify else y
        return self.convolve_packed(x.to(self._dtype()), rectify)

    def packs(self, x: torch.Tensor) -> bool:
        """Return True if a CPU can convolve activations with packed weights."""
        return (
            x.device.type == "cpu"
            and self._is_plain(x)
            and bool(torch.backends.mkldnn.enabled)
            and _works(self._dtype())
        )

    def chains(self, x: torch.Tensor) -> bool:
        """Return True if packed weights can be used in both directions, on CPUs or GPUs."""
        return self.packs(x) or (x.is_cuda and self._is_plain(x))

    def convolve_packed(self, x: torch.Tensor, rectify: bool) -> torch.Tensor:
        """Return the convolution with packed weights, without recording a gradient.

        Args:
            x: (B, inputs, H, W), channels last; :meth:`packs` must be true for it.
            rectify: return max(0, result).

        Returns:
            (B, outputs, H', W') of the dtype of ``x``, channels last.
        """
        padding = self.borders()
        if not self._is_on_cpu():
            weight = self._weight(x, padding, self.stride)
            y = gpu_kernels.convolved(x, weight, self.out_channels, self.stride, padding)
            return gpu_kernels.with_bias(y, self.bias, rectify)
        if self.padding_mode != "zeros":
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = [0, 0]
        bias = None if self.bias is None else self.bias.to(x.dtype)
        weight = self._weight(x, padding, self.stride)
        made: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, padding, self.stride, _ONE, 1,
            "relu" if rectify else "none", [], "",
        )  # fmt: skip
        return made

    def gradient_packed(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the input: a convolution with weights turned by 180 degrees.

        This is correct for stride 1 and a border of zeros that is narrower than the kernel.

        Args:
            gradient: gradient of the output, (B, outputs, H', W').

        Returns:
            (B, inputs, H, W) of the dtype of ``gradient``, channels last.
        """
        around = [k - 1 - p for k, p in zip(self.kernel_size, self.borders(), strict=True)]
        weight = self._weight(gradient, around, _ONE, turned=True)
        if not self._is_on_cpu():
            return gpu_kernels.convolved(gradient, weight, self.in_channels, _ONE, around)
        of_input: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            gradient, weight, None, around, _ONE, _ONE, 1, "none", [], ""
        )
        return of_input

    def borders(self) -> list[int]:
        """Return the numbers of rows and columns of zeros on each side of a picture."""
        assert not isinstance(self.padding, str)
        return list(self.padding)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        # other devices and dtypes need other copies, and the present ones would stay in memory
        self._packed.clear()
        return super()._apply(*args, **kwargs)

    def _is_frozen(self) -> bool:
        learns = self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)
        # tensors made in inference mode have no version counter, so changes cannot be detected
        return not learns and not self.weight.is_inference()

    def _mirrors(self, x: torch.Tensor) -> bool:
        return x.is_cuda and self.padding_mode == "reflect" and self.dilation == (1, 1)

    def _mirrored(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution with a mirrored border, without torch's slow operator for it."""
        bordered = with_reflected_border(x, *self.borders())
        return F.conv2d(bordered, self.weight, self.bias, self.stride, groups=self.groups)

    def _is_on_cpu(self) -> bool:
        return self.weight.device.type == "cpu"

    def _is_plain(self, x: torch.Tensor) -> bool:
        """Return True if weights are frozen, and the activations of their dtype, channels last."""
        if torch.compiler.is_compiling() or not self._is_frozen():
            return False
        plain = self.groups == 1 and self.dilation == (1, 1) and not isinstance(self.padding, str)
        autocast = torch.is_autocast_enabled(x.device.type)
        alike = (autocast or x.dtype == self.weight.dtype) and x.is_contiguous(memory_format=_LAST)
        return plain and alike

    def _dtype(self) -> torch.dtype:
        """Return the dtype of the computation, the same as under autocast."""
        if torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu")
        return self.weight.dtype

    def _weight(
        self, x: torch.Tensor, padding: list[int], stride: Sequence[int], turned: bool = False
    ) -> torch.Tensor:
        """Return the weights as the device's kernels want them, arranged at the first call.

        Args:
            x: the activations, or the gradient.
            padding: rows and columns of zeros on each side.
            stride: of the convolution.
            turned: return those of :meth:`gradient_packed`.
        """
        state = (self.weight.data_ptr(), self.weight._version)
        if self._packed_of != state:
            self._packed.clear()
            self._packed_of = state
        size = (torch.get_num_threads(), tuple(x.shape)) if self._is_on_cpu() else (0, ())
        key = (x.dtype, turned, *size)
        if key not in self._packed:
            weight = self.weight.detach().to(x.dtype)
            if turned:
                weight = weight.flip(2, 3).transpose(0, 1)
            if self._is_on_cpu():
                packed = torch.ops.mkldnn._reorder_convolution_weight(
                    weight.contiguous(memory_format=_LAST), padding, stride, _ONE, 1, list(x.shape)
                )
                alike = [other for known, other in self._packed.items() if known[:2] == key[:2]]
                packed = next((other for other in alike if same_bytes(other, packed)), packed)
            else:
                packed = gpu_kernels.aligned(weight)
            self._packed[key] = packed
        return self._packed[key]


def same_bytes(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return True if two packed copies of the same weights have the same order."""
    return np.array_equal(_bytes(first), _bytes(second))


def _bytes(packed: torch.Tensor) -> np.ndarray:
    """Return the memory of a packed tensor, uint8; it lives as long as the tensor."""
    buffer = ctypes.c_uint8 * torch.ops.mkldnn._nbytes(packed)
    return np.ctypeslib.as_array(buffer.from_address(torch.ops.mkldnn.data_ptr(packed)))


@cache
def _works(dtype: torch.dtype) -> bool:
    """Return True if this processor and this torch have the operators for a dtype."""
    if platform.machine() not in {"x86_64", "AMD64"} or not torch.backends.mkldnn.is_available():
        return False
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        layer = nn.Conv2d(4, 4, 3).to(dtype).requires_grad_(False)
        x = torch.ones(1, 4, 3, 3, dtype=dtype)
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            layer.weight, [0, 0], _ONE, _ONE, 1, list(x.shape)
        )
        _bytes(weight)
        torch.ops.mkldnn._convolution_pointwise(
            x, weight, layer.bias, [0, 0], _ONE, _ONE, 1, "relu", [], ""
        )
    # the operator is missing, has other arguments, or does not support this dtype
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
