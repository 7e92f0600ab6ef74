"""Search all source for calls by which data could run code or choose a path."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import nstbench
from nstbench.plugins import registry
from nstbench.report.parts.templates import SHELL, static

PACKAGE = Path(nstbench.__file__).parent
FOLDERS = [PACKAGE, *(registry.folder(kind) for kind in registry.KINDS), PACKAGE.parent / "scripts"]

# (file, finding) -> the reason why it is safe. A new exception needs a reason, too.
ALLOWED = {
    (
        "nstbench/nn/weights/files.py",
        "pickle.Unpickler",
    ): "the restricted reader accepts arrays only",
}
# Modules that turn bytes into objects by running code that the bytes select.
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
HARMLESS_PICKLE_NAMES = {"UnpicklingError", "PicklingError", "PickleError"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
          "commands.getoutput", "pty.spawn", "asyncio.create_subprocess_shell"}  # fmt: skip
RUN_TEXT = {"eval", "exec", "compile", "__import__"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all",
               "Loader", "UnsafeLoader", "FullLoader"}  # fmt: skip
WHOLE_ARCHIVES = {"extractall", "extract", "unpack_archive"}
NO = ast.Constant(False)


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def findings(tree: ast.AST) -> Iterator[str]:
    """Yield the calls and imports by which data could run code or choose a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from _imported(node)
        elif isinstance(node, ast.Attribute):
            yield from _named(ast.unparse(node))
        elif isinstance(node, ast.Call):
            yield from _called(node)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in UNPICKLERS - {"pickle"})


def _imported(node: ast.ImportFrom) -> Iterator[str]:
    names = {alias.name for alias in node.names}
    if node.module in UNPICKLERS:
        yield from (f"{node.module}.{name}" for name in names - HARMLESS_PICKLE_NAMES)
    # the rules below look for full names, which such an import would hide
    for module in ("os", "subprocess", "yaml", "torch", "tarfile", "zipfile", "shutil"):
        if node.module == module:
            yield from (f"from {module} import {n}" for n in names
                        if n in {"system", "popen", "load", "getoutput", *UNSAFE_YAML,
                                 *WHOLE_ARCHIVES})  # fmt: skip


def _named(name: str) -> Iterator[str]:
    module, _, attribute = name.rpartition(".")
    if module in UNPICKLERS and attribute not in HARMLESS_PICKLE_NAMES:
        yield name
    if name in SHELLS or (module == "yaml" and attribute in UNSAFE_YAML):
        yield name


def _called(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {k.arg: k.value for k in node.keywords}
    attribute = name.rpartition(".")[2]
    if name in RUN_TEXT:
        yield name
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and not _is(given.get("allow_pickle", NO), False):
        yield f"{name} with allow_pickle"
    if attribute == "read_pickle":
        yield name
    if "shell" in given and not _is(given["shell"], False):
        yield f"{name} with a shell"
    if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
        yield f"{name} with trust_remote_code"
    if attribute in WHOLE_ARCHIVES and not _is(given.get("filter"), "data"):
        yield f"{attribute} without filter='data'"
    if name == "Environment" and not _is(given.get("autoescape"), True):
        yield "templates without autoescape=True"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE.parent)))
def test_no_data_can_run_code_or_choose_a_path(path: Path) -> None:
    calls = set(findings(ast.parse(path.read_bytes())))
    assert {call for call in calls if (relative(path), call) not in ALLOWED} == set()


def test_every_exception_is_still_needed() -> None:
    calls = {(relative(p), f) for p in sources() for f in findings(ast.parse(p.read_bytes()))}
    assert set(ALLOWED) <= calls
    assert all(ALLOWED.values())


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.load(f)",
        "import pickle\npickle.Unpickler(f).load()",
        "from pickle import loads",
        "import dill",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "from torch import load",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "subprocess.run(c, shell=True)",
        "subprocess.Popen(c, shell=flag)",
        "os.system(c)",
        "from os import system",
        "tar.extractall(folder)",
        "tar.extractall(folder, filter='fully_trusted')",
        "archive.extract(member)",
        "shutil.unpack_archive(f)",
        "yaml.load(f, Loader=yaml.SafeLoader)",
        "yaml.load(f, yaml.Loader)",
        "from yaml import full_load",
        "eval(text)",
        "exec(text)",
        "load_dataset(n, trust_remote_code=True)",
        "Environment(loader=x)",
    ],
)
def test_the_search_finds(code: str) -> None:
    assert list(findings(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(f, weights_only=True)",
        "np.load(f)",
        "yaml.safe_load(f)",
        "subprocess.run([c])",
        "network.eval()",
        "re.compile(p)",
        "json.load(f)",
        "except_ = pickle.UnpicklingError",
        "tar.extractall(folder, filter='data')",
        "Environment(autoescape=True)",
    ],
)
def test_the_search_leaves_alone(code: str) -> None:
    assert not list(findings(ast.parse(code)))


def test_markup_is_made_of_literal_text_or_by_formatting_only() -> None:
    """``Markup(x)`` marks its argument as escaped, so the argument must not be arbitrary text."""
    report = "nstbench/report"
    allowed = {
        # the environment escapes all values
        (f"{report}/parts/templates.py",
         "environment().get_template(template).render(**context)"),
        # static files of this project
        (f"{report}/parts/templates.py", "static(name)"),
        # breaks are inserted into escaped text
        (f"{report}/parts/templates.py",
         r"re.sub('[_:=,/]', '\\g<0><wbr>', str(escape(text)))"),
        # sections escape their text, and have tests with hostile names
        (f"{report}/page.py", "section().html(board)"),
    }  # fmt: skip
    marked = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_bytes())):
            called = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Markup")
            if called and not all(_is_text(a) for a in node.args):
                marked.add((relative(path), ast.unparse(node.args[0])))
    assert marked == allowed


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_templates_never_mark_values_as_safe() -> None:
    folders = [registry.folder("reports") / "templates", SHELL / "templates"]
    for path in [path for folder in folders for path in folder.iterdir()]:
        text = path.read_text(encoding="utf-8")
        for word in ("|safe", "| safe", "autoescape false", "autoescape off"):
            assert word not in text, path


def test_the_script_of_the_report_writes_no_html() -> None:
    script = static("report.js")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "fetch(", "XMLHttpRequest", "WebSocket"):  # fmt: skip
        assert word not in script


def test_versions_with_known_vulnerabilities_in_their_readers_are_refused() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["hub"]]
    required = {r.name: r.specifier for r in map(Requirement, wanted)}
    # CVE-2025-32434: before 2.6, weights_only=True could run code of a malicious file
    assert not required["torch"].contains("2.5.1")
    # up to version 3, scripts of a dataset were run
    assert not required["datasets"].contains("3.6.0")
    # CVE-2023-50447, and the overflow CVE-2024-28219
    assert not required["pillow"].contains("10.2.0")
