"""Names and pictures that released programs write, each from a public repository or report."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import odd_images
import pytest
from PIL import Image, PngImagePlugin

from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import ImageRecord
from nstbench.pictures.decode import orientation_of, read_image, turned
from nstbench.pictures.folder_files import visible_files
from nstbench.pictures.picture import write_png
from nstbench.pipeline.outputs.copies import TURNED
from nstbench.pipeline.outputs.patterns import find_outputs
from nstbench.pipeline.outputs.shapes import as_fit, is_grid, without_frame
from nstbench.pipeline.score_outputs import Request, score_outputs


def records(names: str) -> list[ImageRecord]:
    files = [Path(name) for name in names.split()]
    return [ImageRecord(file.stem, file, source=file.as_posix()) for file in files]


def touch(root: Path, names: str) -> None:
    for name in names.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


# id: pattern, files, contents, styles, pairs of the files in their order ("-": none)
SCHEMES = {
    # naoto0804/pytorch-AdaIN test.py, jiwoogit/StyleID
    "adain": (
        "o/{content}_stylized_{style}.jpg", "o/a_stylized_m.jpg o/a_stylized_b_stylized_m.jpg",
        "a.jpg a_stylized_b.jpg", "m.jpg", "a×m a_stylized_b×m",
    ),
    # magenta/magenta arbitrary_image_stylization: the name without its last four characters
    "magenta": (
        "o/{content}_stylized_{style}_1.jpg", "o/a._stylized_m._1.jpg o/b_stylized_m._1.jpg",
        "a.jpeg b.jpg", "m.jpeg", "a×m b×m",
    ),
    # nihui/waifu2x-ncnn-vulkan issue 27: the suffix stays in the name
    "suffix": ("o/{content}.png", "o/a.jpg.png o/b.png.png", "a.jpg b.png", "m.jpg", "a×m b×m"),
    # pleonard212/pix-plot issue 20, nagadomi/nunif issue 667: the name up to the first dot
    "dots": ("o/{content}-{style}.png", "o/st-m.png o/b-m.png", "st.paul.jpg b.jpg", "m.x.jpg",
             "st.paul×m.x b×m.x"),
    # clovaai/WCT2 transfer.py, sunshineatnoon/PytorchWCT: a content and a style of one name
    "one_name": ("o/{content}_cat5.png", "o/1_cat5.png o/2_cat5.png", "1.png 2.png",
                 "1.png 2.png 3.png", "1×1 2×2"),
    # junyanz/pytorch-CycleGAN-and-pix2pix issue 970
    "one_style": ("o/{content}_fake_B.png", "o/a_fake_B.png o/a_real_A.png o/b_fake_B.png",
                  "a.jpg b.jpg", "m.jpg", "a×m - b×m"),
    # Huage001/AdaAttN data/unaligned_dataset.py
    "adaattn": ("o/{style}_{content}_cs.png", "o/m_a_cs.png o/m_a_c.png o/m_a_s.png", "a.jpg",
                "m.jpg", "a×m - -"),
    # fzliu/style-transfer issue 31
    "settings": (
        "o/{content}-{style}-*.jpg", "o/sf-starry_night-vgg19-content-1e4-512.jpg", "sf.jpg",
        "night.jpg starry.jpg starry_night.jpg", "sf×starry_night",
    ),
    # ProGamerGov/neural-style-pt issue 76
    "brackets": ("o/{content}({style})*.jpg", "o/IN(Albena_04XX)px100,cw5e0,sw2e2,i.jpg",
                 "IN.jpg I.jpg", "Albena_04XX.jpg", "IN×Albena_04XX"),
    # jcjohnson/neural-style issue 260
    "iterations": ("o/{content}_{style}.png", "o/pitt_picasso.png o/pitt_picasso_900.png",
                   "pitt.jpg", "picasso.jpg", "pitt×picasso -"),
    "steps": ("o/{content}_{style}*.png", "o/a_m.png o/a_m_900.png o/b_m_900.png o/b_m_1000.png",
              "a.jpg b.jpg", "m.jpg", "a×m - - b×m"),
    # jcjohnson/neural-style issue 260, without names of pictures
    "one_file": ("o/out.png", "o/out.png o/out-100.png", "a.jpg", "m.jpg", "a×m -"),
    "one_content": ("o/{style}.png", "o/m.png o/n.png", "a.jpg", "m.jpg n.jpg", "a×m a×n"),
    "star_after_content": ("o/{content}*__{style}.png", "o/a1_x__m.png o/a10_x__m.png o/a_x__m.png",
                           "a.jpg a1.jpg a10.jpg", "m.jpg", "a1×m a10×m a×m"),
    "star_before_style": ("o/{content}*_{style}.png", "o/a_v1_starry_night.png o/a_v1_night.png",
                          "a.jpg", "night.jpg starry_night.jpg", "a×starry_night a×night"),
    "method": ("o/{method}_{style}_{content}.png", "o/x_starry_night_a.png o/x_night_a.png",
               "a.jpg", "night.jpg starry_night.jpg", "a×starry_night a×night"),
    "any_depth": ("o/**/{content}__{style}.png", "o/x/y/a__m.png o/b__m.png", "a.jpg b.jpg",
                  "m.jpg", "a×m b×m"),
    # lengstrom/fast-style-transfer issue 6, OpenNeuroOrg/openneuro issue 2520,
    # meetps/pytorch-semseg issue 83
    "system": (
        "o/*{content}__{style}.png", "o/a__m.png o/._a__m.png o/.DS_Store o/Thumbs.db "
        "o/__MACOSX/a__m.png", "a.jpg", "m.jpg", "a×m hidden hidden hidden hidden",
    ),
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names_are_assigned_to_pairs(scheme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pattern, files, contents, styles, expected = SCHEMES[scheme]
    touch(tmp_path, files)
    methods, unmatched = find_outputs(pattern, "x", records(contents), records(styles))
    assert len(methods) == 1
    (outputs,) = methods.values()
    found = {f.as_posix(): f"{p.content}×{p.style}" for p, f in outputs.files.items()}
    found |= {file.as_posix(): "-" for file, _ in unmatched}
    assert [found.get(f, "hidden") for f in files.split()] == expected.split()


# pattern, files, contents, styles, the suggested pattern
SUGGESTIONS = [
    ("o", "o/a_stylized_m.jpg", "a.jpg b.jpg", "m.jpg n.jpg", "o/{content}_stylized_{style}.jpg"),
    ("o/{content}_fake_B.png", "o/m_a_fake_B.png", "a.jpg b.jpg", "m.jpg n.jpg",
     "o/{style}_{content}_fake_B.png"),
    # replicate/lora-training issue 9
    ("o/{content}_{style}.jpg", "o/a_m.JPG", "a.jpg", "m.jpg", "o/{content}_{style}.JPG"),
    ("o/{content}_{style}.png", "o/m/a-7.png", "a.jpg b.jpg", "m.jpg n.jpg",
     "o/{style}/{content}-7.png"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "files", "contents", "styles", "suggested"), SUGGESTIONS)
def test_a_wrong_pattern_is_answered_with_the_right_one(
    pattern, files, contents, styles, suggested, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, files)
    with pytest.raises(UsageError) as refusal:
        find_outputs(pattern, "x", records(contents), records(styles))
    assert f"'{suggested}'" in str(refusal.value)
    methods, _ = find_outputs(suggested, "x", records(contents), records(styles))
    assert [tuple(pair)[:2] for pair in methods["x"].files] == [("a", "m")]


def test_linked_folders_are_read_once(tmp_path):
    # cvg/Hierarchical-Localization issue 283, allenai/ir_datasets issue 160
    touch(tmp_path, "real/a.png root/b.png")
    (tmp_path / "root/linked").symlink_to(tmp_path / "real")
    (tmp_path / "root/linked/up").symlink_to(tmp_path / "root")
    found = sorted(f.relative_to(tmp_path).as_posix() for f in visible_files(tmp_path / "root"))
    assert found == ["root/b.png", "root/linked/a.png"]


# -- pictures ---------------------------------------------------------------------------------


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(3, height // 8), max(3, width // 8), 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def board_of(folder: Path, pattern: str = "out/{content}__{style}.png", **changes):
    given = {
        "patterns": (f"{folder}/{pattern}",), "names": ("mine",),
        "contents": str(folder / "contents"), "styles": str(folder / "styles"),
        "out": folder / "run", "metrics": "ssim", "device": "cpu", "formats": ("csv",),
    }  # fmt: skip
    return score_outputs(Request(**(given | changes)))


def ssim(board) -> float:
    return float(board.scores.query("metric == 'ssim' and part == ''")["value"].iloc[0])


@pytest.fixture
def files(tmp_path):
    write_png(tmp_path / "contents/a.png", smooth(64, 96))
    write_png(tmp_path / "styles/m.png", smooth(64, 64, 1))
    return tmp_path


@pytest.mark.parametrize("fit", ["inside", "crop", "stretch"])
@pytest.mark.parametrize(("orientation", "shape"), [(3, (64, 96)), (6, (64, 96)), (8, (80, 80))])
def test_an_output_is_turned_as_the_content_should_have_been(files, orientation, shape, fit):
    # mflux-community/mflux issue 495: Pillow does not apply the orientation
    (files / "contents/a.png").unlink()
    exif = Image.Exif()
    exif[0x112] = orientation
    path = files / "contents/a.jpg"
    Image.fromarray(smooth(*shape)).save(path, exif=exif, quality=98)
    assert orientation_of(path) == orientation
    write_png(files / "out/a__m.png", np.array(Image.open(path)))
    board = board_of(files, fit=fit)
    assert ssim(board) == pytest.approx(1.0, abs=1e-6)
    made = read_image(board.root / board.units["output"][0])
    np.testing.assert_array_equal(made, read_image(path))


def test_an_upright_output_of_a_turned_content_stays_as_it_is(files):
    (files / "contents/a.png").unlink()
    exif = Image.Exif()
    exif[0x112] = 3
    Image.fromarray(smooth(64, 96)).save(files / "contents/a.jpg", exif=exif, quality=98)
    upright = read_image(files / "contents/a.jpg")
    write_png(files / "out/a__m.png", upright)
    assert ssim(board_of(files)) == pytest.approx(1.0, abs=1e-6)
    assert "EXIF" in TURNED
    np.testing.assert_array_equal(turned(smooth(64, 96), 3), smooth(64, 96)[::-1, ::-1])


@pytest.mark.parametrize("padding", [0, 2])
def test_a_grid_of_content_style_and_output_is_refused_as_a_grid(files, padding):
    # torchvision's save_image of several pictures puts 2 pixels around each
    content = smooth(128, 192)
    write_png(files / "contents/a.png", content)
    others = [as_fit(smooth(64, 64, seed), (128, 192), "stretch") for seed in (1, 2)]
    edge = ((padding, padding), (padding, 0), (0, 0))
    grid = np.concatenate([np.pad(p, edge) for p in (content, *others)], axis=1)
    assert is_grid(grid, content)
    assert is_grid(np.concatenate([content, others[0]]), content)
    assert not is_grid(np.concatenate([others[0], others[1]], axis=1), content)
    assert not is_grid(content, content)
    write_png(files / "out/a__m.png", grid)
    (message,) = board_of(files).units["message"]
    assert "content and other pictures side by side" in message


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_an_animation_is_a_content_but_not_an_output(files, kind):
    # jina-ai/discoart pull request 76: the first frame is the start of the optimisation
    frames = [Image.fromarray(smooth(64, 96, seed)) for seed in (7, 8, 0)]
    path = files / f"out/a__m.{kind}"
    path.parent.mkdir()
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    write_png(files / f"out/b__m.{kind}", smooth(64, 96, 3))
    write_png(files / "contents/b.png", smooth(64, 96, 3))
    assert read_image(path).shape == (64, 96, 3)
    units = board_of(files, f"out/{{content}}__{{style}}.{kind}").units.set_index("content")
    assert units["status"].to_dict() == {"a": "failed", "b": "done"}
    assert "animation of 3 frames" in units.loc["a", "message"]


def test_a_photo_with_a_preview_is_not_an_animation(files):
    # python-pillow/Pillow issue 1138
    first, second = Image.fromarray(smooth(64, 96)), Image.fromarray(smooth(32, 48))
    first.save(files / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert read_image(files / "a.jpg", single=True).shape == (64, 96, 3)


def test_png_with_long_text_and_a_long_profile(tmp_path):
    # python-pillow/Pillow issues 8363 and 2445
    pixels = smooth(64, 96)
    profile = odd_images.rgb_profile()
    plain, padded = tmp_path / "plain.png", tmp_path / "padded.png"
    Image.fromarray(pixels).save(plain, icc_profile=profile)
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 3_000_000, zip=True)
    Image.fromarray(pixels).save(padded, pnginfo=text, icc_profile=profile + bytes(2_000_000))
    with pytest.raises(ValueError, match=r"(?i)too large"):
        Image.open(padded).load()
    np.testing.assert_array_equal(read_image(padded), read_image(plain))
    assert (read_image(plain) != pixels).any()


def test_a_damaged_png_is_refused_without_its_text_too(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 3_000_000, zip=True)
    data = io.BytesIO()
    Image.fromarray(smooth(64, 96)).save(data, "PNG", pnginfo=text)
    for length in range(8, len(data.getvalue()) - 40, 977):
        (tmp_path / "a.png").write_bytes(data.getvalue()[:length] + bytes(range(20)))
        with pytest.raises(ImageError, match=r"a\.png"):
            read_image(tmp_path / "a.png")


def test_methods_that_differ_in_case_or_signs(files):
    methods = ("AdaIN", "adain", "v1.0", "v1-0")
    for method in methods:
        write_png(files / f"out/{method}/a__m.png", smooth(64, 96))
    board = board_of(files, "out/{method}/{content}__{style}.png", names=())
    assert set(board.methods) == set(methods)
    assert set(board.units["status"]) == {"done"}
    assert len({card.plugin.lower() for card in board.methods.values()}) == 4


def test_pairs_of_one_name_are_the_pairs_of_the_board(files):
    for number in ("1", "2"):
        write_png(files / f"contents/{number}.png", smooth(64, 96))
        write_png(files / f"styles/{number}.png", smooth(64, 64, 2))
    (files / "contents/a.png").unlink()
    write_png(files / "out/1_cat5.png", smooth(64, 96))
    board = board_of(files, "out/{content}_cat5.png")
    assert board.leaderboard["coverage"].tolist() == ["1/2"]
    missing = board.units.query("status != 'done'")
    assert missing[["content", "style"]].to_numpy().tolist() == [["2", "2"]]
    assert missing["message"].iloc[0].endswith("out/2_cat5.png")


@pytest.mark.parametrize(("fit", "shape"), [("stretch", (64, 64)), ("inside", (32, 48))])
def test_the_frame_of_torchvision_is_cut_off(files, fit, shape):
    # pytorch/vision issue 307: 2 black pixels around each picture
    content = read_image(files / "contents/a.png")
    framed = np.pad(as_fit(content, shape, "stretch"), ((2, 2), (2, 2), (0, 0)))
    write_png(files / "out/a__m.png", framed)
    assert ssim(board_of(files, fit=fit)) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(without_frame(framed, content), framed[2:-2, 2:-2])


def test_a_frame_of_the_content_or_of_another_form_stays():
    content = smooth(64, 96)
    black = np.zeros_like(content)
    framed, wide, grey = (
        np.pad(content, ((n, n), (n, n), (0, 0)), constant_values=value)
        for n, value in ((2, 0), (6, 0), (2, 90))
    )
    assert without_frame(framed, framed) is None
    for output in (content, black, framed[1:], wide, grey):
        assert without_frame(output, content) is None
