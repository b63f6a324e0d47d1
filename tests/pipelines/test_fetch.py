"""Fetching: what is accepted, what is refused with which words, and what an interruption leaves behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipelines import fetch as command
from pipelines.datasets import download, transfer
from pipelines.datasets.registry import DATA_SETS, MANIFEST, SHIPPED, DataSet, File, data_set, read_manifest
from pipelines.errors import UserError, run

CONTENT = np.random.Generator(np.random.PCG64(5)).bytes(300_000)
WRAPPED = gzip.compress(CONTENT, mtime=0)
FILE = File("digits-idx", "digits-idx.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "gzip")
CLOSED = "http://127.0.0.1:9/"  # the discard port: nothing listens, the connection is refused at once
ROOT = Path(__file__).resolve().parents[2]


def entry(*addresses: str, file: File = FILE) -> DataSet:
    return DataSet("toy", "a toy", tuple(addresses), (file,), "free", "nobody")


def mirror_of(folder: Path, wrapped: bytes = WRAPPED) -> Path:
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / FILE.remote).write_bytes(wrapped)
    return folder


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@dataclass
class Server:
    """Serves one body. Each request takes the next of `cuts`: bytes to send before the connection is cut.

    `marks` are the headers that tell a version of the body; a range is given only `If-Range` it is of this version, unless
    the server is `careless`.
    """

    body: bytes = WRAPPED
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    marks: dict[str, str] = field(default_factory=dict)
    careless: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        condition = request.headers.get("If-Range")
        same = self.careless or condition is None or condition in self.marks.values()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges and same else 0
        part = self.body[start:]
        beyond = start > 0 and not part
        request.send_response(416 if beyond else 206 if start else self.status)
        request.send_header("Content-Length", str(len(part)))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        for name, mark in self.marks.items():
            request.send_header(name, mark)
        request.end_headers()
        request.wfile.write(part[: self.cuts.pop(0)] if self.cuts else part)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[ThreadingHTTPServer] = []

    def start(**options: object) -> Server:
        server = Server(**options)  # type: ignore[arg-type]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(listening)
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        server.address = f"http://127.0.0.1:{listening.server_port}/"
        return server

    yield start
    for listening in running:
        listening.shutdown()
        listening.server_close()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy set known to the command line, in an empty working folder, without a mirror."""
    monkeypatch.setitem(DATA_SETS, "toy", entry(CLOSED))
    monkeypatch.delenv(download.MIRROR, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_mirror_folder_is_used_once(tmp_path: Path) -> None:
    mirror, folder = mirror_of(tmp_path / "mirror"), tmp_path / "raw"
    source = download.fetch(entry(CLOSED), FILE, folder, str(mirror))
    assert source == str(mirror / "toy" / FILE.remote)
    assert (folder / FILE.name).read_bytes() == CONTENT
    shutil.rmtree(mirror)
    written = (folder / FILE.name).stat().st_mtime_ns
    assert download.fetch(entry(CLOSED), FILE, folder, str(mirror)) is None
    assert (folder / FILE.name).stat().st_mtime_ns == written
    assert os.listdir(folder) == [FILE.name]


@pytest.mark.parametrize("place", [0, 1000, len(WRAPPED) // 2, -6, -1])
def test_a_flipped_byte_is_refused_and_leaves_nothing(tmp_path: Path, place: int) -> None:
    mirror, folder = mirror_of(tmp_path / "mirror", flipped(WRAPPED, place)), tmp_path / "raw"
    with pytest.raises(UserError) as caught:
        download.fetch(entry(CLOSED), FILE, folder, str(mirror))
    message = str(caught.value)
    for part in (
        "toy/digits-idx",
        str(mirror / "toy" / FILE.remote),
        FILE.sha256,
        "replace that copy",
        CLOSED,
    ):
        assert part in message
    assert "\n" not in message
    assert os.listdir(folder) == []


def test_a_content_that_is_right_in_a_damaged_wrapping_is_refused(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path / "mirror", flipped(WRAPPED, -6))
    with pytest.raises(
        UserError, match=rf"{FILE.sha256} \({FILE.size} bytes, unreadable after {FILE.size} bytes"
    ):
        download.fetch(entry(), FILE, tmp_path / "raw", str(mirror))


def test_another_wrapping_of_the_right_content_is_accepted(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path / "mirror", gzip.compress(CONTENT, 1, mtime=77))
    download.fetch(entry(), FILE, tmp_path / "raw", str(mirror))
    assert (tmp_path / "raw" / FILE.name).read_bytes() == CONTENT


def test_the_hash_found_is_that_of_the_wrong_content(tmp_path: Path) -> None:
    wrong = flipped(CONTENT, 1234)
    mirror, bare = mirror_of(tmp_path / "mirror", wrong), replace(FILE, wrapping="none")
    with pytest.raises(UserError, match=hashlib.sha256(wrong).hexdigest()):
        download.fetch(entry(), bare, tmp_path / "raw", str(mirror))
    mirror = mirror_of(tmp_path / "other", gzip.compress(wrong))
    with pytest.raises(UserError, match=hashlib.sha256(wrong).hexdigest()):
        download.fetch(entry(), FILE, tmp_path / "raw", str(mirror))


def test_after_a_wrong_mirror_the_official_address_is_tried(
    tmp_path: Path, serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    mirror, folder, server = mirror_of(tmp_path / "mirror", flipped(WRAPPED, 999)), tmp_path / "raw", serve()
    source = download.fetch(entry(server.address), FILE, folder, str(mirror))
    assert source == server.address + FILE.remote
    assert (folder / FILE.name).read_bytes() == CONTENT
    warning = capsys.readouterr().err
    assert str(mirror) in warning and FILE.sha256 in warning and warning.count("\n") == 1


def test_content_larger_than_stated_is_not_unwrapped_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_CHUNK", 1000)
    mirror = mirror_of(tmp_path / "mirror", gzip.compress(CONTENT + bytes(10_000_000)))
    with pytest.raises(UserError, match=rf"\({len(CONTENT) + 1000} bytes\)"):
        download.fetch(entry(), FILE, tmp_path / "raw", str(mirror))


def test_a_wrong_file_that_lies_there_is_replaced(tmp_path: Path) -> None:
    mirror, folder = mirror_of(tmp_path / "mirror"), tmp_path / "raw"
    folder.mkdir()
    (folder / FILE.name).write_bytes(flipped(CONTENT, 7))
    assert FILE.state(folder) == "wrong"
    assert download.fetch(entry(), FILE, folder, str(mirror)) is not None
    assert FILE.state(folder) == "right"


def test_a_cut_transfer_goes_on_where_it_was_cut(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(cuts=[100_000, 50_000])
    download.fetch(entry(server.address), FILE, tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert server.asked[0] == ("/" + FILE.remote, None)
    starts = [int(str(wanted).removeprefix("bytes=").rstrip("-")) for _, wanted in server.asked[1:]]
    assert len(starts) == 2 and 0 < starts[0] <= 100_000 and starts[0] < starts[1] <= 150_000
    assert os.listdir(tmp_path) == [FILE.name]


def test_a_server_without_ranges_is_read_from_the_start(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(cuts=[100_000], ranges=False)
    download.fetch(entry(server.address), FILE, tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_transfer_that_no_longer_moves_is_given_up(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(cuts=[100_000, 0, 0, 0, 0, 0, 0])
    with pytest.raises(UserError, match=download.MIRROR):
        download.fetch(entry(server.address), FILE, tmp_path)
    assert len(server.asked) == 2
    assert os.listdir(tmp_path) == []


def test_a_transfer_that_is_always_cut_ends(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(cuts=[20_000] * 20)
    with pytest.raises(UserError):
        download.fetch(entry(server.address), FILE, tmp_path)
    assert len(server.asked) == transfer.ATTEMPTS
    assert os.listdir(tmp_path) == []


def test_two_sources_are_never_pieced_together(tmp_path: Path, serve: Callable[..., Server]) -> None:
    first = serve(body=gzip.compress(CONTENT, 1, mtime=9), cuts=[100_000, 0])
    second = serve()
    assert (
        download.fetch(entry(first.address, second.address), FILE, tmp_path) == second.address + FILE.remote
    )
    assert second.asked == [("/" + FILE.remote, None)]
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_a_missing_page_and_a_server_that_unwraps(tmp_path: Path, serve: Callable[..., Server]) -> None:
    absent, unwrapping = serve(status=404, body=b"not here"), serve(body=CONTENT)
    source = download.fetch(entry(absent.address, unwrapping.address), FILE, tmp_path)
    assert source == unwrapping.address + FILE.remote
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert len(absent.asked) == 1


def test_a_mirror_may_be_an_address(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve()
    download.fetch(entry(CLOSED), FILE, tmp_path, server.address)
    assert server.asked == [("/toy/" + FILE.remote, None)]


def test_without_network_and_mirror_one_line_says_what_to_do(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    second = "http://127.0.0.1:9/second/"
    monkeypatch.setitem(DATA_SETS, "toy", entry(CLOSED, second))
    with pytest.raises(SystemExit) as caught:
        run(lambda: command.main(["toy"]))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: toy/digits-idx could not be fetched")
    for part in (
        CLOSED + FILE.remote,
        second + FILE.remote,
        download.MIRROR,
        "python -m pipelines.fetch toy",
    ):
        assert part in error
    assert "refused" in error


def test_the_commands_see_what_lies_there(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def states() -> dict[str, str]:
        capsys.readouterr()
        command.main(["--list"])
        rows = capsys.readouterr().out.splitlines()[1:]
        return {row.split()[0]: row for row in rows}

    assert "missing" in states()["toy"] and "0.3 MB" in states()["toy"] and "55.0 MB" in states()["mnist"]
    command.main(["--check"])
    assert "nothing was fetched" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"python -m pipelines\.fetch toy"):
        command.main(["--check", "toy"])

    monkeypatch.setenv(download.MIRROR, str(mirror_of(toy / "mirror")))
    command.main(["toy"])
    out = capsys.readouterr()
    assert "from " + str(toy / "mirror") in out.out and out.err == ""
    assert (toy / "data/raw/toy" / FILE.name).read_bytes() == CONTENT
    assert "complete" in states()["toy"]
    command.main(["--check"])
    assert f"{FILE.name}: right" in capsys.readouterr().out
    command.main(["toy"])
    assert "already there" in capsys.readouterr().out

    (toy / "data/raw/toy" / FILE.name).write_bytes(flipped(CONTENT, 0))
    assert "wrong" in states()["toy"]
    with pytest.raises(SystemExit) as caught:
        run(lambda: command.main(["--check"]))
    assert caught.value.code == 2


def test_an_unknown_data_set_names_the_known_ones(toy: Path) -> None:
    known = ", ".join(sorted({**DATA_SETS, **SHIPPED}))
    assert "mnist" in known and "toy" in known
    with pytest.raises(UserError, match=f"'mist'; known: {known}"):
        command.main(["mist"])
    with pytest.raises(UserError, match=known):
        command.main([])


@pytest.fixture
def plain_user() -> Iterator[Path]:
    """A folder that nobody but root may write to, seen as somebody else where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mirror_of(folder / "mirror")
        (folder / "data").mkdir()
        folder.chmod(0o755)
        (folder / "data").chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            (folder / "data").chmod(0o755)


@pytest.mark.parametrize("below", ["", "raw"])
def test_an_unwritable_folder_is_named(
    plain_user: Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = plain_user / "data"
    with pytest.raises(SystemExit) as caught:
        run(lambda: command.fetch(entry(), folder / below, str(plain_user / "mirror")))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert str(folder) in error and "writable" in error and error.count("\n") == 1


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UserError, match="in its way"):
        download.fetch(entry(), FILE, tmp_path / "data" / "raw", None)
    assert (tmp_path / "data").read_text() == "mine"


def test_the_manifest_is_well_formed() -> None:
    assert [*DATA_SETS, *SHIPPED] == list(read_manifest(MANIFEST))
    digits = {"md5": 32, "sha256": 64}
    for name, known in DATA_SETS.items():
        assert data_set(name) is known and known.name == name
        assert all(address.endswith("/") for address in known.addresses)
        assert bool(known.addresses) is not bool(known.by_hand)  # a program fetches it, or a person is told where it is
        assert len({file.name for file in known.files}) == len(known.files)
        for file in known.files:
            assert file.size > 0 and "/" not in file.name + file.remote
            assert not file.sha256 or (len(file.sha256) in (8, 64) and int(file.sha256, 16))
            assert file.is_published or (known.sums.endswith("none published") and file.at_most)
            # what no sum vouches for is looked into before it is trusted
            assert file.is_published or file.arrays or file.lists
            assert all(known.file(name).is_published for name in file.lists)
            assert not file.members or file.wrapping == "archive"
            for _, known_sum in file.members:
                algorithm, _, hexadecimal = known_sum.partition(":")
                assert len(hexadecimal) == digits[algorithm] and int(hexadecimal, 16)
        assert known.licence and known.citation and known.sums


def test_a_stand_in_says_so_in_its_title() -> None:
    for name, words in {
        "cifar10-part": "not CIFAR-10",
        "mini-imagenet-lite": "not mini-ImageNet",
        "dogfish-imagenette": "a stand-in for dog against fish",
    }.items():
        assert words in DATA_SETS[name].title


def test_the_fetch_stages_make_what_the_manifest_lists() -> None:
    stages = YAML(typ="safe").load(ROOT / "pipelines/datasets/dvc.yaml")["stages"]
    assert list(stages) == [f"fetch_{name}" for name in DATA_SETS]
    for name, known in DATA_SETS.items():
        stage = stages[f"fetch_{name}"]
        assert stage["cmd"] == known.command
        assert stage["outs"] == [f"data/raw/{name}/{file.name}" for file in known.files]
        assert stage["params"] == [{"pipelines/datasets/manifest.yaml": [f"{name}.files"]}]
