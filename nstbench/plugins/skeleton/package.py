"""Write a new package with one method, its entry point and a passing conformance test."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

import jinja2

from nstbench.core.errors import StoreError, UsageError
from nstbench.plugins import registry

FILES = Path(__file__).parent / "files"

# template -> path in the new package
_PLACES = {
    "pyproject.toml.txt": "pyproject.toml",
    "readme.md.txt": "README.md",
    "init.py.txt": "src/{name}/__init__.py",
    "method.py.txt": "src/{name}/method.py",
    "test_conformance.py.txt": "tests/test_conformance.py",
}


def write_skeleton(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a package that defines the method ``name`` and return its files.

    Raises:
        UsageError: if the name is not valid for a method and a package, or is taken.
        StoreError: if the folder cannot be written.
    """
    _check_word(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} exists already and is not empty. Choose another folder with --out."
        )
    _check_free(name)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FILES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  the templates are code, and the name is checked
    )
    names = {
        "name": name,
        "distribution": name.replace("_", "-").rstrip("-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").strip().capitalize(),
    }
    written = []
    for template, place in _PLACES.items():
        path = folder / place.format(name=name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(environment.get_template(template).render(names), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
        written.append(path)
    return tuple(written)


def _check_word(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be the name of a method: use lower-case letters, digits and _, "
            "a letter first, as in my_method."
        )


def _check_free(name: str) -> None:
    if name in registry.names("methods"):
        raise UsageError(f"There already is a method called '{name}'. Choose another name.")
    spec = importlib.util.find_spec(name)
    # a folder of that name in the working folder can be imported and has no origin
    if spec is not None and spec.origin is not None:
        raise UsageError(
            f"A Python module called '{name}' is installed; a package of that name would hide it. "
            "Choose another name."
        )
