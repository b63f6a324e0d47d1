"""A download that is interrupted: the next call goes on where it broke off, or begins anew where that would be wrong."""

from __future__ import annotations

import gzip
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_data import tar_of
from test_fetch import CLOSED, CONTENT, FILE, WRAPPED, Server, entry, flipped, serve
from test_fetch_trouble import ARCHIVE, MEMBERS, packed, process, until

from pipelines.datasets import archives, download, transfer
from pipelines.datasets.transfer import Part
from pipelines.errors import UserError

__all__ = ["serve"]  # a fixture
TAG, DATE = {"ETag": '"one"'}, {"Last-Modified": "Mon, 04 Aug 2008 10:00:00 GMT"}
OTHER = {"ETag": '"two"', "Last-Modified": "Tue, 05 Aug 2008 10:00:00 GMT"}
PART = f".{FILE.name}.part"


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have Ctrl-C strike once, when so many bytes have come."""

    def strikes(after: int) -> None:
        write = transfer._Bounded.write

        def interrupted(self: Any, content: bytes) -> int:
            if self.stream.tell() >= after:
                monkeypatch.setattr(transfer._Bounded, "write", write)
                raise KeyboardInterrupt
            return write(self, content)

        monkeypatch.setattr(transfer._Bounded, "write", interrupted)

    return strikes


def interrupted(server: Server, folder: Path) -> int:
    """Fetch the toy and be interrupted; how many bytes are kept."""
    with pytest.raises(KeyboardInterrupt):
        download.fetch(entry(server.address), FILE, folder)
    assert FILE.state(folder) == "missing"
    part = folder / PART
    return part.stat().st_size if part.exists() else 0


def fetched(server: Server, folder: Path) -> list[str | None]:
    """Fetch it, which must succeed; the ranges that were asked for."""
    before = len(server.asked)
    assert download.fetch(entry(server.address), FILE, folder) == server.address + FILE.remote
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert os.listdir(folder) == [FILE.name]
    return [wanted for _, wanted in server.asked[before:]]


@pytest.mark.parametrize("marks", [TAG, DATE, {**TAG, **DATE}, {"ETag": 'W/"weak"', **DATE}])
def test_ctrl_c_keeps_what_has_come(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None], marks: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    server = serve(marks=marks)
    ctrl_c(100_000)
    held = interrupted(server, tmp_path)
    assert 100_000 <= held < len(WRAPPED) and (tmp_path / PART).read_bytes() == WRAPPED[:held]
    assert fetched(server, tmp_path) == [f"bytes={held}-"]
    assert f"going on from the {held} bytes that an earlier run brought" in capsys.readouterr().err


def test_it_may_be_interrupted_again_and_again(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None]
) -> None:
    server, held = serve(marks=TAG), [0]
    for after in (50_000, 120_000, 250_000):
        ctrl_c(after)
        held.append(interrupted(server, tmp_path))
    assert [wanted for _, wanted in server.asked] == [None, *(f"bytes={count}-" for count in held[1:3])]
    assert held[1] < held[2] < held[3] and fetched(server, tmp_path) == [f"bytes={held[3]}-"]


def test_a_connection_that_is_lost_for_good_keeps_what_has_come(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(marks=TAG, cuts=[100_000, 0])
    with pytest.raises(UserError):
        download.fetch(entry(server.address), FILE, tmp_path)
    held = (tmp_path / PART).stat().st_size
    assert 0 < held <= 100_000 and fetched(server, tmp_path) == [f"bytes={held}-"]


@pytest.mark.parametrize("marks", [{}, {"ETag": 'W/"weak"'}, {"Content-Encoding": "coded", **TAG}])
def test_without_a_mark_it_begins_anew(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None], marks: dict[str, str]
) -> None:
    """Nothing would tell whether the rest belongs to what is there."""
    server = serve(marks=marks)
    ctrl_c(100_000)
    assert interrupted(server, tmp_path) == 0 and os.listdir(tmp_path) == []
    assert fetched(server, tmp_path) == [None]


def test_a_server_without_ranges_begins_anew(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None]
) -> None:
    server = serve(marks=TAG, ranges=False)
    ctrl_c(100_000)
    held = interrupted(server, tmp_path)
    assert fetched(server, tmp_path) == [f"bytes={held}-"]


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_other_content_at_the_same_address_begins_anew(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None], name: str, careless: bool
) -> None:
    """Whether the server minds the condition, or sends the rest of the new content all the same."""
    server = serve(body=gzip.compress(CONTENT, 1, mtime=9), marks={**TAG, **DATE} if name == "ETag" else DATE)
    ctrl_c(100_000)
    held = interrupted(server, tmp_path)
    server.body, server.careless = WRAPPED, careless
    server.marks = OTHER if name == "ETag" else {name: OTHER[name]}
    assert fetched(server, tmp_path) == ([f"bytes={held}-", None] if careless else [f"bytes={held}-"])


def test_a_part_of_another_address_is_not_gone_on_from(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None]
) -> None:
    first, second = serve(body=gzip.compress(CONTENT, 1, mtime=9), marks=TAG), serve(marks=TAG)
    ctrl_c(100_000)
    assert interrupted(first, tmp_path) >= 100_000
    assert fetched(second, tmp_path) == [None]


def test_an_address_that_is_not_reached_leaves_the_part_of_another(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None]
) -> None:
    server, absent = serve(marks=TAG), serve(status=404, body=b"not here", marks=TAG)
    ctrl_c(100_000)
    held = interrupted(server, tmp_path)
    for mirror in (CLOSED, absent.address):
        with pytest.raises(UserError):
            download.fetch(entry(), FILE, tmp_path, mirror)
    assert fetched(server, tmp_path) == [f"bytes={held}-"]


@pytest.mark.parametrize("spoil", [lambda part: flipped(part, 500), lambda part: part[:-1] + b"x"])
def test_a_part_that_was_spoilt_is_fetched_anew_in_the_same_call(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None], spoil: Callable[[bytes], bytes]
) -> None:
    server = serve(marks=TAG)
    ctrl_c(100_000)
    held = interrupted(server, tmp_path)
    (tmp_path / PART).write_bytes(spoil((tmp_path / PART).read_bytes()))
    assert fetched(server, tmp_path) == [f"bytes={held}-", None]


def test_wrong_content_is_asked_for_once_and_not_kept(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(body=flipped(WRAPPED, 999), marks=TAG)
    with pytest.raises(UserError, match="wrong content"):
        download.fetch(entry(server.address), FILE, tmp_path)
    assert len(server.asked) == 1 and os.listdir(tmp_path) == []


def test_what_had_come_whole_is_not_asked_for_again(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """As a process leaves it that is killed while it unpacks."""
    server = serve(marks=TAG)
    assert transfer.transfer(server.address + FILE.remote, Part(tmp_path / PART), 10**6) is False
    assert fetched(server, tmp_path) == []


def test_a_note_without_a_length_and_a_part_that_is_whole(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """The server has nothing after the last byte, and says so; then all of it is asked for."""
    server = serve(marks=TAG)
    address = server.address + FILE.remote
    (tmp_path / PART).write_bytes(WRAPPED)
    Part(tmp_path / PART).note.write_text(f'{{"address": "{address}", "mark": "\\"one\\"", "length": null}}')
    assert fetched(server, tmp_path) == [f"bytes={len(WRAPPED)}-", None]


@pytest.mark.parametrize(
    "note", ["", "half a no", "[]", "{}", '{"address": "?", "mark": 3}', '{"address": "?", "mark": "x", "length": 7}']
)
def test_a_note_that_is_none(tmp_path: Path, serve: Callable[..., Server], note: str) -> None:
    server = serve(marks=TAG)
    (tmp_path / PART).write_bytes(WRAPPED[:1000])
    Part(tmp_path / PART).note.write_text(note.replace("?", server.address + FILE.remote))
    assert fetched(server, tmp_path) == [None]


def test_a_mirror_folder_ends_a_transfer(
    tmp_path: Path, serve: Callable[..., Server], ctrl_c: Callable[[int], None]
) -> None:
    server = serve(marks=TAG)
    ctrl_c(100_000)
    assert interrupted(server, tmp_path / "raw") > 0
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy" / FILE.remote).write_bytes(WRAPPED)
    download.fetch(entry(server.address), FILE, tmp_path / "raw", str(tmp_path / "mirror"))
    assert os.listdir(tmp_path / "raw") == [FILE.name] and len(server.asked) == 1


def test_a_process_that_is_killed_keeps_what_had_come(tmp_path: Path, serve: Callable[..., Server]) -> None:
    """The server stops in the middle, and waits; the process is killed there."""
    server, killed = serve(body=tar_of(MEMBERS, "xz"), marks=TAG), threading.Event()
    plain = server.answer

    def answer(request: Any) -> None:
        server.answer = plain  # type: ignore[method-assign]
        server.asked.append((request.path, request.headers.get("Range")))
        request.send_response(200)
        request.send_header("Content-Length", str(len(server.body)))
        request.send_header("ETag", TAG["ETag"])
        request.end_headers()
        request.wfile.write(server.body[:200_000])
        killed.wait(60)

    server.answer = answer  # type: ignore[method-assign]
    folder = tmp_path / "raw/toy"
    part = folder / f".{ARCHIVE.name}.part"
    running = process(server.address, folder)
    until(lambda: part.exists() and part.stat().st_size >= 190_000)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    killed.set()
    held = part.stat().st_size
    assert ARCHIVE.state(folder) == "missing" and held <= 200_000
    download.fetch(packed(server.address), ARCHIVE, folder)
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={held}-"]
    assert dict(archives.read(packed(), ARCHIVE, folder)) == MEMBERS
    assert sorted(os.listdir(folder)) == [ARCHIVE.name, ARCHIVE.name + ".sha256"]
