"""Features of the scored pictures; every network processes every picture once.

A :class:`FeatureBank` contains the networks, and keeps the features of contents and styles,
which are needed again for every method. A :class:`ScoredPair` is one output with its content
and style; metrics read it. All computations are float32 without TF32 and with deterministic
kernels, so a score does not depend on the other scored pictures.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from nstbench.contracts import Features, Picture
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.gram import scoring_gram_matrix
from nstbench.pictures.picture import resize
from nstbench.score.feature_spill import Overflow, Place

SOURCES = ("output", "content", "style", "style_as_content")
"""The pictures that ``of`` in :class:`~nstbench.contracts.Features` may name."""

# Scoring starts after all methods have finished, so it may use much of the free memory.
_MEMORY_SHARE = 0.5

LoadNetwork = Callable[[str, torch.device], LayeredNetwork]
Key = tuple[str, ...]


@dataclass(slots=True)
class _Needs:
    """Layers of one network that are needed of one picture."""

    activations: set[str] = field(default_factory=set)
    grams: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Entry:
    """Computed features of one picture under one network."""

    activations: dict[str, torch.Tensor] = field(default_factory=dict)
    grams: dict[str, torch.Tensor] = field(default_factory=dict)

    def size(self) -> int:
        """Return the bytes in memory."""
        return sum(t.nbytes for t in [*self.activations.values(), *self.grams.values()])


class FeatureBank:
    """Networks, and the features of contents and styles within a memory budget.

    Args:
        device: device of the networks.
        budget: bytes of features to keep in memory; the least recently used ones are removed
            first. By default half of the free memory.
        load: function that loads a network.
        overflow: folder for removed features, which are later read from it instead of computed
            again. By default they are not kept.
    """

    def __init__(
        self,
        device: torch.device,
        budget: int | None = None,
        load: LoadNetwork = load_backbone,
        overflow: Path | None = None,
    ) -> None:
        self.device = device
        self.budget = _free_memory(device) if budget is None else budget
        self._load = load
        self._overflow = None if overflow is None else Overflow(overflow)
        self._on_disk: dict[Key, dict[tuple[str, str], Place]] = {}
        self._networks: dict[str, LayeredNetwork] = {}
        self._kept: OrderedDict[Key, _Entry] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._held = 0

    def pair(
        self, output: Picture, content: Picture, style: Picture, needs: Iterable[Features]
    ) -> ScoredPair:
        """Return a pair that provides the features in ``needs``; nothing is computed yet."""
        return ScoredPair(self, output, content, style, needs)

    def entry(self, network: str, key: str, pixels: torch.Tensor, needs: _Needs) -> _Entry:
        """Return features of a picture.

        Args:
            network: name of the network.
            key: identifies the picture; empty if its features are not kept.
            pixels: the picture, float32 RGB (B, 3, H, W) in [0, 1].
            needs: layers to provide.
        """
        entry = (self._remembered((network, key)) if key else None) or _Entry()
        layers = (needs.activations - entry.activations.keys()) | (
            needs.grams - entry.grams.keys() - entry.activations.keys()
        )
        new_grams = needs.grams - entry.grams.keys()
        new_activations = needs.activations - entry.activations.keys()
        activations = {**entry.activations, **self._forward(network, pixels, layers)}
        for layer in new_grams:
            entry.grams[layer] = scoring_gram_matrix(activations[layer])
        for layer in new_activations:
            entry.activations[layer] = activations[layer]
        if key:
            if new_grams or new_activations:
                self._on_disk.pop((network, key), None)
            self._keep((network, key), entry)
        return entry

    def tensor(self, key: Key, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the result of ``make``, called once as long as the result fits the budget."""
        entry = self._remembered(key) or _Entry({"": make()})
        self._keep(key, entry)
        return entry.activations[""]

    def clear(self) -> None:
        """Remove all features and networks."""
        self._networks.clear()
        self._kept.clear()
        self._sizes.clear()
        self._held = 0
        self._on_disk.clear()
        if self._overflow is not None:
            self._overflow.close()

    def _forward(
        self, network: str, pixels: torch.Tensor, layers: set[str]
    ) -> dict[str, torch.Tensor]:
        if not layers:
            return {}
        if network not in self._networks:
            # weights made in inference mode cannot be packed: they have no version counter
            with torch.inference_mode(False):
                self._networks[network] = self._load(network, self.device)
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with exact:
            return self._networks[network](pixels, layers)

    def _keep(self, key: Key, entry: _Entry) -> None:
        self._kept[key] = entry
        self._kept.move_to_end(key)
        size = entry.size()
        self._held += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._held > self.budget and len(self._kept) > 1:
            oldest, evicted = self._kept.popitem(last=False)
            self._held -= self._sizes.pop(oldest)
            self._spill(oldest, evicted)

    def _remembered(self, key: Key) -> _Entry | None:
        """Return the kept features, from memory or from disk, or ``None``."""
        place = self._on_disk.get(key)
        if key in self._kept or place is None or self._overflow is None:
            return self._kept.get(key)
        try:
            entry = _Entry()
            for (kind, layer), tensor in self._overflow.read(place).items():
                getattr(entry, kind)[layer] = tensor
            return entry
        # the features will be computed again
        except OSError:
            del self._on_disk[key]
            return None

    def _spill(self, key: Key, entry: _Entry) -> None:
        if self._overflow is None or key in self._on_disk:
            return
        tensors = {("activations", name): tensor for name, tensor in entry.activations.items()}
        tensors |= {("grams", name): tensor for name, tensor in entry.grams.items()}
        places = self._overflow.write(tensors)
        if places is not None:
            self._on_disk[key] = places


class ScoredPair:
    """One output, its content and its style; implements ``contracts.ScoringPair``.

    Pictures hold float32 RGB (B, 3, H, W) in [0, 1]; content and style may have B = 1
    for any number of outputs.
    """

    def __init__(
        self,
        bank: FeatureBank,
        output: Picture,
        content: Picture,
        style: Picture,
        needs: Iterable[Features],
    ) -> None:
        self.output = output
        self.content = content
        self.style = style
        self._bank = bank
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._tensors: dict[Key, torch.Tensor] = {}
        self._as_is = False
        self._pixels: dict[str, torch.Tensor] = {}
        self._keys: dict[str, str] = {}
        self._needs = _merged(needs)

    def features(self, network: str, of: str) -> Mapping[str, torch.Tensor]:
        """Return layer name -> float32 activations (B, C, H, W) of the declared layers.

        Raises:
            KeyError: if no metric declared features of that network and picture.
        """
        entry = self._entry(network, of)
        return {name: self._expanded(tensor) for name, tensor in entry.activations.items()}

    def gram(self, network: str, of: str, layer: str) -> torch.Tensor:
        """Return the Gram matrix F F^T / N, N = H W, as float64 (B, C, C).

        Raises:
            KeyError: if no metric declared that layer.
        """
        entry = self._entry(network, of)
        if layer not in entry.grams:
            if layer not in entry.activations:
                raise KeyError(f"no metric declares layer {layer!r} of {network!r} of {of!r}")
            entry.grams[layer] = scoring_gram_matrix(entry.activations[layer])
        return self._expanded(entry.grams[layer])

    def kept(self, name: str, of: Sequence[str], make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the result of ``make``, called once; see ``contracts.ScoringPair``."""
        keys = tuple(self._key(source) for source in of)
        if all(keys):

            def make_as_is() -> torch.Tensor:
                before, self._as_is = self._as_is, True
                try:
                    return make()
                finally:
                    self._as_is = before

            return self._expanded(self._bank.tensor(("kept", name, *keys), make_as_is))
        key = (name, *of)
        if key not in self._tensors:
            self._tensors[key] = make()
        return self._tensors[key]

    def _entry(self, network: str, of: str) -> _Entry:
        if (network, of) not in self._entries:
            if (network, of) not in self._needs:
                raise KeyError(f"no metric declares features of {network!r} of {of!r}")
            key = self._key(of)
            wanted = _Needs()
            # Content and style may be the same picture, and so may style and resized style.
            for other in SOURCES:
                needs = self._needs.get((network, other))
                if needs is not None and (other == of or (key and self._key(other) == key)):
                    wanted.activations |= needs.activations
                    wanted.grams |= needs.grams
            entry = self._bank.entry(network, key, self._picture(of), wanted)
            self._entries[network, of] = entry
        return self._entries[network, of]

    def _picture(self, of: str) -> torch.Tensor:
        if of not in self._pixels:
            if of == "style_as_content":
                size = (self.content.height, self.content.width)
                self._pixels[of] = resize(self.style.pixels, size)
            else:
                picture: Picture = getattr(self, of)
                self._pixels[of] = picture.pixels
        return self._pixels[of]

    def _key(self, of: str) -> str:
        """Return the picture's key in the bank; empty for outputs, which are scored once only."""
        if of == "output":
            return ""
        if of not in self._keys:
            picture = self.content if of == "content" else self.style
            digest = picture.sha256 or _digest(picture.pixels)
            # A style and its resized copy have the same checksum and different shapes.
            shape = "x".join(str(n) for n in picture.pixels.shape)
            key = f"{digest}:{shape}"
            resized = (self.content.height, self.content.width)
            if of == "style_as_content" and resized != (picture.height, picture.width):
                key += f":{resized[0]}x{resized[1]}"
            self._keys[of] = key
        return self._keys[of]

    def _expanded(self, tensor: torch.Tensor) -> torch.Tensor:
        # Tensors that are kept for later pairs must not have the batch size of this pair.
        if self._as_is:
            return tensor
        return tensor.expand(self.output.pixels.shape[0], *tensor.shape[1:])


def _merged(needs: Iterable[Features]) -> dict[tuple[str, str], _Needs]:
    merged: dict[tuple[str, str], _Needs] = {}
    for need in needs:
        for of in need.of:
            if of not in SOURCES:
                raise ValueError(f"features of {of!r}: not one of {', '.join(SOURCES)}")
            entry = merged.setdefault((need.network, of), _Needs())
            (entry.grams if need.gram else entry.activations).update(need.layers)
    return merged


def _digest(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
    return int(_MEMORY_SHARE * psutil.virtual_memory().available)
