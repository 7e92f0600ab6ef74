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
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch

from nstbench.contracts import Features, Picture
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.layers.winograd import use_winograd
from nstbench.pictures.picture import resize
from nstbench.score.feature_entry import Entry, Needs
from nstbench.score.feature_spill import Overflow, Place

SOURCES = ("output", "content", "style", "style_as_content")
"""The pictures that ``of`` in :class:`~nstbench.contracts.Features` may name."""

LONGEST = 4
"""Long side of a scaled picture in units of ``Features.side``, at most. A longer picture gets a
smaller short side, so that no picture costs more than four squares."""

MOST_SMALL, SMALL = 100_000, 4096
"""Small tensors that are kept outside the budget, and their greatest size in bytes."""

# Scoring starts after all methods have finished, so it may use much of the free memory.
_MEMORY_SHARE = 0.5

LoadNetwork = Callable[[str, torch.device], LayeredNetwork]
Key = tuple[str, ...]
Make = Callable[[], torch.Tensor]
Lasting = Callable[[str, Sequence[str], Sequence[str], Make, str], torch.Tensor]
"""Keeps small tensors longer than a process: ``nstbench.score.pair_cache.PairCache.tensor``."""


@dataclass(frozen=True, slots=True)
class _View:
    """One of ``SOURCES``, in the (height, width) that a network sees."""

    of: str
    shape: tuple[int, int]


class FeatureBank:
    """Networks, and the features of contents and styles within a memory budget.

    Args:
        device: device of the networks.
        budget: bytes of features to keep in memory; the least recently used ones are removed
            first. By default half of the free memory.
        load: function that loads a network.
        overflow: folder for removed features, which are later read from it instead of computed
            again. By default they are not kept.
        lasting: keeps the tensors that are worth a file; by default none is.
    """

    def __init__(
        self,
        device: torch.device,
        budget: int | None = None,
        load: LoadNetwork = load_backbone,
        overflow: Path | None = None,
        lasting: Lasting | None = None,
    ) -> None:
        self.device = device
        self.lasting = lasting
        self.budget = _free_memory(device) if budget is None else budget
        self._load = load
        self._overflow = None if overflow is None else Overflow(overflow)
        self._on_disk: dict[Key, dict[tuple[str, str], Place]] = {}
        self._networks: dict[str, LayeredNetwork] = {}
        self._kept: OrderedDict[Key, Entry] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._small: OrderedDict[Key, torch.Tensor] = OrderedDict()
        self._held = 0

    def pair(
        self, output: Picture, content: Picture, style: Picture, needs: Iterable[Features]
    ) -> ScoredPair:
        """Return a pair that provides the features in ``needs``; nothing is computed yet."""
        return ScoredPair(self, output, content, style, needs)

    def entry(self, network: str, key: str, pixels: torch.Tensor, needs: Needs) -> Entry:
        """Return features of a picture.

        Args:
            network: name of the network.
            key: identifies the picture; empty if its features are not kept.
            pixels: the picture, float32 RGB (B, 3, H, W) in [0, 1].
            needs: layers to provide.
        """
        entry = (self._remembered((network, key)) if key else None) or Entry()
        layers = (needs.activations - entry.activations.keys()) | (
            needs.grams - entry.grams.keys() - entry.activations.keys()
        )
        new_grams = needs.grams - entry.grams.keys()
        new_activations = needs.activations - entry.activations.keys()
        activations = {**entry.activations, **self._forward(network, pixels, layers)}
        for layer in new_grams:
            entry.add_moments(layer, activations[layer])
        for layer in new_activations:
            entry.activations[layer] = activations[layer]
        if key:
            if new_grams or new_activations:
                self._on_disk.pop((network, key), None)
            self._keep((network, key), entry)
        return entry

    def tensor(self, key: Key, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what ``make`` returns, made once as long as it fits into the budget.

        Tensors of at most ``SMALL`` bytes are kept whatever the budget is.
        """
        if key in self._small:
            self._small.move_to_end(key)
            return self._small[key]
        entry = self._remembered(key) or Entry({"": make()})
        made = entry.activations[""]
        if made.nbytes > SMALL:
            self._keep(key, entry)
            return made
        self._small[key] = made
        if len(self._small) > MOST_SMALL:
            self._small.popitem(last=False)
        return made

    def clear(self) -> None:
        """Remove all features and networks."""
        self._networks.clear()
        self._kept.clear()
        self._small.clear()
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
                use_winograd(self._networks[network])
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with exact:
            return self._networks[network](pixels, layers)

    def _keep(self, key: Key, entry: Entry) -> None:
        self._kept[key] = entry
        self._kept.move_to_end(key)
        size = entry.size()
        self._held += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._held > self.budget and len(self._kept) > 1:
            oldest, evicted = self._kept.popitem(last=False)
            self._held -= self._sizes.pop(oldest)
            self._spill(oldest, evicted)

    def _remembered(self, key: Key) -> Entry | None:
        """Return the kept features, from memory or from disk, or ``None``."""
        place = self._on_disk.get(key)
        if key in self._kept or place is None or self._overflow is None:
            return self._kept.get(key)
        try:
            entry = Entry()
            for (kind, layer), tensor in self._overflow.read(place).items():
                getattr(entry, kind)[layer] = tensor
            return entry
        # the features will be computed again
        except OSError:
            del self._on_disk[key]
            return None

    def _spill(self, key: Key, entry: Entry) -> None:
        if self._overflow is None or key in self._on_disk:
            return
        tensors = {("activations", name): tensor for name, tensor in entry.activations.items()}
        tensors |= {("grams", name): tensor for name, tensor in entry.grams.items()}
        tensors |= {("means", name): tensor for name, tensor in entry.means.items()}
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
        self._entries: dict[tuple[str, _View], Entry] = {}
        self._tensors: dict[Key, torch.Tensor] = {}
        self._as_is = False
        self._pixels: dict[_View, torch.Tensor] = {}
        self._keys: dict[_View, str] = {}
        same_shape = output.pixels.shape == content.pixels.shape
        self._copies_content = (
            bool(output.sha256) and output.sha256 == content.sha256 and same_shape
        )
        self._needs = self._merged(needs)

    def features(
        self, network: str, of: str, side: int | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Return layer name -> float32 activations (B, C, H, W) of the declared layers.

        Args:
            network: name of the network.
            of: one of ``SOURCES``.
            side: the short side in pixels that a metric declared; ``None`` for the picture's own.

        Raises:
            KeyError: if no metric declared features of that network and picture.
        """
        entry = self._entry(network, self._view(of, side))
        return {name: self._expanded(tensor) for name, tensor in entry.activations.items()}

    def gram(self, network: str, of: str, layer: str) -> torch.Tensor:
        """Return the Gram matrix F F^T / N, N = H W, as float64 (B, C, C).

        Raises:
            KeyError: if no metric declared that layer.
        """
        return self._expanded(self._moments(network, of, layer).grams[layer])

    def mean(self, network: str, of: str, layer: str) -> torch.Tensor:
        """Return the means over positions as float64 (B, C).

        Raises:
            KeyError: if no metric declared that layer.
        """
        return self._expanded(self._moments(network, of, layer).means[layer])

    def kept(
        self,
        name: str,
        of: Sequence[str],
        make: Callable[[], torch.Tensor],
        networks: Sequence[str] = (),
    ) -> torch.Tensor:
        """Return the result of ``make``, called once; see ``contracts.ScoringPair``."""
        keys = tuple(self._key(self._view(source)) for source in of)
        if all(keys):

            def make_as_is() -> torch.Tensor:
                before, self._as_is = self._as_is, True
                try:
                    return make()
                finally:
                    self._as_is = before

            def stored() -> torch.Tensor:
                lasting = self._bank.lasting
                if lasting is None or not networks:
                    return make_as_is()
                return lasting(name, keys, networks, make_as_is, make.__module__)

            return self._expanded(self._bank.tensor(("kept", name, *keys), stored))
        key = (name, *of)
        if key not in self._tensors:
            self._tensors[key] = make()
        return self._tensors[key]

    def with_output(self, output: Picture, needs: Iterable[Features]) -> ScoredPair:
        """Return another output with this content and style; see ``contracts.ScoringPair``."""
        return ScoredPair(self._bank, output, self.content, self.style, needs)

    def _entry(self, network: str, view: _View) -> Entry:
        if (network, view) not in self._entries:
            if (network, view) not in self._needs:
                raise KeyError(f"no metric declares features of {network!r} of {view.of!r}")
            key = self._key(view)
            wanted = Needs()
            # Content and style may be the same picture, and so may style and resized style.
            for (other_network, other), needs in self._needs.items():
                same = other == view or (key and self._key(other) == key)
                if other_network == network and same:
                    wanted.activations |= needs.activations
                    wanted.grams |= needs.grams
            entry = self._bank.entry(network, key, self._picture(view), wanted)
            self._entries[network, view] = entry
        return self._entries[network, view]

    def _moments(self, network: str, of: str, layer: str) -> Entry:
        """Return the entry of a picture after its Gram matrix and means of a layer exist."""
        entry = self._entry(network, self._view(of))
        if layer not in entry.grams:
            if layer not in entry.activations:
                raise KeyError(f"no metric declares layer {layer!r} of {network!r} of {of!r}")
            entry.add_moments(layer, entry.activations[layer])
        return entry

    def _view(self, of: str, side: int | None = None) -> _View:
        """Return the picture and the shape in which a network sees it."""
        picture: Picture = self.content if of == "style_as_content" else getattr(self, of)
        shape = (picture.height, picture.width)
        return _View(of, shape if side is None else scaled_shape(shape, side))

    def _merged(self, needs: Iterable[Features]) -> dict[tuple[str, _View], Needs]:
        merged: dict[tuple[str, _View], Needs] = {}
        for need in needs:
            for of in need.of:
                if of not in SOURCES:
                    raise ValueError(f"features of {of!r}: not one of {', '.join(SOURCES)}")
                view = self._view(of, need.side)
                entry = merged.setdefault((need.network, view), Needs())
                (entry.grams if need.gram else entry.activations).update(need.layers)
        return merged

    def _picture(self, view: _View) -> torch.Tensor:
        if view not in self._pixels:
            if view.of == "style_as_content":
                shape = (self.content.height, self.content.width)
                pixels = resize(self.style.pixels, shape)
            else:
                picture: Picture = getattr(self, view.of)
                pixels = picture.pixels
            self._pixels[view] = resize(pixels, view.shape)
        return self._pixels[view]

    def _key(self, view: _View) -> str:
        """Return the picture's key in the bank.

        It is empty for outputs, which are scored once only, except for a copy of the content.
        """
        if view.of == "output":
            return self._key(replace(view, of="content")) if self._copies_content else ""
        if view not in self._keys:
            picture = self.content if view.of == "content" else self.style
            digest = picture.sha256 or _digest(picture.pixels)
            # A style and its resized copy have the same checksum and different shapes.
            shapes = [(picture.height, picture.width)]
            if view.of == "style_as_content":
                shapes.append((self.content.height, self.content.width))
            shapes.append(view.shape)
            steps = [
                f"{h}x{w}" for i, (h, w) in enumerate(shapes) if i == 0 or (h, w) != shapes[i - 1]
            ]
            self._keys[view] = ":".join((digest, str(picture.pixels.shape[0]), *steps))
        return self._keys[view]

    def _expanded(self, tensor: torch.Tensor) -> torch.Tensor:
        # Tensors that are kept for later pairs must not have the batch size of this pair.
        if self._as_is:
            return tensor
        return tensor.expand(self.output.pixels.shape[0], *tensor.shape[1:])


def scaled_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (height, width) scaled to a short side of ``side`` pixels.

    The long side gets at most ``LONGEST`` times as many; beyond that both sides shrink.
    """
    scale = min(side / min(shape), LONGEST * side / max(shape))
    height, width = (max(1, round(length * scale)) for length in shape)
    return height, width


def _digest(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
    return int(_MEMORY_SHARE * psutil.virtual_memory().available)
