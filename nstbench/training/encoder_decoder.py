"""Methods that change the activations of a VGG encoder and decode them with trained decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nstbench.contracts import Weight
from nstbench.nn.backbones.load import backbone_weight, load_backbone, on_network
from nstbench.nn.generators.decoder import MirroredDecoder, reflect_borders, restore_decoder
from nstbench.nn.generators.runtime import for_inference
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.training.steps.loss_networks import shared_loss_network
from nstbench.training.trainable import Task, TrainableMethod, Training


class EncoderDecoder(TrainableMethod):
    """Base of methods with a fixed encoder, chosen by ``params.network``, and trained decoders.

    Attributes:
        encoder: the encoder with mirrored borders, set by :meth:`restore_encoder`.
    """

    params: Any
    encoder: LayeredNetwork

    def required_weights(self) -> tuple[Weight, ...]:
        """Return the weights of the encoder."""
        return (backbone_weight(self.params.network),)

    def trained_on(self) -> tuple[str, ...]:
        """Return the tags of the statistics that training minimises in the chosen network."""
        return on_network(self.params.network, self.info.trained_on)

    def restore_encoder(self, params: Any) -> None:
        """Load the encoder for stylising.

        Raises:
            WeightsError: if its weights cannot be loaded.
        """
        encoder = reflect_borders(load_backbone(params.network, self.device))
        self.encoder = for_inference(encoder, params, self.device)

    def restore_decoder(
        self, layer: str, tensors: Mapping[str, torch.Tensor], params: Any
    ) -> MirroredDecoder:
        """Return the decoder of a layer of the encoder, with its tensors, for stylising."""
        decoder = restore_decoder(params.network, layer, self.device, tensors)
        return for_inference(decoder, params, self.device)


class DecoderTraining(Training):
    """Base of trainings of decoders.

    Attributes:
        params: the parameters of the method.
        encoder: the fixed encoder, with mirrored borders.
        fresh: True if the decoders begin without a checkpoint.
    """

    def __init__(self, params: Any, task: Task) -> None:
        self.params, self._autocast = params, task.autocast
        self.fresh = task.start is None
        self.encoder = shared_loss_network(
            params.network, task.device, "max", task.precision, mirrored=True
        )

    def decode(self, decoder: MirroredDecoder, features: torch.Tensor) -> torch.Tensor:
        """Return the pixels of activations: float32 RGB (B, 3, H, W)."""
        with self._autocast():
            pixels: torch.Tensor = decoder(features)
        return pixels.float()
