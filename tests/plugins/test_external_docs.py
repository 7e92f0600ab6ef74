"""The examples of docs/external_methods.md run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from nstbench.generate.conformance import method_checks
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import PICTURE, PLACE, Program, take_programs

PAGE = (Path(__file__).parents[2] / "docs" / "external_methods.md").read_text()

NETWORK = """
import torch

print("a repository that prints when it is imported")

class StyleNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(()))

    def forward(self, content, style, alpha):
        print("forward")
        return content + self.gain * alpha * (style.mean((2, 3), keepdim=True) - content)
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def repository(tmp_path):
    """A repository of a paper, with the adapter from the page."""
    folder = tmp_path / "my_repo"
    folder.mkdir()
    (adapter,) = blocks("python")
    (folder / "serve.py").write_text(adapter)
    (folder / "network.py").write_text(NETWORK)
    torch.save({"gain": torch.tensor(0.5)}, folder / "network.pth")
    return folder


def test_the_adapter_is_as_short_as_promised():
    (adapter,) = blocks("python")
    assert len([line for line in adapter.splitlines() if line.strip()]) <= 45


@pytest.mark.slow
def test_the_adapter_serves_a_repository(repository):
    entries = yaml.safe_load(blocks("yaml")[-1])
    _, (program,) = take_programs(entries, repository.parent / "here", "page")
    assert program.cwd == repository
    command = program.command.replace("python ", sys.executable + " ")
    registry.add_program(program.model_copy(update={"command": command}))
    cls = registry.load("methods", "my_paper")
    method = cls(cls.Params(alpha=0.8))
    method.load(torch.device("cpu"))
    content, style = method_checks.example(65, 83), method_checks.example(40, 48, 1)
    method.prepare(style)
    output = method_checks.call(method, content)
    expected = content.pixels + 0.4 * (style.pixels.mean((2, 3), keepdim=True) - content.pixels)
    assert torch.allclose(output, expected, atol=1.5 / 255)
    assert 0 < method.own_seconds() < 5
    method.close()
    method_checks.returns_a_picture(cls)
    (repository / "network.pth").unlink()
    with pytest.raises(RuntimeError, match=r"exit code 1.*network\.pth"):
        cls(cls.Params()).load(torch.device("cpu"))


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_entry_is_valid(text, tmp_path):
    _, programs = take_programs(yaml.safe_load(text), tmp_path, "page")
    assert programs


def test_every_setting_and_placeholder_is_listed():
    listed = set(re.findall(r"`\{?(\w+)\}?`", PAGE))
    assert listed >= set(Program.model_fields) | set(PLACE) | set(PICTURE)
