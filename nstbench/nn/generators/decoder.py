"""Decoders that mirror VGG: from the activations of one layer back to a picture.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
Normalization" (arXiv 1703.06868), section 6 and supplement; Li et al., "Universal Style
Transfer via Feature Transforms" (arXiv 1705.08086), section 3.1. A decoder reverses the
encoder step by step: each convolution with its numbers of channels swapped, and
nearest-neighbour enlargement for each pooling. Borders are reflected. There is no
normalisation, because it would fix the statistics of the style (Huang and Belongie,
section 7.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.backbones.vgg import VGG16_BLOCKS, VGG19_BLOCKS, WIDTHS
from nstbench.nn.inference.fused_chain import FusedChain
from nstbench.nn.layers.aligned_convolution import AlignedConv2d
from nstbench.nn.layers.layered import LayeredNetwork

_BLOCKS = {"vgg16": VGG16_BLOCKS, "vgg19": VGG19_BLOCKS}


class MirroredDecoder(nn.Sequential):
    """The mirror image of VGG from ``layer`` to the picture.

    For ``relu4_1`` it has 2,915,139 parameters for VGG-16 and 3,505,219 for VGG-19, whose third
    block has one more convolution.

    Args:
        blocks: convolutions per block, ``VGG16_BLOCKS`` or ``VGG19_BLOCKS``.
        layer: a rectified layer of that VGG, ``"reluB_I"``.

    Attributes:
        stride: pixels per position of the layer, along each side.
        fused: another form for stylisation on a GPU, see :mod:`nstbench.nn.inference.fused_chain`.

    Raises:
        ValueError: if that VGG has no such layer.
    """

    fused: FusedChain | None = None

    def __init__(self, blocks: tuple[int, ...], layer: str) -> None:
        block, index = _place(blocks, layer)
        self.stride = 2 ** (block - 1)
        super().__init__(*_steps(blocks, block, index))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return a picture (B, 3, stride * H, stride * W), not clamped.

        Args:
            features: activations of the layer, (B, C, H, W).
        """
        if self.fused is not None and self.fused.suits(features):
            return self.fused(features)
        return super().forward(features)


def build_decoder(network: str, layer: str, device: torch.device) -> MirroredDecoder:
    """Return a decoder with random weights on ``device``, in channels-last order.

    Args:
        network: ``"vgg16"`` or ``"vgg19"``.
        layer: see :class:`MirroredDecoder`.
        device: device of the decoder.
    """
    decoder = MirroredDecoder(_BLOCKS[network], layer)
    # torch's stubs know the memory format of tensors only.
    return decoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def mirror_weights(
    decoder: MirroredDecoder, encoder: LayeredNetwork, layer: str, pixels: torch.Tensor
) -> None:
    """Initialise a decoder with the weights of its encoder, transposed and turned.

    This is a rough inverse of every convolution. Each convolution is scaled so that rectified
    activations are as strong as those of the encoder at the same place. The output is scaled
    to the contrast and the mean colour of the pictures. Training then needs fewer steps than
    from random weights, which first have to learn the meaning of each channel.

    Args:
        decoder: a decoder of ``layer``.
        encoder: the VGG that it mirrors.
        layer: see :class:`MirroredDecoder`.
        pixels: a few photographs, float RGB (B, 3, H, W) in [0, 1].
    """
    names = [n for n in encoder.layers[: encoder.layers.index(layer) + 1] if n.startswith("relu")]
    wanted = [pixels, *encode(encoder, pixels, names).values()]
    h = wanted.pop().float()
    for step in decoder:
        if not isinstance(step, nn.Conv2d):
            h = step(h)
            continue
        twin = encoder.get_submodule(names.pop().replace("relu", "conv")).weight
        assert isinstance(twin, torch.Tensor)
        assert step.bias is not None
        step.weight.copy_(twin.transpose(0, 1).flip(-2, -1))
        step.bias.zero_()
        h, target = step(h), wanted.pop().float()
        if names:
            gain = target.square().mean().sqrt() / F.relu(h).square().mean().sqrt()
        else:
            gain = target.std() / h.std()
            step.bias.copy_((target - gain * h).mean(dim=(0, 2, 3)))
        step.weight.mul_(gain)
        h = gain * h


@torch.no_grad()
def copy_tail(shallow: MirroredDecoder, deep: MirroredDecoder) -> None:
    """Copy the weights of a shallower decoder of the same network into a deeper one.

    The last convolutions of a decoder have the same shapes as those of every shallower one.

    Args:
        shallow: decoder whose weights are copied.
        deep: decoder whose last convolutions receive them.
    """
    pairs = zip(_convolutions(shallow)[::-1], _convolutions(deep)[::-1], strict=False)
    for source, target in pairs:
        target.load_state_dict(source.state_dict())


def _convolutions(decoder: MirroredDecoder) -> list[nn.Conv2d]:
    return [step for step in decoder if isinstance(step, nn.Conv2d)]


def reflect_borders(encoder: LayeredNetwork) -> LayeredNetwork:
    """Set all convolutions of an encoder to reflect the picture's borders, and return it.

    VGG was trained with borders of zeros. They look like a dark frame, and decoders reproduce it.
    """
    for step in encoder.modules():
        if isinstance(step, nn.Conv2d):
            step.padding_mode = "reflect"
    return encoder


def restore_decoder(
    network: str, layer: str, device: torch.device, tensors: Mapping[str, torch.Tensor]
) -> MirroredDecoder:
    """Return a frozen decoder with the weights of a ``state_dict``; see :func:`build_decoder`."""
    decoder = build_decoder(network, layer, device)
    decoder.load_state_dict(tensors)
    return decoder.requires_grad_(False)


def tensors_of(tensors: Mapping[str, torch.Tensor], layer: str) -> dict[str, torch.Tensor]:
    """Return the tensors of one layer's decoder, without the layer's name as prefix."""
    prefix = f"{layer}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def encode(
    encoder: LayeredNetwork, pixels: torch.Tensor, layers: Collection[str]
) -> dict[str, torch.Tensor]:
    """Return an encoder's activations of pictures; see :class:`LayeredNetwork`."""
    fused = _FUSED.get(encoder)
    if fused is not None and len(layers) == 1 and fused.suits(pixels):
        (layer,) = layers
        encoder.check(pixels, layers)
        return {layer: fused((pixels - encoder.mean) / encoder.std, layer)}
    laid_out = pixels.contiguous(memory_format=torch.channels_last)
    activations: dict[str, torch.Tensor] = encoder(laid_out, layers)
    return activations


def fuse(network: nn.Module, dtype: torch.dtype) -> None:
    """Let the encoders and decoders in a frozen network work in their fused form from now on.

    Args:
        network: a network on a GPU; its weights must not change afterwards.
        dtype: a number format of 16 bits, in which they multiply.
    """
    for module in network.modules():
        if isinstance(module, MirroredDecoder):
            module.fused = FusedChain(module.named_children(), dtype)
        elif isinstance(module, LayeredNetwork):
            # encode() finds it here; the forward pass for gradients stays as it is
            with contextlib.suppress(ValueError):
                _FUSED[module] = FusedChain(module.named_children(), dtype)


_FUSED: WeakKeyDictionary[LayeredNetwork, FusedChain] = WeakKeyDictionary()


def parameters_up_to(encoder: LayeredNetwork, layer: str) -> int:
    """Return the number of an encoder's parameters up to and including ``layer``."""
    used = encoder.layers[: encoder.layers.index(layer) + 1]
    return sum(p.numel() for name in used for p in encoder.get_submodule(name).parameters())


def padded_to(pixels: torch.Tensor, stride: int) -> torch.Tensor:
    """Return pixels (B, C, H, W) padded to sides that are multiples of ``stride``.

    The right and the lower edge are repeated. VGG's poolings drop incomplete windows, so the
    decoder's picture would be smaller without this.

    Example:
        >>> padded_to(torch.zeros(1, 3, 9, 8), 4).shape
        torch.Size([1, 3, 12, 8])
    """
    height, width = pixels.shape[-2:]
    extra = (0, -width % stride, 0, -height % stride)
    return F.pad(pixels, extra, mode="replicate") if any(extra) else pixels


def _place(blocks: tuple[int, ...], layer: str) -> tuple[int, int]:
    names = {f"relu{b}_{i}": (b, i) for b, n in enumerate(blocks, 1) for i in range(1, n + 1)}
    if layer not in names:
        raise ValueError(f"layer {layer!r} cannot be decoded; the choices are {list(names)}")
    return names[layer]


def _steps(blocks: tuple[int, ...], block: int, index: int) -> Iterator[nn.Module]:
    """Yield the steps from layer ``relu<block>_<index>`` to the picture."""
    while block:
        while index:
            last = (block, index) == (1, 1)
            inputs = 3 if last else WIDTHS[block - 1 if index > 1 else block - 2]
            yield AlignedConv2d(WIDTHS[block - 1], inputs, 3, padding=1, padding_mode="reflect")
            if not last:
                yield nn.ReLU()
            index -= 1
        block -= 1
        if block:
            yield nn.Upsample(scale_factor=2, mode="nearest")
            index = blocks[block - 1]
