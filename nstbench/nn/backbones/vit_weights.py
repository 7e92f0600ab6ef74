"""Published weights of the vision transformers, and the readers of their files."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nstbench.contracts import Weight
from nstbench.core.errors import WeightsError
from nstbench.nn.backbones.vit import VitDesign
from nstbench.nn.weights.files import read_torch_checkpoint
from nstbench.nn.weights.sources import Download

CLIP_B32_DESIGN = VitDesign(width=768, depth=12, heads=12, patch=32, projected=512)
CSD_L14_DESIGN = VitDesign(width=1024, depth=24, heads=16, patch=14, projected=768)
DINO_B8_DESIGN = VitDesign(width=768, depth=12, heads=12, patch=8)

# Name in a block of nstbench -> name in OpenAI's and in DINO's checkpoints.
_CLIP_BLOCK = {
    "qkv_weight": "attn.in_proj_weight",
    "qkv_bias": "attn.in_proj_bias",
    **{
        f"{ours}_{kind}": f"{theirs}.{kind}"
        for ours, theirs in (
            ("out", "attn.out_proj"),
            ("norm1", "ln_1"),
            ("norm2", "ln_2"),
            ("up", "mlp.c_fc"),
            ("down", "mlp.c_proj"),
        )
        for kind in ("weight", "bias")
    },
}
_DINO_BLOCK = {
    f"{ours}_{kind}": f"{theirs}.{kind}"
    for ours, theirs in (
        ("qkv", "attn.qkv"),
        ("out", "attn.proj"),
        ("norm1", "norm1"),
        ("norm2", "norm2"),
        ("up", "mlp.fc1"),
        ("down", "mlp.fc2"),
    )
    for kind in ("weight", "bias")
}

Arrays = Mapping[str, np.ndarray]


def clip_arrays(state: Arrays, depth: int, prefix: str, projection: str) -> dict[str, np.ndarray]:
    """Rename the arrays of CLIP's picture encoder, as float32.

    Args:
        state: arrays of the checkpoint.
        depth: blocks.
        prefix: of the encoder's names, for example ``"visual."``.
        projection: full name of the projection.
    """
    found = {
        "patches_weight": state[f"{prefix}conv1.weight"],
        "class_token": state[f"{prefix}class_embedding"],
        "positions": state[f"{prefix}positional_embedding"],
        "first_weight": state[f"{prefix}ln_pre.weight"],
        "first_bias": state[f"{prefix}ln_pre.bias"],
        "last_weight": state[f"{prefix}ln_post.weight"],
        "last_bias": state[f"{prefix}ln_post.bias"],
        "projection": state[projection],
    }
    for k in range(depth):
        block = f"{prefix}transformer.resblocks.{k}."
        found |= {f"blocks.{k}.{ours}": state[block + name] for ours, name in _CLIP_BLOCK.items()}
    return {name: array.astype(np.float32) for name, array in found.items()}


def dino_arrays(state: Arrays, depth: int) -> dict[str, np.ndarray]:
    """Rename the arrays of DINO's checkpoint, as float32."""
    found = {
        "patches_weight": state["patch_embed.proj.weight"],
        "patches_bias": state["patch_embed.proj.bias"],
        "class_token": state["cls_token"].reshape(-1),
        "positions": state["pos_embed"][0],
        "last_weight": state["norm.weight"],
        "last_bias": state["norm.bias"],
    }
    for k in range(depth):
        names = _DINO_BLOCK.items()
        found |= {f"blocks.{k}.{ours}": state[f"blocks.{k}.{name}"] for ours, name in names}
    return {name: array.astype(np.float32) for name, array in found.items()}


def read_clip(path: Path) -> dict[str, np.ndarray]:
    """Read OpenAI's TorchScript archive of CLIP ViT-B/32; its checksum is compared before.

    Raises:
        WeightsError: if it is not a TorchScript archive.
    """
    try:
        with warnings.catch_warnings():
            # torch calls TorchScript deprecated; the file exists in no other form.
            warnings.simplefilter("ignore", DeprecationWarning)
            archive = torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path.name} is not a TorchScript archive: {reason}") from error
    state = {name: tensor.float().numpy() for name, tensor in archive.state_dict().items()}
    return clip_arrays(state, CLIP_B32_DESIGN.depth, "visual.", "visual.proj")


def read_csd(path: Path) -> dict[str, np.ndarray]:
    """Read the training checkpoint of CSD: the encoder and the style projection.

    The file also has the state of the optimiser and the training arguments, which torch's
    restricted reader accepts only by name. The content projection is not used.

    Raises:
        WeightsError: if the file has other contents.
    """
    import argparse

    # NumPy 2 renamed the module of the constructor; files have either name.
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [argparse.Namespace, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in (np.float64, np.int64)]
    allowed += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    try:
        with torch.serialization.safe_globals(allowed):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        tensors = checkpoint["model_state_dict"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path.name} is not a checkpoint of CSD: {reason}") from error
    state = {name.removeprefix("module."): t.float().numpy() for name, t in tensors.items()}
    return clip_arrays(state, CSD_L14_DESIGN.depth, "backbone.", "last_layer_style")


def read_dino(path: Path) -> dict[str, np.ndarray]:
    """Read the published checkpoint of DINO ViT-B/8."""
    return dino_arrays(read_torch_checkpoint(path), DINO_B8_DESIGN.depth)


CLIP_B32 = Weight(
    name="clip_vit_b32",
    filename="clip_vit_b32.safetensors",
    licence="MIT (OpenAI CLIP)",
    origin="https://github.com/openai/CLIP",
    sources=(
        Download(
            # The checksum is part of the address, and openai/CLIP compares it.
            url="https://openaipublic.azureedge.net/clip/models/"
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            convert=read_clip,
        ),
    ),
)

CSD_L14 = Weight(
    name="csd_vit_l14",
    filename="csd_vit_l14.safetensors",
    licence="CC-BY-4.0 (weights); MIT (code of CSD)",
    origin="https://github.com/learn2phoenix/CSD",
    sources=(
        Download(
            # The checksum is from a program that pins this revision; the file was not seen here.
            url="https://huggingface.co/tomg-group-umd/CSD-ViT-L/resolve/"
            "5bc26a6fb0487f3f00a2a7313135103a005b1b67/pytorch_model.bin",
            sha256="40e92fad63a361b8136100cd234c42d401ef9b34ff1748234318929ebcc7e7a1",
            convert=read_csd,
        ),
    ),
)

DINO_B8 = Weight(
    name="dino_vit_b8",
    filename="dino_vit_b8.safetensors",
    licence="Apache-2.0 (DINO)",
    origin="https://github.com/facebookresearch/dino",
    sources=(
        Download(
            url="https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/"
            "dino_vitbase8_pretrain.pth",
            # No checksum is published, so users must download the file themselves.
            sha256="",
            convert=read_dino,
        ),
    ),
)
