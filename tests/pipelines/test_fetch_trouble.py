"""Fetching in trouble: no published sum, no network, two processes, a kill, a full disk, a read-only folder."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_data import ROOT, archived, tar_of
from test_fetch import CLOSED, CONTENT, FILE, WRAPPED, Server, entry, flipped, mirror_of, plain_user, serve, toy

from pipelines import fetch as command
from pipelines.datasets import archives, download
from pipelines.datasets.registry import BY_HAND, DATA_SETS, SHIPPED, DataSet, File, sha256_of, write_record
from pipelines.errors import UserError, run

__all__ = ["plain_user", "serve", "toy"]  # fixtures
MEMBERS = {"a/1.bin": CONTENT, "a/2.bin": CONTENT[::-1]}
ARCHIVE = archived("digits.tar", MEMBERS, FILE.remote)
UNPUBLISHED = File("digits.npz", FILE.remote, 10**6, at_most=True)


def packed(address: str = CLOSED) -> DataSet:
    return replace(entry(address), files=(ARCHIVE,))


# Nobody published a sum


def test_the_first_copy_is_trusted_and_no_other_after_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror, folder = mirror_of(tmp_path / "mirror", CONTENT), tmp_path / "raw"
    made, digest = entry(CLOSED, file=UNPUBLISHED), hashlib.sha256(CONTENT).hexdigest()
    download.fetch(made, UNPUBLISHED, folder, str(mirror))
    said = capsys.readouterr().err
    assert "no sum of digits-idx.gz was ever published" in said and digest in said and "trusted and recorded" in said
    record = folder / "digits.npz.sha256"
    assert record.read_text() == f"{digest}  digits.npz\n" and UNPUBLISHED.state(folder) == "right"
    # a byte flipped where it lies
    (folder / "digits.npz").write_bytes(flipped(CONTENT, 5))
    assert UNPUBLISHED.state(folder) == "wrong"
    download.fetch(made, UNPUBLISHED, folder, str(mirror))
    assert UNPUBLISHED.state(folder) == "right" and capsys.readouterr().err == ""
    # the same name, another content
    (folder / "digits.npz").unlink()
    (mirror / "toy" / FILE.remote).write_bytes(flipped(CONTENT, 5))
    with pytest.raises(UserError) as caught:
        download.fetch(made, UNPUBLISHED, folder, str(mirror))
    assert all(part in str(caught.value) for part in (digest, "trusted first", f"delete {record}"))
    assert os.listdir(folder) == [record.name]
    record.unlink()
    download.fetch(made, UNPUBLISHED, folder, str(mirror))
    assert (folder / "digits.npz").read_bytes() == flipped(CONTENT, 5)


def test_a_file_without_its_record_is_not_taken_for_right(tmp_path: Path) -> None:
    (tmp_path / "digits.npz").write_bytes(CONTENT)
    assert UNPUBLISHED.state(tmp_path) == "wrong"
    (tmp_path / "digits.npz.sha256").write_text("half a rec")
    assert UNPUBLISHED.state(tmp_path) == "wrong"


def test_a_bound_holds_where_no_size_is_known(tmp_path: Path) -> None:
    small = replace(UNPUBLISHED, size=1000)
    with pytest.raises(UserError, match="at most 1000 bytes"):
        download.fetch(entry(file=small), small, tmp_path / "raw", str(mirror_of(tmp_path / "mirror", CONTENT)))
    assert os.listdir(tmp_path / "raw") == []


def test_the_first_digits_of_a_sum(tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = replace(UNPUBLISHED, sha256=digest[:8])
    mirror = mirror_of(tmp_path / "mirror", CONTENT)
    download.fetch(entry(file=file), file, tmp_path / "raw", str(mirror))
    assert file.state(tmp_path / "raw") == "right" and file.recorded(tmp_path / "raw") == digest
    other = replace(file, sha256="01234567")
    with pytest.raises(UserError, match=f"{digest}.*expected 01234567"):
        download.fetch(entry(file=other), other, tmp_path / "other", str(mirror))


# The manifest is another than when a file was fetched


def kept(folder: Path, file: File, content: bytes) -> DataSet:
    """A data set of that file, fetched by the manifest of its time into data/raw below `folder`."""
    made = entry(file=file)
    command.fetch(made, folder / "data/raw", str(mirror_of(folder / "mirror", content)))
    return made


@pytest.mark.parametrize(
    ("file", "content", "changes"),
    [
        (ARCHIVE, tar_of(MEMBERS), {"sha256": "0" * 64}),
        (ARCHIVE, tar_of(MEMBERS), {"sha256": "", "members": (("a/1.bin", "md5:" + "0" * 32),)}),
        (replace(UNPUBLISHED, sha256=hashlib.sha256(CONTENT).hexdigest()[:8]), CONTENT, {"sha256": "01234567"}),
        (UNPUBLISHED, CONTENT, {"sha256": "01234567"}),
        (UNPUBLISHED, CONTENT, {"size": len(CONTENT) - 1}),
    ],
    ids=["listing", "a member", "first digits", "first digits now", "bound"],
)
def test_what_lies_there_is_held_against_the_manifest_of_today(
    toy: Path, capsys: pytest.CaptureFixture[str], file: File, content: bytes, changes: dict[str, Any]
) -> None:
    """Its record says what was fetched, not what should have been."""
    made, folder = kept(toy, file, content), Path("data/raw/toy")
    command.check([made])
    assert f"{file.name}: right" in capsys.readouterr().out
    now = replace(file, **changes)
    other = replace(made, files=(now,))
    assert now.state(folder.resolve()) == "right"  # by the record alone
    with pytest.raises(UserError, match=r"missing or wrong: run `python -m pipelines\.fetch toy`"):
        command.check([other])
    assert f"{file.name}: wrong" in capsys.readouterr().out and command.state(other) == "wrong"
    with pytest.raises(UserError):  # the mirror has the old one still
        download.fetch(other, now, folder, str(toy / "mirror"))
    if file.wrapping == "archive":
        with pytest.raises(UserError, match=r"digits.tar is not what the manifest says .*fetch toy`$"):
            list(archives.read(other, now, folder))
        assert dict(archives.read(made, file, folder)) == MEMBERS


def test_what_the_manifest_names_since_is_fetched_in_its_place(toy: Path) -> None:
    kept(toy, ARCHIVE, tar_of(MEMBERS))
    members = {"a/1.bin": b"new"}
    now = archived(ARCHIVE.name, members, ARCHIVE.remote)
    (toy / "mirror/toy" / now.remote).write_bytes(tar_of(members))
    other = entry(file=now)
    assert download.fetch(other, now, Path("data/raw/toy"), str(toy / "mirror")) is not None
    assert dict(archives.read(other, now, Path("data/raw/toy"))) == members and command.state(other) == "complete"
    assert download.fetch(other, now, Path("data/raw/toy"), None) is None


def test_a_member_that_the_manifest_names_no_longer_is_left_out(toy: Path) -> None:
    kept(toy, ARCHIVE, tar_of(MEMBERS))
    now = replace(ARCHIVE, sha256="", members=(("a/1.bin", f"md5:{hashlib.md5(CONTENT).hexdigest()}"),))
    folder, other = Path("data/raw/toy"), entry(file=now)
    assert command.state(other) == "wrong"
    with pytest.raises(UserError, match=r"\(a/2.bin does not belong to it\)"):
        list(archives.read(other, now, folder))
    assert download.fetch(other, now, folder, str(toy / "mirror")) is not None
    assert dict(archives.read(other, now, folder)) == {"a/1.bin": CONTENT} and command.state(other) == "complete"


@pytest.mark.parametrize("file", [ARCHIVE, replace(ARCHIVE, sha256="")], ids=["published", "not published"])
def test_an_empty_tar_with_a_record_is_wrong(toy: Path, file: File) -> None:
    folder = Path("data/raw/toy")
    folder.mkdir(parents=True)
    (folder / file.name).write_bytes(tar_of({}, ""))
    write_record(file, folder, sha256_of(folder / file.name))
    assert file.state(folder) == "right" and command.state(entry(file=file)) == "wrong"
    with pytest.raises(UserError, match="missing or wrong"):
        command.check([entry(file=file)])
    download.fetch(entry(file=file), file, folder, str(mirror_of(toy / "mirror", tar_of(MEMBERS))))
    assert dict(archives.read(entry(file=file), file, folder)) == MEMBERS


@pytest.mark.parametrize("arguments", [["--list"], ["--list", "mnist"], ["--check", "digits"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    """As of `| head -1`, whose end of the pipe is closed while the command still prints."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.fetch", *arguments],
            cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


# No network, and files put there by hand


def test_what_no_program_can_fetch(toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = replace(entry(file=ARCHIVE), addresses=(), by_hand="https://example.org/form has it")
    monkeypatch.setitem(DATA_SETS, "toy", known)
    place = BY_HAND / "toy" / ARCHIVE.remote

    def listed() -> str:
        command.main(["--list"])
        return next(row for row in capsys.readouterr().out.splitlines() if row.startswith("toy "))

    assert "missing (by hand)" in listed()
    with pytest.raises(SystemExit) as caught:
        run(lambda: command.main(["toy"]))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    for part in (f"put {ARCHIVE.remote} at {place} (https://example.org/form has it), or set", download.MIRROR,
                 "python -m pipelines.fetch toy"):  # fmt: skip
        assert part in said
    assert said.count("\n") == 1 and "connect to the network" not in said
    monkeypatch.setenv(download.MIRROR, str(toy / "elsewhere"))
    assert "missing (not in this mirror)" in listed()

    place.parent.mkdir(parents=True)
    place.write_bytes(tar_of(MEMBERS, "xz"))
    assert "missing (offered by a mirror, unchecked)" in listed()
    command.main(["toy"])
    assert f"from {place}" in capsys.readouterr().out
    assert "complete" in listed()
    assert dict(archives.read(known, ARCHIVE, Path("data/raw/toy"))) == MEMBERS
    command.main(["--check", "toy"])
    assert "digits.tar: right" in capsys.readouterr().out


def test_without_network_the_place_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as caught:
        download.fetch(packed(), ARCHIVE, tmp_path)
    for part in (CLOSED + ARCHIVE.remote, "refused", "connect to the network", str(BY_HAND / "toy" / ARCHIVE.remote)):
        assert part in str(caught.value)


def test_all_files_that_are_nowhere_at_hand_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [replace(FILE, name=f"digits-{number}", remote=f"digits-{number}.gz") for number in range(4)]
    made = replace(entry(CLOSED), files=tuple(files))
    mirror = mirror_of(tmp_path / "mirror")
    (mirror / "toy" / FILE.remote).rename(mirror / "toy/digits-0.gz")
    (BY_HAND / "toy").mkdir(parents=True)
    (BY_HAND / "toy/digits-2.gz").write_bytes(WRAPPED)
    with pytest.raises(UserError) as caught:
        command.fetch(made, tmp_path / "raw", str(mirror))
    # the first is there by now, the third lies where it belongs
    said = str(caught.value)
    assert "put digits-1.gz at data/mirror/toy/digits-1.gz, digits-3.gz at data/mirror/toy/digits-3.gz, or set" in said
    assert "holds toy/digits-1.gz, toy/digits-3.gz, then run `python -m pipelines.fetch toy`" in said
    for number in (1, 3):
        (BY_HAND / f"toy/digits-{number}.gz").write_bytes(WRAPPED)
    command.fetch(made, tmp_path / "raw", str(mirror))
    assert command.state(made, tmp_path / "raw") == "complete"


def test_a_cut_transfer_of_an_archive_goes_on(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(body=tar_of(MEMBERS, "xz"), cuts=[100_000, 90_000])
    download.fetch(packed(server.address), ARCHIVE, tmp_path / "toy")
    assert [wanted is not None for _, wanted in server.asked] == [False, True, True]
    assert dict(archives.read(packed(), ARCHIVE, tmp_path / "toy")) == MEMBERS


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("made", [entry, packed])
def test_a_server_that_sends_for_ever_is_cut_off(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, stated: bool, made: Callable[..., DataSet]
) -> None:
    """No more is written than the file may have; a size that is stated is refused before anything is sent."""
    monkeypatch.setattr(download, "_MARGIN", 100_000)
    server, sent, largest = serve(), [0], [0]
    chunk = bytes(50_000)

    def answer(request: Any) -> None:
        server.asked.append((request.path, None))
        request.send_response(200)
        if stated:
            request.send_header("Content-Length", str(10**12))
        request.end_headers()
        with suppress(OSError):
            while sent[0] < 100_000_000:
                request.wfile.write(chunk)
                sent[0] += len(chunk)
                largest[0] = max([largest[0], *(one.stat().st_size for one in tmp_path.rglob("*.part"))])

    server.answer = answer  # type: ignore[method-assign]
    known = made(server.address)
    most = (2 if known.files == (ARCHIVE,) else 1) * known.files[0].size + 100_000
    with pytest.raises(UserError, match=f"it sends more than the {most} bytes that the file may have"):
        download.fetch(known, known.files[0], tmp_path / "raw")
    assert len(server.asked) == 1 and os.listdir(tmp_path / "raw") == []
    assert largest[0] <= (0 if stated else most) and sent[0] < 100_000_000


def test_the_long_page_of_an_error_is_told_as_the_error(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_MARGIN", 10 - FILE.size)
    server = serve(status=503, body=bytes(1000))
    with pytest.raises(UserError, match="503"):
        download.fetch(entry(server.address), FILE, tmp_path / "raw")


# Two processes, and one that is killed

FETCH = """
import sys
from pathlib import Path
from small_data import archived
from test_fetch import CONTENT
from test_fetch_trouble import ARCHIVE, packed
from pipelines.datasets import download
print(download.fetch(packed(sys.argv[1]), ARCHIVE, Path(sys.argv[2])))
"""


def process(address: str, folder: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, address, str(folder)],
        env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip



@pytest.fixture
def slow(serve: Callable[..., Server]) -> Server:
    """A server that takes three seconds over its first answer."""
    server = serve(body=tar_of(MEMBERS, "xz"))
    plain = server.answer

    def answer(request: object) -> None:
        first = not server.asked
        if first:
            server.asked.append(("begun", None))
            time.sleep(3)
        with suppress(BrokenPipeError):  # who asked may have been killed
            plain(request)  # type: ignore[arg-type]

    server.answer = answer  # type: ignore[method-assign, assignment]
    return server


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_two_processes_fetch_one_file_once(slow: Server, tmp_path: Path) -> None:
    folder = tmp_path / "raw/toy"
    first = process(slow.address, folder)
    until(lambda: slow.asked)
    second = process(slow.address, folder)
    said = [one.communicate(timeout=60) for one in (first, second)]
    assert [one.returncode for one in (first, second)] == [0, 0]
    assert [out for out, _ in said] == [f"{slow.address}{ARCHIVE.remote}\n", "None\n"]
    assert f"another process fetches into {folder}: waiting" in said[1][1]
    assert slow.asked == [("begun", None), ("/" + ARCHIVE.remote, None)]
    assert sorted(os.listdir(folder)) == [ARCHIVE.name, ARCHIVE.name + ".sha256"]


def test_a_killed_process_leaves_nothing_that_counts(slow: Server, tmp_path: Path) -> None:
    folder = tmp_path / "raw/toy"
    killed = process(slow.address, folder)
    until(lambda: slow.asked)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert [name[:10] for name in sorted(os.listdir(folder))] == [".digits.ta", ".fetching-"]
    assert ARCHIVE.state(folder) == "missing"
    download.fetch(packed(slow.address), ARCHIVE, folder)
    assert sorted(os.listdir(folder)) == [ARCHIVE.name, ARCHIVE.name + ".sha256"]
    assert ARCHIVE.state(folder) == "right"


# A full disk, and one that cannot be written


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to write further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["gzip", "archive"])
@pytest.mark.parametrize("room", [0, 100_000, 299_999])
def test_no_room_leaves_nothing(tmp_path: Path, kind: str, room: int, capsys: pytest.CaptureFixture[str]) -> None:
    made = entry() if kind == "gzip" else packed()
    mirror = mirror_of(tmp_path / "mirror", WRAPPED if kind == "gzip" else tar_of(MEMBERS))
    with pytest.raises(SystemExit) as caught, largest_file(room):
        run(lambda: command.fetch(made, tmp_path / "raw", str(mirror)))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "raise it (ulimit -f) and run the same command again" in error
    assert os.listdir(tmp_path / "raw/toy") == []
    command.fetch(made, tmp_path / "raw", str(mirror))
    assert command.state(made, tmp_path / "raw") == "complete"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mirror = mirror_of(tmp_path / "mirror", tar_of(MEMBERS))
    for place in ("pipelines.datasets.archives.tarfile.TarFile.addfile", "pipelines.datasets.registry.os.replace"):
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(place, full)
            run(lambda: command.fetch(packed(), tmp_path / "raw", str(mirror)))
        error = capsys.readouterr().err
        assert f"error: No space left on device: {tmp_path / 'raw/toy/digits.tar'}; free some disk space" in error
        assert [name for name in os.listdir(tmp_path / "raw/toy") if not name.endswith(".sha256")] == []
        assert ARCHIVE.state(tmp_path / "raw/toy") == "missing"


def test_a_read_only_folder(plain_user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is right there is used; what is missing cannot be brought, and the message names the folder."""
    raw = plain_user / "data"
    root = os.geteuid()
    os.seteuid(0) if os.getuid() == 0 else raw.chmod(0o755)
    (raw / "toy").mkdir()
    (raw / "toy").chmod(0o555)
    os.seteuid(root) if os.getuid() == 0 else raw.chmod(0o555)
    with pytest.raises(SystemExit) as caught:
        run(lambda: command.fetch(entry(), raw, str(plain_user / "mirror")))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert str(raw) in error and "writable" in error and error.count("\n") == 1
    assert os.listdir(raw / "toy") == []


@pytest.mark.parametrize("record", [False, True])
def test_an_unreadable_file_is_told_as_such(
    plain_user: Path, record: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The listing shows it among the others, and every command says what to make readable."""
    raw, user = plain_user / "data/raw", os.geteuid()
    made = packed() if record else entry()
    monkeypatch.setitem(DATA_SETS, "toy", made)
    os.seteuid(0) if os.getuid() == 0 else (plain_user / "data").chmod(0o755)
    (plain_user / "mirror/toy" / FILE.remote).write_bytes(tar_of(MEMBERS) if record else WRAPPED)
    command.fetch(made, raw, str(plain_user / "mirror"))
    file = made.files[0]
    hidden = file.record(raw / "toy") if record else raw / "toy" / file.name
    hidden.chmod(0)
    os.seteuid(user)
    rows = {row.split()[0]: row for row in command.listing(raw).splitlines()}
    assert " unreadable " in rows["toy"] and "missing" in rows["mnist"] and len(rows) == len(DATA_SETS) + len(SHIPPED) + 1
    capsys.readouterr()
    reading = lambda: made.checked(file, raw / "toy")  # noqa: E731
    for act in (lambda: command.fetch(made, raw), lambda: command.check([made], raw), reading):
        with pytest.raises(SystemExit) as caught:
            run(act)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert f"error: {raw / 'toy' / file.name} cannot be read by this user" in error and error.count("\n") == 1
        assert f"chmod -R u+rX {raw / 'toy'}" in error and "writable" not in error
        assert (str(file.record(raw / "toy")) in error) is record
    os.seteuid(0) if os.getuid() == 0 else None
    hidden.chmod(0o644)
    assert command.state(made, raw) == "complete"
