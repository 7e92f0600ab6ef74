"""Crops that are cut on the device, compared with Pillow's."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord
from nstbench.pictures.picture import write_png
from nstbench.training.steps.crops import Collection, Source, cut, random_crop, read_pictures

CPU = torch.device("cpu")


@pytest.fixture
def records(picture_folders):
    return [ImageRecord(p.stem, p) for p in sorted(picture_folders[0].iterdir())]


def made(folder, **shapes) -> list[ImageRecord]:
    """Write smooth pictures of some shapes and return their records."""
    records = []
    for name, (height, width) in shapes.items():
        rows, columns = np.mgrid[0:height, 0:width]
        planes = [127 + 120 * np.sin(rows / 9 + k) * np.cos(columns / 11 - k) for k in range(3)]
        write_png(folder / f"{name}.png", np.stack(planes, axis=2).round().astype(np.uint8))
        records.append(ImageRecord(name, folder / f"{name}.png"))
    return records


class TestBatches:
    def source(self, records, seed=0, styles=False, **given):
        pictures = read_pictures(records, 32, CPU, "--contents")
        streamed = Collection(pictures, 1) if styles else None
        return Source(Collection(pictures, seed), streamed, 32, 2, seed, **given)

    def test_a_batch_depends_on_seed_step_and_process_only(self, records):
        direct = self.source(records, 5).at(7).contents
        assert torch.equal(direct, self.source(records, 5).at(7).contents)
        for other in (
            self.source(records, 6).at(7),
            self.source(records, 5).at(8),
            self.source(records, 5, rank=1, world=2).at(7),
        ):
            assert not torch.equal(direct, other.contents)

    def test_every_picture_comes_once_per_pass(self, records):
        collection = Collection(read_pictures(records, 32, CPU, "--contents"), 3)
        order = [collection.at(position) for position in range(40)]
        assert len(records) == 2
        assert [sorted(order[i : i + 2]) for i in range(0, 40, 2)] == [[0, 1]] * 20
        assert len({tuple(order[i : i + 2]) for i in range(0, 40, 2)}) == 2

    def test_batches_are_pictures(self, records):
        batch = self.source(records, styles=True).at(0)
        for pixels in (batch.contents, batch.streamed):
            assert pixels.shape == (2, 3, 32, 32)
            assert pixels.dtype == torch.float32
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1

    def test_numbers_have_the_same_shapes_in_every_step(self, records):
        source = self.source(records, styles=True)
        kinds = [
            {name: (t.shape, t.dtype) for name, t in source.numbers(step)[0].items()}
            for step in (-1, 0, 99)
        ]
        assert kinds[0] == kinds[1] == kinds[2]
        assert set(kinds[0]) == {
            "contents.places", "contents.lines", "styles.places", "styles.lines",
        }  # fmt: skip


class TestCut:
    @pytest.mark.parametrize("shape", [(100, 140), (64, 90), (200, 65), (40, 50), (32, 300)])
    def test_crops_equal_those_of_pillow(self, tmp_path, shape):
        """Pillow averages with a triangular filter, so smooth pictures agree within two levels."""
        size = 32
        pictures = read_pictures(made(tmp_path, one=shape), size, CPU, "--contents")
        (numbers,) = pictures.shapes
        height, width = (int(number) for number in numbers[1:])
        pixels = pictures.pixels.view(height, width, 3).numpy()
        for seed in range(8):
            places, lines = random_crop(numbers, size, np.random.default_rng(seed))
            crop = cut(pictures.pixels, torch.tensor([places]), torch.tensor([lines]), size)
            random = np.random.default_rng(seed)
            short = min(height, width)
            side = short * size / random.uniform(size, max(size, min(short, 2 * size)))
            left, top = random.uniform(0, width - side), random.uniform(0, height - side)
            box = (left, top, left + side, top + side)
            filtered = Image.fromarray(pixels).resize(
                (size, size), Image.Resampling.BILINEAR, box=box
            )
            wanted = np.asarray(filtered, dtype=np.float64)
            wanted = wanted[:, ::-1] if random.random() < 0.5 else wanted
            found = crop[0].permute(1, 2, 0).double().numpy() * 255
            assert np.abs(found - wanted).max() < 4
            assert np.abs(found - wanted).mean() < 1

    def test_a_picture_is_not_mixed_with_its_neighbours(self, tmp_path):
        """The pixels of all pictures are in one list; every crop has those of one picture only."""
        levels = {"a": 10, "b": 200, "c": 90}
        records = []
        for name, level in levels.items():
            shape = {"a": (70, 40), "b": (40, 90), "c": (33, 33)}[name]
            write_png(tmp_path / f"{name}.png", np.full((*shape, 3), level, np.uint8))
            records.append(ImageRecord(name, tmp_path / f"{name}.png"))
        pictures = read_pictures(records, 32, CPU, "--contents")
        source = Source(Collection(pictures, 0), None, 32, 4, 0)
        seen = set()
        for step in range(30):
            for crop in source.at(step).contents:
                (level,) = {round(float(value) * 255) for value in (crop.min(), crop.max())}
                seen.add(level)
        assert seen == set(levels.values())

    def test_fine_stripes_become_grey_and_not_other_stripes(self, tmp_path):
        """At half the size, stripes of one pixel are too fine to be shown."""
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        write_png(tmp_path / "stripes.png", stripes)
        pictures = read_pictures(
            [ImageRecord("s", tmp_path / "stripes.png")], 32, CPU, "--contents"
        )
        places, lines = torch.tensor([[0, 64, 64, -1, -1]]), torch.tensor([[1.0, 1, 1, 1]])
        crop = cut(pictures.pixels, places, lines, 32)
        torch.testing.assert_close(crop, torch.full_like(crop, 0.5), atol=1e-6, rtol=0)

    def test_crops_keep_the_aspect(self, tmp_path):
        """The scale is the same along both sides, so a disc remains round."""
        rows, columns = np.mgrid[0:64, 0:128]
        disc = ((rows - 32) ** 2 + (columns - 64) ** 2 < 20**2).astype(np.uint8) * 255
        write_png(tmp_path / "disc.png", np.repeat(disc[..., None], 3, axis=2))
        pictures = read_pictures([ImageRecord("d", tmp_path / "disc.png")], 64, CPU, "--contents")
        whole = 0
        source = Source(Collection(pictures, 0), None, 64, 8, 0)
        for step in range(10):
            for crop in source.at(step).contents[:, 0] > 0.5:
                border = torch.cat([crop[0], crop[-1], crop[:, 0], crop[:, -1]])
                if crop.any() and not border.any():
                    whole += 1
                    height, width = crop.any(dim=1).sum(), crop.any(dim=0).sum()
                    assert abs(int(height) - int(width)) <= 2
        assert whole > 5


@pytest.mark.gpu
def test_crops_of_a_gpu_equal_those_of_the_cpu(tmp_path):
    records = made(tmp_path, a=(100, 140), b=(64, 90), c=(40, 300))
    batches = [
        Source(Collection(read_pictures(records, 32, device, "--contents"), 0), None, 32, 8, 0)
        .at(3)
        .contents.cpu()
        for device in (CPU, torch.device("cuda"))
    ]
    torch.testing.assert_close(*batches, atol=1e-4, rtol=0)


class TestPictures:
    def test_trainings_of_the_same_pictures_share_them(self, records):
        one = read_pictures(records, 32, CPU, "--contents")
        assert read_pictures(records, 32, CPU, "--contents") is one
        assert read_pictures(records, 64, CPU, "--contents") is not one
        assert read_pictures(records[:1], 32, CPU, "--contents") is not one
        kept = weakref.ref(one)
        del one
        assert kept() is None

    def test_large_pictures_are_scaled_down_to_two_crops(self, tmp_path):
        pictures = read_pictures(made(tmp_path, one=(300, 200)), 32, CPU, "--contents")
        assert pictures.shapes.tolist() == [[0, 96, 64]]
        assert pictures.pixels.shape == (96 * 64, 3)
        assert pictures.pixels.dtype == torch.uint8

    def test_files_that_cannot_be_read_are_left_out(self, records, tmp_path):
        broken = ImageRecord("broken", tmp_path / "broken.png")
        broken.path.write_bytes(b"no picture")
        pictures = read_pictures([broken, *records], 32, CPU, "--contents")
        assert [skip.path for skip in pictures.skipped] == [broken.path]
        assert pictures.records == tuple(records)
        with pytest.raises(UsageError, match="--contents: there is no usable picture"):
            read_pictures([broken], 32, CPU, "--contents")
