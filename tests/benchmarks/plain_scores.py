"""Scoring an output by four usual programs, as a reference for speed.

Four programs' worth of calls, one after another: the authors' ``lpips`` on AlexNet and on
VGG-16, torchmetrics' SSIM, and Gram and content losses on torchvision's VGG-16, float32.
Nothing is shared between the calls; the losses take one pass for each picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from nstbench.contracts import Weight
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.alexnet import ALEXNET
from nstbench.nn.backbones.vgg import VGG16
from nstbench.nn.weights import cache

STYLE_STEPS = (1, 6, 11, 18, 25)
"""relu1_1 ... relu5_1 of torchvision's ``vgg16().features``."""
CONTENT_STEP = 20
"""relu4_2."""

CPU = torch.device("cpu")
Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], float]


def read(path: Path) -> torch.Tensor:
    """Return a picture as float32 (1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255


def _tensors(weight: Weight) -> list[torch.Tensor]:
    """Return a network's tensors in the order of its layers, as in torchvision."""
    found = cache.load(weight)
    names = sorted(found, key=lambda name: (name.split(".")[0], name.endswith("bias")))
    return [found[name].contiguous() for name in names]


def _fill(network: nn.Module, weight: Weight) -> None:
    """Load the weights of a network, or of its first layers."""
    names = network.state_dict().keys()
    network.load_state_dict(dict(zip(names, _tensors(weight), strict=False)))


def _lpips(net: str, weight: Weight, device: torch.device) -> Call:
    import lpips

    with warnings.catch_warnings():
        # lpips 0.1.4 calls torchvision with deprecated arguments.
        warnings.simplefilter("ignore", UserWarning)
        metric = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _fill(metric.net, weight)
    metric.to(device)
    return lambda x, c, s: float(metric(x, c, normalize=True))


def _ssim(device: torch.device) -> Call:
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    metric = StructuralSimilarityIndexMeasure(data_range=1.0).to(device)
    return lambda x, c, s: float(metric(x, c))


def _gram(features: torch.Tensor) -> torch.Tensor:
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return torch.mm(flat, flat.t()) / (height * width)


def _losses(device: torch.device) -> Call:
    from torchvision.models import vgg16

    network: Any = vgg16(weights=None).features[: STYLE_STEPS[-1] + 1].eval()
    _fill(network, VGG16)
    network.to(device)
    mean = torch.tensor((0.485, 0.456, 0.406), device=device).view(1, 3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225), device=device).view(1, 3, 1, 1)

    def features(pixels: torch.Tensor) -> dict[int, torch.Tensor]:
        h, found = (pixels - mean) / std, {}
        for step, module in enumerate(network):
            h = module(h)
            if step in (*STYLE_STEPS, CONTENT_STEP):
                found[step] = h
        return found

    def losses(x: torch.Tensor, c: torch.Tensor, s: torch.Tensor) -> float:
        of_x, of_c, of_s = features(x), features(c), features(s)
        content = F.mse_loss(of_x[CONTENT_STEP], of_c[CONTENT_STEP])
        style = [F.mse_loss(_gram(of_x[step]), _gram(of_s[step])) for step in STYLE_STEPS]
        return float(content + sum(style))

    return losses


class PlainScores:
    """The four programs, loaded and ready on a device."""

    def __init__(self, device: torch.device = CPU) -> None:
        ensure_torchvision()
        self._device = device
        self.calls: dict[str, Call] = {
            "lpips_alex": _lpips("alex", ALEXNET, device),
            "lpips_vgg": _lpips("vgg", VGG16, device),
            "ssim": _ssim(device),
            "losses": _losses(device),
        }

    def __call__(self, output: Path, content: Path, style: Path) -> dict[str, float]:
        """Read the three pictures and return the value of each program."""
        pictures = [read(path).to(self._device) for path in (output, content, style)]
        with torch.no_grad():
            return {name: call(*pictures) for name, call in self.calls.items()}
