"""A second implementation of every metric, independent of nstbench's arithmetic.

Networks are torchvision's models and the authors' ``lpips``, run in float64 with the
cached tensors of nstbench; formulas are plain NumPy. ``python tests/reference/
independent.py`` writes the CSV files of this folder, which the tests only read.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.alexnet import ALEXNET
from nstbench.nn.backbones.vgg import VGG16
from nstbench.nn.weights import cache as weights_cache
from nstbench.score.maths import sliced_wasserstein as sliced

FOLDER = Path(__file__).parent
COMMAND = "python tests/reference/independent.py"
SIZES = {"same_size": ((96, 96), (96, 96)), "other_size": ((80, 112), (128, 90))}
STYLE_VGG = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_ALEX = ("conv1", "conv2", "conv3", "conv4", "conv5")

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]
Values = dict[str, float]


def scene(height: int, width: int) -> np.ndarray:
    """Return a smooth uint8 picture with a disc, (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    disc = (rows - 0.45) ** 2 + (columns - 0.5) ** 2 < 0.05
    planes = [0.6 * rows + 0.3 * disc, 0.7 * columns, 0.8 - 0.5 * disc + 0.1 * np.sin(20 * rows)]
    return to_uint8(np.stack(planes, axis=-1))


def texture(height: int, width: int) -> np.ndarray:
    """Return a uint8 picture of crossing waves, (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width] / 96
    first, second = np.sin(40 * (rows + 0.4 * columns)), np.sin(23 * (columns - 0.7 * rows) ** 2)
    planes = [0.5 + 0.4 * first, 0.4 + 0.3 * first * second, 0.6 - 0.3 * second]
    return to_uint8(np.stack(planes, axis=-1))


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to 0..255."""
    return np.round(255 * values.clip(0, 1)).astype(np.uint8)


def triple(case: str) -> Triple:
    """Return output, content and style of a case as uint8 (H, W, 3)."""
    size, style_size = SIZES[case]
    content, style, pattern = scene(*size), texture(*style_size), texture(*size)
    output = to_uint8((0.55 * content + 0.45 * pattern[:, ::-1]) / 255)
    return output, content, style


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return float64 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float64) / 255).permute(2, 0, 1)[None]


@cache
def torchvision_model(network: str) -> Any:
    """Return torchvision's model in float64 with the cached tensors, convolutions only."""
    ensure_torchvision()
    from torchvision import models

    model: Any = getattr(models, network)(weights=None).features
    tensors = weights_cache.load({"vgg16": VGG16, "alexnet": ALEXNET}[network])
    ordered = [tensors[name] for name in sorted(tensors, key=_layer_order)]
    model.load_state_dict(dict(zip(model.state_dict(), ordered, strict=True)))
    return model.double().eval()


def _layer_order(name: str) -> tuple[str, bool]:
    layer, kind = name.split(".")
    return layer, kind == "bias"


def _layer_names(network: str, model: Any) -> list[str]:
    """Return names (conv, relu, pool, numbered as in VGG or AlexNet) of torchvision's steps."""
    names, block, number = [], 1, 0
    for step in model:
        if isinstance(step, torch.nn.Conv2d):
            number += 1
        at = f"{block}_{number}" if network == "vgg16" else f"{number}"
        if isinstance(step, torch.nn.MaxPool2d):
            names.append(f"pool{block}")
            if network == "vgg16":
                block, number = block + 1, 0
            continue
        names.append(("conv" if isinstance(step, torch.nn.Conv2d) else "relu") + at)
    return names


def activations(network: str, image: torch.Tensor) -> dict[str, np.ndarray]:
    """Return layer name -> float64 activations (C, N) of torchvision's model."""
    model = torchvision_model(network)
    from torchvision import transforms

    x = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(image)
    found = {}
    with torch.inference_mode():
        for name, step in zip(_layer_names(network, model), model, strict=True):
            x = step(x.clone())
            found[name] = x[0].flatten(1).numpy().copy()
    return found


def gram(features: np.ndarray) -> np.ndarray:
    """Return F F^T / N."""
    return np.asarray(features @ features.T / features.shape[1])


def resized(pixels: np.ndarray, like: np.ndarray) -> torch.Tensor:
    """Return a picture scaled bicubically with antialiasing, by channel in Pillow's float mode."""
    size = (like.shape[1], like.shape[0])
    planes = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in (pixels.astype(np.float32) / 255).transpose(2, 0, 1)
    ]
    return torch.from_numpy(np.stack(planes).clip(0, 1).astype(np.float64))[None]


def content_loss(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Gatys' sum over relu4_2."""
    x, c = (activations("vgg16", as_tensor(p))["relu4_2"] for p in (output, content))
    loss = float(0.5 * ((x - c) ** 2).sum())
    return {"": loss, "per_element": loss / x.size}


def style_loss(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Gatys' E_l with the undivided Gram matrices scaled by N each."""
    x, s = (activations("vgg16", as_tensor(p)) for p in (output, style))
    parts = {
        layer: float(((gram(x[layer]) - gram(s[layer])) ** 2).sum() / (4 * len(x[layer]) ** 2))
        for layer in STYLE_VGG
    }
    return {"": sum(parts.values()) / 5, **parts}


def gram_distance(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Relative squared distance."""
    x, s = (activations("vgg16", as_tensor(p)) for p in (output, style))
    terms = []
    for layer in STYLE_VGG:
        a, b = gram(x[layer]), gram(s[layer])
        terms.append(((a - b) ** 2).sum() / ((a**2).sum() + (b**2).sum()))
    return {"": float(np.mean(terms))}


def _ratio(value: np.ndarray, target: np.ndarray, trivial: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(value - target) / np.linalg.norm(trivial - other))


def _scaled(image: torch.Tensor, side: int = 256) -> torch.Tensor:
    """Scale (1, 3, H, W) to a short side of ``side``, the long side at most 4 times that."""
    height, width = image.shape[2:]
    scale = min(side / min(height, width), 4 * side / max(height, width))
    size = (round(width * scale), round(height * scale))
    if size == (width, height):
        return image
    planes = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in image[0].float().numpy()
    ]
    return torch.from_numpy(np.stack(planes).clip(0, 1).astype(np.float64))[None]


def place_vectors(features: np.ndarray) -> np.ndarray:
    """Return unit vectors (C, N) of channels without mean, over deviation + a tenth of its mean."""
    centred = features - features.mean(axis=1, keepdims=True)
    deviation = features.std(axis=1, keepdims=True)
    divisor = deviation + 0.1 * deviation.mean()
    scaled = np.divide(centred, divisor, out=np.zeros_like(centred), where=divisor > 1e-12)
    length = np.linalg.norm(scaled, axis=0)
    return np.asarray(np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 1e-12))


def confusion(output: np.ndarray, content: np.ndarray, height: int, width: int) -> float:
    """Return Q of activations (C, N), place by place.

    Each place i and each j of its window: does x_i fit c_j better than c_i; does x_j fit c_i
    better than x_i does? Differences below 1e-4 count in proportion.
    """
    x, c = place_vectors(output), place_vectors(content)
    where = [divmod(i, width) for i in range(height * width)]
    edges = np.array([[min(d, 3) for d in (r, height - 1 - r, k, width - 1 - k)] for r, k in where])
    lost: dict[str, list[np.ndarray]] = {"all": [], "near": []}
    for i, (row, column) in enumerate(where):
        own = x[:, i] @ c[:, i]
        forward, backward = x[:, i] @ c - own, c[:, i] @ x - own
        count = (np.clip(forward / 2e-4 + 0.5, 0, 1) + np.clip(backward / 2e-4 + 0.5, 0, 1)) / 2
        allowed = (edges == edges[i]).all(axis=1)
        allowed[i] = False
        close = [max(abs(r - row), abs(k - column)) <= 2 for r, k in where]
        lost["all"].append(count[allowed])
        lost["near"].append(count[allowed & close])
    joined = [np.concatenate(part) for part in lost.values()]
    return float(sum(part.mean() if part.size else 0.5 for part in joined))


def _grid(network: str, image: torch.Tensor) -> tuple[int, int]:
    """Return the grid of VGG-16 relu4_1 and AlexNet relu4 for a picture (1, 3, H, W)."""
    height, width = image.shape[2:]
    if network == "vgg16":
        return height // 8, width // 8

    def count(length: int) -> int:
        first = (length + 4 - 11) // 4 + 1
        return ((first - 3) // 2 + 1 - 3) // 2 + 1

    return count(height), count(width)


CONTENT = {"vgg16": "relu4_1", "alexnet": "relu4"}


def _content_errors(output: torch.Tensor, content: np.ndarray, style: np.ndarray) -> Values:
    """Return the content error of an output (1, 3, H, W) on each network."""
    parts = {}
    images = [_scaled(i) for i in (output, as_tensor(content), resized(style, content))]
    for network, layer in CONTENT.items():
        grid = _grid(network, images[1])
        x, c, s = (activations(network, image)[layer] for image in images)
        own = confusion(c, c, *grid)
        parts[network] = (confusion(x, c, *grid) - own) / (confusion(s, c, *grid) - own)
    return {network: max(0.0, error) for network, error in parts.items()}


def _style_errors(output: torch.Tensor, content: np.ndarray, style: np.ndarray) -> Values:
    """Return the style error of an output (1, 3, H, W) on each network."""
    parts = {}
    for network, layers in (("vgg16", STYLE_VGG), ("alexnet", STYLE_ALEX)):
        images = (output, as_tensor(content), as_tensor(style))
        x, c, s = (activations(network, image) for image in images)
        ratios = [_ratio(gram(x[n]), gram(s[n]), gram(c[n]), gram(s[n])) for n in layers]
        parts[network] = float(np.mean(ratios))
    return parts


def _with_mean(parts: Values) -> Values:
    return {"": float(np.mean(list(parts.values()))), **parts}


def content_error(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Share of places taken for another one, in units of the style picture's."""
    return _with_mean(_content_errors(as_tensor(output), content, style))


def style_error(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Normalised style error on both networks."""
    return _with_mean(_style_errors(as_tensor(output), content, style))


def total_error(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Return the sum of both errors."""
    first, second = content_error(output, content, style), style_error(output, content, style)
    return {part: first[part] + second[part] for part in first}


def reinhard(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Return the content with the style's moments in l-alpha-beta, (H, W, 3) in [0, 1]."""
    lms = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
    rotate = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
    first, second = (
        np.log10(np.maximum(p.reshape(-1, 3) / 255, 1 / 255) @ lms.T) @ rotate.T
        for p in (content, style)
    )
    moved = (first - first.mean(0)) / first.std(0) * second.std(0) + second.mean(0)
    rgb = 10 ** (moved @ np.linalg.inv(rotate).T) @ np.linalg.inv(lms).T
    return np.asarray(rgb.clip(0, 1).reshape(content.shape))


def _answers(content: np.ndarray, style: np.ndarray) -> dict[str, np.ndarray]:
    """Return the trivial answers beside the content copy, as saved pictures."""
    # Pictures are float32, which decides how values between two levels are rounded.
    first = (content.astype(np.float32) / 255).astype(np.float64)
    second = (
        resized(style, content)[0].permute(1, 2, 0).numpy().astype(np.float32).astype(np.float64)
    )
    blends = {
        f"blend {share}": to_uint8((1 - share) * first + share * second)
        for share in (0.3, 0.5, 0.7)
    }
    return {"colour transfer": to_uint8(reinhard(content, style)), **blends}


def uef(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Total error in units of the best trivial answer."""
    halves = {
        name: tuple(
            _with_mean(half(as_tensor(answer), content, style))
            for half in (_content_errors, _style_errors)
        )
        for name, answer in _answers(content, style).items()
    }
    total, values = total_error(output, content, style), {}
    for part in ("", "vgg16", "alexnet"):
        bar = min(1.0, *(c[part] + s[part] for c, s in halves.values()))
        values[part] = total[part] / bar
        if part == "":
            values["bar"] = bar
    for name, (of_content, of_style) in halves.items():
        values[f"content of {name}"], values[f"style of {name}"] = of_content[""], of_style[""]
    return values


def beats_bar(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Return 1 where the factor is below 0.999."""
    factors = uef(output, content, style)
    return {part: float(factors[part] < 0.999) for part in ("", "alexnet", "vgg16")}


def ssim(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """scikit-image's SSIM on BT.601 luma."""
    from skimage.metrics import structural_similarity

    luma = [p.astype(np.float64) / 255 @ np.array([0.299, 0.587, 0.114]) for p in (output, content)]
    value = structural_similarity(
        *luma, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    return {"": float(value)}


def _lpips(net: str, network: str, output: np.ndarray, content: np.ndarray) -> Values:
    ensure_torchvision()
    import lpips

    with warnings.catch_warnings():
        # lpips 0.1.4 calls torchvision with deprecated arguments.
        warnings.simplefilter("ignore", UserWarning)
        metric = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    tensors = torchvision_model(network).state_dict().values()
    trunk = metric.net.state_dict()
    metric.net.load_state_dict(dict(zip(trunk, tensors, strict=True)))
    with torch.inference_mode():
        value = metric.double()(as_tensor(output), as_tensor(content), normalize=True)
    return {"": float(value)}


def lpips_alex(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """The authors' package on AlexNet."""
    return _lpips("alex", "alexnet", output, content)


def lpips_vgg(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """The authors' package on VGG-16."""
    return _lpips("vgg", "vgg16", output, content)


def _hazen(values: np.ndarray, levels: int) -> np.ndarray:
    shares = (np.arange(levels) + 0.5) / levels
    return np.quantile(values, shares, axis=-1, method="hazen").T


def _sliced(first: np.ndarray, second: np.ndarray, count: int) -> float:
    along = sliced.directions(count, len(first)).double().numpy()
    levels = min(first.shape[1], second.shape[1])
    x, y = _hazen(along @ first, levels), _hazen(along @ second, levels)
    return float(np.sqrt(((x - y) ** 2).mean()))


def _sample(cloud: np.ndarray) -> np.ndarray:
    return np.asarray(sliced.sampled(torch.from_numpy(cloud)[None])[0].numpy())


def swd_style(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Sliced Wasserstein distance over the same projections and positions."""
    x, s = (activations("vgg16", as_tensor(p)) for p in (output, style))
    terms = []
    for layer in ("relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        first, second = _sample(x[layer]), _sample(s[layer])
        terms.append(_sliced(first, second, 64) / np.sqrt((second**2).mean()))
    return {"": float(np.mean(terms))}


def color_distance(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Sliced Wasserstein distance over scikit-image's Lab."""
    from skimage.color import rgb2lab

    clouds = [_sample(rgb2lab(p / 255.0).reshape(-1, 3).T) for p in (output, style)]
    return {"": _sliced(*clouds, 32)}


def self_similarity(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Total variation between rows of cosine distances; small pictures need no averaging."""
    from scipy.spatial.distance import cdist

    rows = []
    for pixels in (output, content):
        features = activations("vgg16", as_tensor(pixels))["relu4_1"].T
        distances = cdist(features, features, "cosine")
        rows.append(distances / distances.sum(axis=1, keepdims=True))
    return {"": float(0.5 * np.abs(rows[0] - rows[1]).sum(axis=1).mean())}


def _cosine_logits(pixels: np.ndarray) -> np.ndarray:
    features = activations("vgg16", as_tensor(pixels))["relu3_1"].T
    return np.asarray(features @ features.T / features.shape[1] ** 2)


def cfsd_vgg16(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Divergence of SciPy's softmax rows."""
    from scipy.special import log_softmax

    x, c = (log_softmax(_cosine_logits(p), axis=1) for p in (output, content))
    rows = (np.exp(c) * (c - x)).sum(axis=1)
    return {"": float(rows.mean()), "sum": float(rows.sum())}


def _chroma_histogram(pixels: np.ndarray) -> np.ndarray:
    """Return the three histograms (3, 64, 64), channel by channel without symmetries."""
    levels = (pixels.astype(np.float32) / np.float32(255)).astype(np.float64).reshape(-1, 3)
    weight = np.sqrt((levels**2).sum(axis=1) + 1e-6)
    logs, bins = np.log(levels + 1e-6), np.linspace(-3, 3, 64)
    histogram = np.zeros((3, 64, 64))
    for k in range(3):
        first, second = (channel for channel in range(3) if channel != k)
        u, v = (
            1 / (1 + ((logs[:, k] - logs[:, other])[:, None] - bins) ** 2 / 0.02**2)
            for other in (first, second)
        )
        histogram[k] = (u * weight[:, None]).T @ v
    return histogram / (histogram.sum() + 1e-6)


def histogan_color(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Hellinger distance of log-chroma histograms."""
    x, s = (np.sqrt(_chroma_histogram(p)) for p in (output, style))
    return {"": float(np.sqrt(((x - s) ** 2).sum()) / np.sqrt(2))}


def lpips_gray(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """The authors' package on Pillow's grey pictures."""
    x, c = (np.asarray(Image.fromarray(p).convert("L").convert("RGB")) for p in (output, content))
    return _lpips("alex", "alexnet", x, c)


def _luma(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.astype(np.float64) / 255 @ np.array([0.299, 0.587, 0.114]))


def ms_ssim(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Product over scales with SciPy's correlation and an explicit Gaussian window."""
    from scipy.signal import correlate2d

    x, y = _luma(output), _luma(content)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    terms = []
    while min(x.shape) >= 11 and len(terms) < 5:
        mx, my, xx, yy, xy = (correlate2d(z, window, "valid") for z in (x, y, x * x, y * y, x * y))
        structure = (2 * (xy - mx * my) + 9e-4) / (xx - mx**2 + yy - my**2 + 9e-4)
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        terms.append((structure.mean(), (luminance * structure).mean()))
        height, width = (side // 2 * 2 for side in x.shape)
        x, y = (
            z[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
            for z in (x, y)
        )
    used = np.array(weights[: len(terms)]) / sum(weights[: len(terms)])
    factors = [structure for structure, _ in terms[:-1]] + [terms[-1][1]]
    value = np.prod(np.maximum(factors, 0) ** used)
    return {"": float(value), "scales": float(len(terms))}


def gmsd(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """The authors' steps on values up to 255, with SciPy's convolution."""
    from scipy.signal import convolve2d

    kernel, maps = np.tile([1.0, 0.0, -1.0], (3, 1)) / 3, []
    for pixels in (output, content):
        means = convolve2d(255 * _luma(pixels), np.full((2, 2), 0.25), "full")[1::2, 1::2]
        means = means[: pixels.shape[0] // 2, : pixels.shape[1] // 2]
        steps = [convolve2d(means, k, "same") for k in (kernel, kernel.T)]
        maps.append(np.hypot(*steps))
    similarity = (2 * maps[0] * maps[1] + 170) / (maps[0] ** 2 + maps[1] ** 2 + 170)
    return {"": float(similarity.std(ddof=1))}


def sifd_vgg16(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Frechet distance with SciPy's matrix root of the product of the covariances."""
    x, s = (activations("vgg16", as_tensor(p))["relu3_1"] for p in (output, style))
    first, second = (np.cov(f, bias=True) for f in (x, s))
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(min=0)).sum()
    means = ((x.mean(axis=1) - s.mean(axis=1)) ** 2).sum()
    return {"": float(means + np.trace(first) + np.trace(second) - 2 * roots)}


def style_moments(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Squared differences of means and deviations."""
    x, s = (activations("vgg16", as_tensor(p)) for p in (output, style))
    means = [((x[n].mean(axis=1) - s[n].mean(axis=1)) ** 2).mean() for n in STYLE_VGG]
    spreads = [
        ((np.sqrt(x[n].var(axis=1) + 1e-5) - np.sqrt(s[n].var(axis=1) + 1e-5)) ** 2).mean()
        for n in STYLE_VGG
    ]
    mean, spread = float(np.mean(means)), float(np.mean(spreads))
    return {"": mean + spread, "mean": mean, "deviation": spread}


def patch_coverage(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> Values:
    """Distinct nearest patches among patches that are cut out one by one."""

    def patches(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[0] // 8, pixels.shape[1] // 8
        grid = activations("vgg16", as_tensor(pixels))["relu4_1"].reshape(-1, height, width)
        cut = [
            grid[:, y : y + 3, x : x + 3].ravel()
            for y in range(height - 2)
            for x in range(width - 2)
        ]
        return np.stack([patch / np.linalg.norm(patch) for patch in cut])

    x, s = patches(output), patches(style)
    used, own = (len(set((p @ s.T).argmax(axis=1).tolist())) for p in (x, s))
    return {"": min(1.0, used / min(own, len(x)))}


Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], Values]
NUMPY = "torchvision activations in float64, formula in NumPy"
# Float32 activations have rounding errors of about 1e-6; sums over layers and squares have more.
METRICS: Mapping[str, tuple[Metric, float, str]] = {
    "content_loss": (content_loss, 2e-5, NUMPY),
    "style_loss": (style_loss, 2e-5, NUMPY),
    "gram_distance": (gram_distance, 1e-5, NUMPY),
    "content_error": (content_error, 1e-5, NUMPY),
    "style_error": (style_error, 1e-5, NUMPY),
    "total_error": (total_error, 1e-5, NUMPY),
    "uef": (uef, 1e-5, NUMPY),
    "beats_bar": (beats_bar, 1e-5, NUMPY),
    "swd_style": (swd_style, 1e-5, NUMPY),
    "self_similarity": (self_similarity, 1e-5, NUMPY + ", scipy cdist"),
    "color_distance": (color_distance, 1e-5, "scikit-image rgb2lab, formula in NumPy"),
    "ssim": (ssim, 1e-6, "scikit-image structural_similarity on BT.601 luma"),
    "lpips_alex": (lpips_alex, 1e-5, "lpips 0.1.4, net=alex, version=0.1, float64"),
    "lpips_vgg": (lpips_vgg, 1e-5, "lpips 0.1.4, net=vgg, version=0.1, float64"),
    "lpips_gray": (lpips_gray, 1e-5, "lpips 0.1.4, net=alex, version=0.1, on Pillow's grey"),
    "cfsd_vgg16": (cfsd_vgg16, 1e-4, NUMPY + ", scipy log_softmax"),
    "histogan_color": (histogan_color, 1e-4, "formula in NumPy"),
    "ms_ssim": (ms_ssim, 1e-6, "formula in NumPy, scipy correlate2d"),
    "gmsd": (gmsd, 1e-6, "formula in NumPy, scipy convolve2d"),
    "sifd_vgg16": (sifd_vgg16, 1e-4, NUMPY),
    "style_moments": (style_moments, 1e-4, NUMPY),
    "patch_coverage": (patch_coverage, 1e-6, NUMPY),
}


# --- sets of pictures --------------------------------------------------------------------

SET_SIDE = 48
SET_OUTPUTS, SET_STYLES = 36, 7


def collection(count: int, seed: int) -> list[np.ndarray]:
    """Return uint8 pictures (48, 48, 3) of noise around random colours."""
    rng = np.random.default_rng(seed)
    shape = (SET_SIDE, SET_SIDE, 3)
    return [to_uint8(0.6 * rng.random(3) + 0.4 * rng.random(shape)) for _ in range(count)]


def set_pictures() -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Return the outputs of a method, their content, and the styles; the i-th output has style
    i modulo the number of styles."""
    outputs, styles = collection(SET_OUTPUTS, 0), collection(SET_STYLES, 1)
    return outputs, scene(SET_SIDE, SET_SIDE), [(s // 2 + 60).astype(np.uint8) for s in styles]


def small_features(pixels: np.ndarray) -> np.ndarray:
    """Return means and deviations of the channels, in place of Inception's last layer."""
    flat = (pixels / 255.0).reshape(-1, 3)
    return np.concatenate([flat.mean(axis=0), flat.std(axis=0, ddof=1)])


def vgg_features(pixels: np.ndarray) -> np.ndarray:
    """Return the means over positions of VGG-16 relu5_3."""
    return np.asarray(activations("vgg16", as_tensor(pixels))["relu5_3"].mean(axis=1))


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance of vectors (n, D) and (m, D) from the eigenvalues of S1 S2."""
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(min=0))
    means = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    return float(means + np.trace(first) + np.trace(second) - 2 * roots.sum())


def _vectors(features: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    outputs, _, styles = set_pictures()
    return np.stack([features(p) for p in outputs]), np.stack([features(p) for p in styles])


def _counted(value: float, **parts: float) -> Values:
    return {"": value, "n": SET_OUTPUTS, "styles": SET_STYLES, **parts}


def fd_vgg16() -> Values:
    """Frechet distance on VGG-16."""
    return _counted(frechet(*_vectors(vgg_features)))


def fid() -> Values:
    """Frechet distance on the small features."""
    return _counted(frechet(*_vectors(small_features)))


def kid() -> Values:
    """Unbiased squared maximum mean discrepancy on the small features, pair by pair."""
    x, y = _vectors(small_features)

    def mean(first: np.ndarray, second: np.ndarray, same: bool) -> float:
        values = [
            (a @ b / len(a) + 1) ** 3
            for i, a in enumerate(first)
            for j, b in enumerate(second)
            if not (same and i == j)
        ]
        return float(np.mean(values))

    return _counted(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))


def fid_inf() -> Values:
    """Intercept of numpy.polyfit through the Frechet distances of the same subsets."""
    x, y = _vectors(small_features)
    # Subsets are drawn from the vectors in numerical order.
    x = np.stack(sorted(x, key=lambda vector: vector.tolist()))
    generator = torch.Generator().manual_seed(0)
    sizes = np.rint(np.linspace(len(x) / 3, len(x), 15)).astype(int)
    distances = [
        frechet(x[torch.randperm(len(x), generator=generator)[:n].numpy()], y) for n in sizes
    ]
    return _counted(float(np.polyfit(1 / sizes, distances, 1)[1]))


def artfid() -> Values:
    """Product of the authors' LPIPS and the Frechet distance on the small features."""
    outputs, content, _ = set_pictures()
    distance = float(np.mean([lpips_alex(p, content, content)[""] for p in outputs]))
    value = frechet(*_vectors(small_features))
    return _counted((1 + distance) * (1 + value), lpips=distance, fid=value)


SMALL = "channel means and deviations, formula in NumPy"
SET_METRICS: Mapping[str, tuple[Callable[[], Values], float, str]] = {
    "fd_vgg16": (fd_vgg16, 1e-5, NUMPY),
    "fid": (fid, 1e-5, SMALL),
    "kid": (kid, 1e-4, SMALL),
    "fid_inf": (fid_inf, 1e-4, SMALL + ", numpy.polyfit"),
    "artfid": (artfid, 1e-5, SMALL + ", lpips 0.1.4 on AlexNet"),
}


def _write(name: str, rows: list[tuple[str, str, float]], tolerance: float, source: str) -> None:
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", "part", "value", "tolerance", "source", "command"])
        for case, part, value in rows:
            writer.writerow([case, part, f"{value:.10g}", tolerance, source, COMMAND])


def main() -> None:
    """Write one CSV file per metric; only those given as arguments, if any."""
    wanted = sys.argv[1:] or [*METRICS, *SET_METRICS]
    for name in wanted:
        if name in METRICS:
            metric, tolerance, source = METRICS[name]
            rows = [(c, part, v) for c in SIZES for part, v in metric(*triple(c)).items()]
        else:
            collect, tolerance, source = SET_METRICS[name]
            rows = [("set", part, value) for part, value in collect().items()]
        _write(name, rows, tolerance, source)


if __name__ == "__main__":
    main()
