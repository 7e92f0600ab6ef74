"""Networks of the metrics that need fetched weights, on random tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nstbench.core.errors import WeightsError
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.artscore import ARTSCORE, ArtScoreNetwork
from nstbench.nn.backbones.inception import TORCHVISION_INCEPTION, InceptionPlaces
from nstbench.nn.backbones.vit import CLIP_MEAN, CLIP_STD, Vit, VitDesign
from nstbench.nn.backbones.vit_weights import clip_arrays, dino_arrays, read_clip, read_csd
from nstbench.nn.layers.layered import IMAGENET_MEAN, IMAGENET_STD

CLIP = VitDesign(width=24, depth=3, heads=4, patch=8, side=32, projected=10)
DINO = VitDesign(width=24, depth=2, heads=3, patch=8, side=32)


def pictures(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (0.3 * rng.standard_normal(shape)).astype("f4") for name, shape in shapes.items()}


def clip_state(prefix: str, projection: str) -> dict[str, np.ndarray]:
    width = CLIP.width
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}conv1.weight": (width, 3, CLIP.patch, CLIP.patch),
        f"{prefix}class_embedding": (width,),
        f"{prefix}positional_embedding": (CLIP.tokens, width),
        projection: (width, CLIP.projected),
    }
    for name in ("ln_pre", "ln_post"):
        shapes |= {f"{prefix}{name}.{kind}": (width,) for kind in ("weight", "bias")}
    for k in range(CLIP.depth):
        block = f"{prefix}transformer.resblocks.{k}."
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * width, width),
            f"{block}attn.in_proj_bias": (3 * width,),
            f"{block}attn.out_proj.weight": (width, width),
            f"{block}attn.out_proj.bias": (width,),
            f"{block}mlp.c_fc.weight": (4 * width, width),
            f"{block}mlp.c_fc.bias": (4 * width,),
            f"{block}mlp.c_proj.weight": (width, 4 * width),
            f"{block}mlp.c_proj.bias": (width,),
        }
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}{norm}.{kind}": (width,) for kind in ("weight", "bias")}
    return random_state(shapes)


def loaded(network: Vit, arrays: dict[str, np.ndarray]) -> Vit:
    state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    network.load_state_dict(state, assign=True)
    return network


def clip_by_modules(state: dict[str, np.ndarray], x: torch.Tensor) -> np.ndarray:
    """CLIP's encoder in float64 with torch's own attention module, as its authors use it."""
    tensors = {name: torch.from_numpy(array).double() for name, array in state.items()}
    normal = (x.double() - torch.tensor(CLIP_MEAN).view(3, 1, 1).double()) / torch.tensor(
        CLIP_STD
    ).view(3, 1, 1).double()

    def norm(name: str, h: torch.Tensor) -> torch.Tensor:
        weight, bias = (tensors[f"visual.{name}.{kind}"] for kind in ("weight", "bias"))
        return (h - h.mean(-1, keepdim=True)) / (
            h.var(-1, unbiased=False, keepdim=True) + 1e-5
        ).sqrt() * weight + bias

    patches = torch.nn.functional.conv2d(normal, tensors["visual.conv1.weight"], stride=CLIP.patch)
    tokens = patches.flatten(2).transpose(1, 2)
    first = tensors["visual.class_embedding"].expand(len(x), 1, -1)
    h = torch.cat([first, tokens], 1) + tensors["visual.positional_embedding"]
    h = norm("ln_pre", h)
    for k in range(CLIP.depth):
        block = f"transformer.resblocks.{k}."
        attention = nn.MultiheadAttention(CLIP.width, CLIP.heads, batch_first=True).double()
        attention.load_state_dict(
            {
                name: tensors[f"visual.{block}attn.{name}"]
                for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
            }
        )
        y = norm(f"{block}ln_1", h)
        h = h + attention(y, y, y)[0]
        y = norm(f"{block}ln_2", h) @ tensors[f"visual.{block}mlp.c_fc.weight"].T
        y = y + tensors[f"visual.{block}mlp.c_fc.bias"]
        y = y * torch.sigmoid(1.702 * y)
        y = y @ tensors[f"visual.{block}mlp.c_proj.weight"].T
        h = h + y + tensors[f"visual.{block}mlp.c_proj.bias"]
    return (norm("ln_post", h[:, 0]) @ tensors["visual.proj"]).detach().numpy()


def test_clip_equals_its_formula_in_float64() -> None:
    state = clip_state("visual.", "visual.proj")
    network = loaded(Vit(CLIP, True), clip_arrays(state, CLIP.depth, "visual.", "visual.proj"))
    found = network(pictures(), ["embedding"])["embedding"].flatten(1).numpy()
    expected = clip_by_modules(state, pictures())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_clip_reads_the_central_square_of_an_oblong_picture() -> None:
    state = clip_state("visual.", "visual.proj")
    network = loaded(Vit(CLIP, True), clip_arrays(state, CLIP.depth, "visual.", "visual.proj"))
    wide = pictures(32, 52)
    centre = network(wide[..., 10:42], ["embedding"])["embedding"]
    assert torch.equal(network(wide, ["embedding"])["embedding"], centre)


@pytest.mark.parametrize("change", ["range", "order", "size"])
def test_a_wrong_input_changes_the_embedding_by_more_than_the_tolerance(change: str) -> None:
    state = clip_state("visual.", "visual.proj")
    network = loaded(Vit(CLIP, True), clip_arrays(state, CLIP.depth, "visual.", "visual.proj"))
    right = pictures(40, 40)
    wrong = {
        "range": 2 * right - 1,
        "order": right.flip(1),
        "size": torch.nn.functional.interpolate(right, (32, 32), mode="nearest"),
    }[change]
    first, second = (network(x, ["embedding"])["embedding"] for x in (right, wrong))
    assert (first - second).abs().max() > 1e-2 * first.abs().max()


def torchvision_vit() -> Any:
    ensure_torchvision()
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(32, 8, DINO.depth, DINO.heads, DINO.width, 4 * DINO.width)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def dino_state(model: Any) -> dict[str, np.ndarray]:
    """Return torchvision's tensors under DINO's names."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found = {
        "patch_embed.proj.weight": state["conv_proj.weight"],
        "patch_embed.proj.bias": state["conv_proj.bias"],
        "cls_token": state["class_token"],
        "pos_embed": state["encoder.pos_embedding"],
        "norm.weight": state["encoder.ln.weight"],
        "norm.bias": state["encoder.ln.bias"],
    }
    for k in range(DINO.depth):
        old, new = f"encoder.layers.encoder_layer_{k}.", f"blocks.{k}."
        for kind in ("weight", "bias"):
            found |= {
                f"{new}norm1.{kind}": state[f"{old}ln_1.{kind}"],
                f"{new}norm2.{kind}": state[f"{old}ln_2.{kind}"],
                f"{new}attn.qkv.{kind}": state[f"{old}self_attention.in_proj_{kind}"],
                f"{new}attn.proj.{kind}": state[f"{old}self_attention.out_proj.{kind}"],
                f"{new}mlp.fc1.{kind}": state[f"{old}mlp.0.{kind}"],
                f"{new}mlp.fc2.{kind}": state[f"{old}mlp.3.{kind}"],
            }
    return found


def test_dino_equals_torchvision_and_its_keys_are_those_of_the_last_block() -> None:
    model = torchvision_vit()
    inputs: list[torch.Tensor] = []
    last = getattr(model.encoder.layers, f"encoder_layer_{DINO.depth - 1}")
    last.self_attention.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    normal = pictures() - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    normal = normal / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.no_grad():
        model.heads = nn.Identity()
        expected = model(normal)
        weight = last.self_attention.in_proj_weight[DINO.width : 2 * DINO.width]
        bias = last.self_attention.in_proj_bias[DINO.width : 2 * DINO.width]
        keys = inputs[0] @ weight.T + bias
        network = loaded(Vit(DINO, False), dino_arrays(dino_state(model), DINO.depth))
        found = network(pictures(), ["embedding", "keys"])
    torch.testing.assert_close(found["embedding"].flatten(1), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["keys"][..., 0].mT, keys, rtol=1e-4, atol=1e-4)


def test_dino_accepts_oblong_pictures() -> None:
    network = loaded(Vit(DINO, False), dino_arrays(dino_state(torchvision_vit()), DINO.depth))
    keys = network(pictures(32, 48), ["keys"])["keys"]
    assert keys.shape == (2, DINO.width, 4 * 6 + 1, 1)


# --- published files ---------------------------------------------------------------------


def test_csd_checkpoint_is_read_without_its_optimiser(tmp_path: Path, monkeypatch: Any) -> None:
    import argparse

    from nstbench.nn.backbones import vit_weights

    monkeypatch.setattr(vit_weights, "CSD_L14_DESIGN", CLIP)
    state = clip_state("backbone.", "last_layer_style")
    tensors = {f"module.{name}": torch.from_numpy(array) for name, array in state.items()}
    tensors["module.last_layer_content"] = torch.zeros(2)
    file = tmp_path / "pytorch_model.bin"
    content = {
        "model_state_dict": tensors,
        "args": argparse.Namespace(lr=1.0),
        "loss": np.float64(2),
    }
    torch.save(content, file)
    arrays = read_csd(file)
    np.testing.assert_array_equal(arrays["projection"], state["last_layer_style"])
    loaded(Vit(CLIP, True), arrays)


def test_csd_file_with_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    torch.save({"model_state_dict": {}, "other": Path("x")}, file)
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is not a checkpoint of CSD"):
        read_csd(file)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clip_archive_is_read_by_the_names_of_its_tensors(tmp_path: Path, monkeypatch: Any) -> None:
    from nstbench.nn.backbones import vit_weights

    monkeypatch.setattr(vit_weights, "CLIP_B32_DESIGN", CLIP)
    state = clip_state("visual.", "visual.proj")

    class Whole(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    whole = Whole()
    for name, array in state.items():
        place: nn.Module = whole
        *path, last = name.split(".")
        for part in path:
            if part not in dict(place.named_children()):
                place.add_module(part, Whole())
            place = place.get_submodule(part)
        place.register_parameter(last, nn.Parameter(torch.from_numpy(array)))
    file = tmp_path / "ViT-B-32.pt"
    torch.jit.trace(whole, torch.zeros(1)).save(file)
    arrays = read_clip(file)
    np.testing.assert_array_equal(arrays["projection"], state["visual.proj"])
    loaded(Vit(CLIP, True), arrays)


def test_clip_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ViT-B-32.pt"
    torch.save({"visual.proj": torch.zeros(2)}, file)
    with pytest.raises(WeightsError, match=r"ViT-B-32\.pt is not a TorchScript archive"):
        read_clip(file)


def in_folder(folder: Path, name: str, model: nn.Module, monkeypatch: Any) -> None:
    monkeypatch.setenv("NSTBENCH_WEIGHTS", str(folder))
    save_file(model.state_dict(), folder / f"{name}.safetensors")


def test_sifid_reads_192_channels_before_the_second_pooling(
    tmp_path: Path, monkeypatch: Any
) -> None:
    ensure_torchvision()
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    model = inception_v3(weights=None, init_weights=False).eval()
    in_folder(tmp_path, "torchvision_inception", model, monkeypatch)
    network = InceptionPlaces().with_weights(TORCHVISION_INCEPTION)
    read: list[torch.Tensor] = []
    model.maxpool2.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    x = pictures(96, 96)
    with torch.no_grad():
        model.transform_input = False
        model(torch.nn.functional.pad(2 * x - 1, (0, 0)))
    found = network(x, ["conv4a"])["conv4a"]
    assert found.shape[1] == 192
    torch.testing.assert_close(found, read[0], rtol=1e-5, atol=1e-6)


def test_artscore_equals_torchvisions_network_with_the_authors_head(
    tmp_path: Path, monkeypatch: Any
) -> None:
    ensure_torchvision()
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model = resnet50(weights=None).eval()
    model.fc = nn.Sequential(
        nn.Linear(2048, 1000), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1000, 1)
    ).eval()
    in_folder(tmp_path, "artscore", model, monkeypatch)
    x = pictures(224, 224)
    normal = x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    normal = normal / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.no_grad():
        found = ArtScoreNetwork().with_weights(ARTSCORE)(x, ["score"])["score"].flatten()
        torch.testing.assert_close(found, model(normal)[:, 0], rtol=1e-4, atol=1e-5)
