"""Programs as methods: outputs, failures, and runs with both."""

from __future__ import annotations

import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord, Status, Unit
from nstbench.generate.conformance import method_checks
from nstbench.generate.executors import slot_driver
from nstbench.generate.executors.executor import WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.pictures.picture import write_png
from nstbench.pipeline.job import execute
from nstbench.plan.config_file import build_config
from nstbench.plan.planner import make_plan
from nstbench.plan.variants import add_configured, resolve_methods
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import take_programs
from nstbench.plugins.programs.process import ProgramFailed, ProgramTimeout
from nstbench.plugins.programs.templates import check_unquoted, fill
from nstbench.store.store import Store

DOCS = Path(__file__).parents[2] / "docs"
CPU = torch.device("cpu")

# a script as in a repository of a paper: command line in, picture out, with prints
SCRIPT = """
import argparse, os, subprocess, sys, time
from PIL import Image, ImageChops

parser = argparse.ArgumentParser()
for name in ("--content", "--style", "--out", "--alpha"):
    parser.add_argument(name)
args = parser.parse_args()
print("loading weights ...")
content, style = Image.open(args.content).convert("RGB"), Image.open(args.style).convert("RGB")
result = Image.blend(content, style.resize(content.size), float(args.alpha or 0.5))
{body}
result.save(args.out)
"""

# the same program that keeps running: it imports and loads before "ready"
SERVER = """
import json, sys, time
from PIL import Image

print("loading weights ...")
time.sleep({start})
print(json.dumps({{"ready": True}}), flush=True)
style = None
for line in sys.stdin:
    request = json.loads(line)
    print("working on", request["do"])
    if request["do"] == "prepare":
        style = Image.open(request["style"])
    else:
        content = Image.open(request["content"])
        Image.blend(content, style.resize(content.size), 0.5).save(request["output"])
    answer = {{"id": request["id"]}}
    {body}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def method(tmp_path, monkeypatch):
    """Return add(body, **entry) -> a loaded method of a script with that body."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    made = []

    def add(body="", script=SCRIPT, **entry):
        repository = tmp_path / "repository"
        repository.mkdir(exist_ok=True)
        text = textwrap.dedent(body).strip()
        indent = "    " if script is SERVER else ""
        text = textwrap.indent(text, indent).strip() if indent else text
        (repository / "stylize.py").write_text(script.format(body=text, start=0.0))
        command = "{python} stylize.py --content {content} --style {style} --out {output}"
        if script is SERVER:
            entry["protocol"], command = "jsonl", "{python} stylize.py"
        settings = {"name": "paper", "command": command, "cwd": str(repository), **entry}
        _, (program,) = take_programs({"methods": [settings]}, tmp_path, "test")
        registry.add_program(program)
        cls = registry.load("methods", "paper")
        instance = cls(cls.Params())
        made.append(instance)
        instance.load(CPU)
        return instance

    yield add
    for instance in made:
        instance.close()


def stylize(method):
    method.prepare(method_checks.example(48, 40, 1))
    return method_checks.call(method, method_checks.example(40, 48))


def gone(identity, seconds=20):
    """Wait until a process has ended; zombies count as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(identity):
            return True
        try:
            if psutil.Process(identity).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


# --- successes ----------------------------------------------------------------------


@pytest.mark.parametrize("script", [SCRIPT, SERVER], ids=["files", "jsonl"])
def test_the_picture_is_exchanged_without_loss(method, script):
    output = stylize(method(script=script))
    content, style = method_checks.example(40, 48), method_checks.example(48, 40, 1)
    assert output.shape == content.pixels.shape
    assert output.dtype == torch.float32
    # the mean of two pictures is between them, for every resize of the style
    middle = (output - content.pixels / 2) * 2
    assert (middle.mean((2, 3)) - style.pixels.mean((2, 3))).abs().max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("script", [SCRIPT, SERVER], ids=["files", "jsonl"])
def test_programs_pass_the_conformance_suite(method, script):
    paper = method(script=script, authors="A. Author", paper="https://example.org", licence="MIT")
    paper.close()
    assert method_checks.failures("paper") == {}


def test_one_file_with_another_name_is_the_output(method):
    body = "args.out += '/my_result_0001.jpg'"
    command = "{python} stylize.py --content {content} --style {style} --out {out_dir}"
    assert stylize(method(body, command=command)).shape == (1, 3, 40, 48)


def test_odd_paths_are_quoted(method, tmp_path, monkeypatch):
    odd = tmp_path / 'it\'s a "folder" $HOME; & {x}'
    odd.mkdir()
    monkeypatch.setenv("TMPDIR", str(odd))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert stylize(method()).shape == (1, 3, 40, 48)
    shell = "cd . && {python} stylize.py --content {content} --style {style} --out {output} | cat"
    assert stylize(method(command=shell, shell=True)).shape == (1, 3, 40, 48)
    assert not list(odd.iterdir()), "temporary folders are removed"


def test_environment_and_parameters_reach_the_program(method, tmp_path, monkeypatch):
    monkeypatch.setenv("INHERITED", "yes")
    seen = tmp_path / "seen.txt"
    body = f"""
    keys = ("INHERITED", "CUDA_VISIBLE_DEVICES", "COUNT")
    open({str(seen)!r}, "w").write(args.alpha + str([os.environ[key] for key in keys]))
    """
    command = "{python} stylize.py --content {content} --style {style} --out {output}"
    paper = method(
        body,
        command=f"{command} --alpha {{alpha}}",
        params={"alpha": 0.25},
        env={"CUDA_VISIBLE_DEVICES": "{device_index}", "COUNT": 3},
    )
    stylize(paper)
    assert seen.read_text() == "0.25['yes', '', '3']"
    other = type(paper)(paper.Params(alpha=1))
    other.load(CPU)
    stylize(other)
    assert seen.read_text().startswith("1[")


def test_the_seed_is_the_units(method, tmp_path):
    seen = tmp_path / "seen.txt"
    body = f"open({str(seen)!r}, 'a').write(os.environ['SEED'] + ' ')"
    paper = method(body, env={"SEED": "{seed}"})
    paper.prepare(method_checks.example(kind=1))
    for seed in (1, 2, 1):
        method_checks.call(paper, method_checks.example(), seed=seed)
    first, second, third = seen.read_text().split()
    assert first == third != second


def test_time_of_a_persistent_program_excludes_its_start(method, tmp_path):
    (tmp_path / "repository").mkdir()
    paper = method("answer['seconds'] = 1e-6 if request['do'] == 'stylize' else 0", script=SERVER)
    stylize(paper)
    assert paper.own_seconds() == 1e-6
    waited = method(script=SERVER)
    stylize(waited)
    assert 0 < waited.own_seconds() < 5


def test_more_seconds_than_passed_are_refused(method):
    paper = method("answer['seconds'] = 1000", script=SERVER)
    with pytest.raises(ProgramFailed, match="took 1000 seconds"):
        stylize(paper)


# --- failures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such layer')", r"exit code 1\. .*ValueError: no such layer"),
        ("sys.exit(3)", r"exit code 3\. Its log ends: loading weights \.\.\."),
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("sys.exit(0)", "exit code 0 but wrote no file"),
        ("result = result.resize((30, 30))", "30 x 30 px for a content of 48 x 40"),
        ("open(args.out, 'w').write('<html>'); sys.exit(0)", "cannot be read .*not a JPEG"),
        (
            "[result.save(f'{os.path.dirname(args.out)}/{i}.png') for i in 'ab']; sys.exit(0)",
            r"2 files \(a.png, b.png\)",
        ),
    ],
)
def test_failures_of_a_process_are_reported(method, body, message):
    with pytest.raises(ProgramFailed, match=message) as caught:
        stylize(method(body))
    assert "loading weights ..." in "".join(caught.value.__notes__)


def test_ten_megabytes_on_stderr_are_read(method):
    body = "[sys.stderr.write('x' * 1023 + chr(10)) for _ in range(10240)]; sys.stderr.write('end')"
    paper = method(body)
    assert stylize(paper).shape == (1, 3, 40, 48)
    paper = method(body + "; sys.exit(1)")
    with pytest.raises(ProgramFailed) as caught:
        stylize(paper)
    assert str(caught.value).endswith("end")
    assert len(str(caught.value)) < 1000
    assert len("".join(caught.value.__notes__)) < 100_000


def test_a_line_of_ten_megabytes_before_an_answer_is_skipped(method):
    answer = stylize(method("print('{' + 'x' * 10_000_000, flush=True)", script=SERVER))
    assert answer.shape == (1, 3, 40, 48)


def test_a_hanging_program_is_killed(method, tmp_path):
    pid = tmp_path / "pid"
    paper = method(f"open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)", timeout=5)
    with pytest.raises(ProgramTimeout, match=r"killed after 5 s .*loading weights"):
        stylize(paper)
    assert gone(int(pid.read_text()))


# two children: one in the session of the program, and one orphan in another session
CHILDREN = """
import subprocess
first = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
hidden = subprocess.run(
    [sys.executable, "-c", "import os, sys, time\\n"
     "if os.fork(): os._exit(0)\\n"
     "os.setsid()\\n"
     "if os.fork(): os._exit(0)\\n"
     "open(sys.argv[1], 'w').write(str(os.getpid())); os.close(1)\\n"
     "time.sleep(600)", PATH], stdout=subprocess.PIPE)
open(PATH, "a").write(f" {{first.pid}}")
"""


def wait_for_two(path, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.is_file() and len(path.read_text().split()) == 2:
            return [int(word) for word in path.read_text().split()]
        time.sleep(0.05)
    raise AssertionError("the children were not started")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux")
@pytest.mark.parametrize(
    "end", ["", "sys.exit(4)", pytest.param("time.sleep(600)", marks=pytest.mark.slow)]
)
def test_children_left_behind_are_killed(method, tmp_path, end):
    path = tmp_path / "pids"
    body = CHILDREN.replace("PATH", repr(str(path))).replace("{{", "{").replace("}}", "}") + end
    paper = method(body, timeout=15 if "sleep(600)" in end else 200)
    if end:
        with pytest.raises(ProgramFailed, match=r"exit code 4|killed after"):
            stylize(paper)
    else:
        stylize(paper)
    assert all(gone(pid) for pid in wait_for_two(path))


# --- in a run ----------------------------------------------------------------------------

ENTRIES = """
methods:
  - content_copy
  - name: good
    command: "{python} stylize.py --content {content} --style {style} --out {output}"
    cwd: repository
    flexibility: arbitrary
    trained_on: [vgg16-gram]
    env: {BODY: "import sibling"}
  - name: served
    command: ["{python}", server.py]
    cwd: repository
    protocol: jsonl
  - name: broken
    command: "{python} stylize.py --content {content} --style {style} --out {output}"
    cwd: repository
    env: {BODY: "raise ValueError('no <such> layer')"}
  - name: slow
    command: "{python} stylize.py --content {content} --style {style} --out {output}"
    cwd: repository
    timeout: 2
    env: {BODY: "time.sleep(600)"}
  - name: full
    command: "{python} stylize.py --content {content} --style {style} --out {output}"
    cwd: repository
    env: {BODY: "raise MemoryError('CUDA out of memory')"}
  - name: absent
    command: "no-such-program {content} {output}"
    cwd: repository
"""


@pytest.fixture
def entries(tmp_path):
    """Return a configuration file with programs, next to their repository."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "stylize.py").write_text(SCRIPT.format(body="exec(os.environ['BODY'])"))
    (repository / "server.py").write_text(SERVER.format(body="", start=3.0))
    # importable only if the folder of the script is on its path
    (repository / "sibling.py").write_text("")
    file = tmp_path / "bench.yaml"
    file.write_text(ENTRIES)
    return file


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_of_programs(entries, picture_folders, tmp_path):
    contents, styles = picture_folders
    options = {
        "contents": str(contents), "styles": str(styles), "limit": 1, "size": 64,
        "metrics": ("ssim", "latency", "peak_memory", "load_seconds"), "timing_repeats": 2,
        "device": "cpu", "threads": 1, "out": tmp_path / "run",
    }  # fmt: skip
    board = execute(build_config(options, file=entries))
    units = board.units.set_index("method")
    assert units["status"].to_dict() == {
        "content_copy": "done", "good": "done", "served": "done", "broken": "failed",
        "slow": "timeout", "full": "oom", "absent": "unavailable",
    }  # fmt: skip
    messages = units["message"]
    assert "exit code 1. Its log ends:" in messages["broken"]
    assert "ValueError: no <such> layer" in messages["broken"]
    assert "loading weights ..." in units["traceback"]["broken"]
    assert "killed after 2 s" in messages["slow"]
    assert "no program 'no-such-program'" in messages["absent"]
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "no &lt;such&gt; layer" in page
    timings = {timing.method: timing for timing in board.timings}
    assert timings["served"].load > 3, "it sleeps three seconds before it is ready"
    assert min(timings["served"].latency) < 3
    assert timings["good"].peak_memory is None
    assert board.methods["good"].trained_on == ("vgg16-gram",)
    assert "start of the program" in board.methods["good"].deviations[-1]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux")
def test_nothing_survives_a_worker_that_is_killed(method, tmp_path, monkeypatch):
    """A killed worker cannot clean up; the supervisor does."""
    monkeypatch.setattr(slot_driver, "DEATH_RETRIES", 0)
    path = tmp_path / "pids"
    body = CHILDREN.replace("PATH", repr(str(path))).replace("{{", "{").replace("}}", "}")
    method(body + "\ntime.sleep(600)")
    store = Store(tmp_path / "run")
    for name in ("content", "style"):
        write_png(store.root / f"{name}.png", np.zeros((40, 48, 3), np.uint8))
    unit = Unit(
        key="0" * 64, method="paper", plugin="paper", params={},
        content=ImageRecord("c", Path("content.png"), sha256="c"),
        style=ImageRecord("s", Path("style.png"), sha256="s"),
        size=48, fit="inside", seed=0, unit_seed=1,
    )  # fmt: skip
    executor = LocalExecutor(WorkerSettings(store.root, "cpu", 1, timeout=1000))
    with ThreadPoolExecutor(1) as threads:
        records = threads.submit(list, executor.run([unit], lambda *_: None))
        children = wait_for_two(path, seconds=250)
        for process in psutil.Process().children():
            if "nstbench.generate.worker" in process.cmdline():
                process.kill()
        ((_, record),) = records.result()
    executor.close()
    assert record.status == Status.FAILED
    assert "SIGKILL" in record.message
    assert all(gone(pid) for pid in children)


def test_programs_of_a_file_can_be_chosen_and_given_parameters(entries):
    text = entries.read_text().replace("--out {output}", "--out {output} --alpha {alpha}", 1)
    entries.write_text(text.replace("    flexibility", "    params: {alpha: 0.5}\n    flexibility"))
    config = build_config({"methods": "good:alpha=0.9,content_copy"}, file=entries)
    assert [spec.board_label for spec in config.methods] == ["good:alpha=0.9", "content_copy"]
    assert config.programs[0].cwd == entries.parent / "repository"
    assert config.programs[0].params == {"alpha": 0.5}


def test_toml_is_read_like_yaml(entries):
    toml = entries.with_suffix(".toml")
    toml.write_text(
        """
        [[methods]]
        name = "served"
        command = ["{python}", "server.py"]
        cwd = "repository"
        protocol = "jsonl"
        """
    )
    (program,) = build_config({}, file=toml).programs
    assert program in build_config({}, file=entries).programs


def test_a_change_of_code_or_command_makes_results_stale(entries, picture_folders, tmp_path):
    contents, _ = picture_folders

    def keys(text=None):
        if text is not None:
            entries.write_text(text)
        options = {"contents": str(contents), "styles": str(contents), "size": 64, "limit": 1,
                   "metrics": (), "out": tmp_path / "run"}  # fmt: skip
        config = build_config(options, file=entries)
        add_configured(config)
        plan = make_plan(config, Store(config.folder), resolve_methods(config))
        return {unit.method: unit.key for unit in plan.units}

    first = keys()
    assert keys() == first
    ignored = entries.parent / "repository" / ".venv" / "module.py"
    ignored.parent.mkdir()
    ignored.write_text("x = 1")
    assert keys() == first
    (entries.parent / "repository" / "network.py").write_text("x = 1")
    second = keys()
    assert second["good"] != first["good"]
    assert second["content_copy"] == first["content_copy"]
    third = keys(entries.read_text().replace("timeout: 2", "timeout: 3"))
    assert third == second, "the time limit does not change outputs"
    fourth = keys(entries.read_text().replace('["{python}", server.py]', "python3 server.py"))
    assert {name for name in first if fourth[name] != third[name]} == {"served"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"comand": "x"}, r"entry 1: .*'comand'\. Did you mean 'command'"),
        ({"params": 3}, r"entry 1: params: .*dictionary"),
        ({"command": "x {content} {ouput}"}, r"no placeholder {ouput}\. Did you mean 'output'"),
        ({"command": "x {content}"}, "needs {output} or {out_dir}"),
        ({"command": "x {output}"}, "needs {content}"),
        ({"command": "x '{content} {output}"}, "cannot be split into words"),
        ({"command": "x {content} {output} {"}, "no partner"),
        ({"command": ""}, "command is empty"),
        ({"command": "x {content} {output}", "timout": 3}, "Did you mean 'timeout'"),
        ({"command": "x {content} {output}", "timeout": 0}, "timeout: .*greater than 0"),
        ({"command": "x {content} {output}", "flexibility": "any"}, "flexibility: .*arbitrary"),
        ({"command": "x {content} {output}", "params": {"a": 1}}, "'a' is not used"),
        ({"command": "x {content} {output}", "params": {"size": 1}}, "cannot be called 'size'"),
        ({"command": "x '{content}' {output}", "shell": True}, "is inside quotes"),
        ({"command": ["x", "{content}", "{output}"], "shell": True}, "as one line"),
        ({"command": "x {content}", "protocol": "jsonl"}, "no placeholder {content}"),
        ({"command": "x {content} {output}", "name": "a/b"}, "letters, digits"),
    ],
)
def test_wrong_entries_are_explained(entry, message):
    with pytest.raises(UsageError, match=message):
        build_config({"methods": [{"name": "mine", **entry}]})


def test_names_are_taken_once(entries):
    entry = {"name": "mine", "command": "x {content} {output}"}
    with pytest.raises(UsageError, match="two programs are called 'mine'"):
        build_config({"methods": [entry, entry]})
    with pytest.raises(UsageError, match="already is a method of that name"):
        add_configured(build_config({"methods": [entry | {"name": "content_copy"}]}))


def test_braces_and_quotes_of_templates():
    values = {"a": "it's {b}"}
    assert fill("{a} {{a}}", values) == "it's {b} {a}"
    check_unquoted("x {a} 'y' \\' {a}")
    for quoted in ("'{a}'", '"{a}"', "\\{a}", "'x' \"y '{a}"):
        with pytest.raises(ValueError, match="is inside quotes"):
            check_unquoted(quoted)


def test_a_program_with_our_python_imports_torchvision(method):
    """Also where the compiled library of torchvision does not fit torch."""
    assert stylize(method("import torchvision")).shape == (1, 3, 40, 48)
