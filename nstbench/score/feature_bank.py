"""Features of the pictures being scored: each network sees each picture once.

A :class:`FeatureBank` holds the networks and remembers what it computed for contents
and styles, which come back with every method; a :class:`ScoredPair` is one output with
its content and style, as metrics see it. Everything is float32 without TF32 and with
deterministic kernels, so a score does not depend on what else was scored.
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
"""What ``of`` in :class:`~nstbench.contracts.Features` may name."""

# Methods have finished when outputs are scored, so much of the free memory may be used.
_MEMORY_SHARE = 0.5

LoadNetwork = Callable[[str, torch.device], LayeredNetwork]
Key = tuple[str, ...]


@dataclass(slots=True)
class _Needs:
    """Layers of one network wanted from one picture."""

    activations: set[str] = field(default_factory=set)
    grams: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Entry:
    """What is known about one picture under one network."""

    activations: dict[str, torch.Tensor] = field(default_factory=dict)
    grams: dict[str, torch.Tensor] = field(default_factory=dict)

    def size(self) -> int:
        """Return the bytes held."""
        return sum(t.nbytes for t in [*self.activations.values(), *self.grams.values()])


class FeatureBank:
    """Networks, and the features of contents and styles within a memory budget.

    Args:
        device: where the networks run.
        budget: bytes of features to keep in memory; the least recently used go first. By default
            half of the memory that is free.
        load: how to load a network.
        overflow: folder for those that have to go, which are then read instead of computed when
            they come back; without one they are forgotten.
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
        """Return a pair that can answer for ``needs``; nothing is computed yet."""
        return ScoredPair(self, output, content, style, needs)

    def entry(self, network: str, key: str, pixels: torch.Tensor, needs: _Needs) -> _Entry:
        """Return features of a picture; ``key`` names it, and is empty for one not to keep."""
        entry = (self._known((network, key)) if key else None) or _Entry()
        layers = (needs.activations - entry.activations.keys()) | (
            needs.grams - entry.grams.keys() - entry.activations.keys()
        )
        new_grams = needs.grams - entry.grams.keys()
        new_activations = needs.activations - entry.activations.keys()
        found = {**entry.activations, **self._forward(network, pixels, layers)}
        for layer in new_grams:
            entry.grams[layer] = scoring_gram_matrix(found[layer])
        for layer in new_activations:
            entry.activations[layer] = found[layer]
        if key:
            if new_grams or new_activations:
                self._on_disk.pop((network, key), None)
            self._keep((network, key), entry)
        return entry

    def tensor(self, key: Key, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what ``make`` returns, made once as long as it fits into the budget."""
        entry = self._known(key) or _Entry({"": make()})
        self._keep(key, entry)
        return entry.activations[""]

    def clear(self) -> None:
        """Forget all features and networks."""
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
            # tensors of inference mode cannot be packed: they do not tell when they change
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

    def _known(self, key: Key) -> _Entry | None:
        """Return what is remembered, in memory or on disk."""
        place = self._on_disk.get(key)
        if key in self._kept or place is None or self._overflow is None:
            return self._kept.get(key)
        try:
            entry = _Entry()
            for (kind, layer), tensor in self._overflow.read(place).items():
                getattr(entry, kind)[layer] = tensor
            return entry
        # it can be computed again
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
        """Return layer name -> float32 activations (B, C, H, W) that some metric declared.

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
        """Return what ``make`` returns, made once; see ``contracts.ScoringPair``."""
        keys = tuple(self._key(source) for source in of)
        if all(keys):

            def make_as_is() -> torch.Tensor:
                before, self._as_is = self._as_is, True
                try:
                    return make()
                finally:
                    self._as_is = before

            return self._expanded(self._bank.tensor(("kept", name, *keys), make_as_is))
        own = (name, *of)
        if own not in self._tensors:
            self._tensors[own] = make()
        return self._tensors[own]

    def _entry(self, network: str, of: str) -> _Entry:
        if (network, of) not in self._entries:
            if (network, of) not in self._needs:
                raise KeyError(f"no metric declares features of {network!r} of {of!r}")
            key = self._key(of)
            wanted = _Needs()
            # Content and style, or style and resized style, may be the same picture.
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
        """Return what names the picture in the bank; outputs are scored once, so they have none."""
        if of == "output":
            return ""
        if of not in self._keys:
            picture = self.content if of == "content" else self.style
            digest = picture.sha256 or _digest(picture.pixels)
            # Pictures of one checksum may differ in shape, a resized style from itself at least.
            shape = "x".join(str(n) for n in picture.pixels.shape)
            key = f"{digest}:{shape}"
            resized = (self.content.height, self.content.width)
            if of == "style_as_content" and resized != (picture.height, picture.width):
                key += f":{resized[0]}x{resized[1]}"
            self._keys[of] = key
        return self._keys[of]

    def _expanded(self, tensor: torch.Tensor) -> torch.Tensor:
        # What is kept for later pairs must not have the number of this pair's outputs.
        if self._as_is:
            return tensor
        return tensor.expand(self.output.pixels.shape[0], *tensor.shape[1:])


def _merged(needs: Iterable[Features]) -> dict[tuple[str, str], _Needs]:
    merged: dict[tuple[str, str], _Needs] = {}
    for need in needs:
        for of in need.of:
            if of not in SOURCES:
                raise ValueError(f"features of {of!r}: none of {', '.join(SOURCES)}")
            entry = merged.setdefault((need.network, of), _Needs())
            (entry.grams if need.gram else entry.activations).update(need.layers)
    return merged


def _digest(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
    return int(_MEMORY_SHARE * psutil.virtual_memory().available)
