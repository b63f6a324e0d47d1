"""Archives: what is kept is the same from every wrapping; what is refused, and that nothing of it is left."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from small_data import archived, fetched, fingerprint, tar_of, zip_of

from pipelines.datasets import archives, download
from pipelines.datasets.registry import DataSet, File
from pipelines.errors import UserError

MEMBERS = {
    "set/b/2.png": np.random.Generator(np.random.PCG64(2)).bytes(70_000),
    "set/a/10.png": np.random.Generator(np.random.PCG64(3)).bytes(3_000),
    "set/a/9.png": b"",
}
FILE = archived("set.tar", MEMBERS)


def entry(file: File = FILE) -> DataSet:
    return DataSet("toy", "a toy", (), (file,), "free", "nobody", by_hand="nowhere")


def put(folder: Path, wrapped: bytes, file: File = FILE) -> str:
    (folder / "mirror/toy").mkdir(parents=True, exist_ok=True)
    (folder / "mirror/toy" / file.remote).write_bytes(wrapped)
    return str(folder / "mirror")


def refused(folder: Path, wrapped: bytes, file: File = FILE) -> str:
    """Why a content is refused; nothing of it may be left."""
    with pytest.raises(UserError) as caught:
        download.fetch(entry(file), file, folder / "raw/toy", put(folder, wrapped, file))
    assert os.listdir(folder / "raw/toy") == []
    assert sorted(os.listdir(folder)) == ["mirror", "raw"] and set(os.listdir(folder / "raw")) <= {"toy", ".toy.lock"}
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRAPPINGS = {
    "gz": tar_of(MEMBERS),
    "xz": tar_of(MEMBERS, "xz", mtime=77, uid=1000, uname="somebody"),
    "bz2": tar_of(dict(reversed(MEMBERS.items())), "bz2"),
    "bare": tar_of(dict(sorted(MEMBERS.items())), ""),
    "dotted": tar_of({f"./{name}": content for name, content in MEMBERS.items()}),
    "zip": zip_of(MEMBERS),
    "stored": zip_of(dict(sorted(MEMBERS.items())), zipfile.ZIP_STORED),
    "junk": zip_of({"__MACOSX/set/a/._9.png": b"x", "set/.DS_Store": b"y", "set/": b"", **MEMBERS}),
}


def test_every_wrapping_becomes_the_same_bytes(tmp_path: Path) -> None:
    made = {}
    for name, wrapped in WRAPPINGS.items():
        download.fetch(entry(), FILE, tmp_path / name / "toy", put(tmp_path / name, wrapped))
        assert FILE.state(tmp_path / name / "toy") == "right"
        made[name] = (tmp_path / name / "toy" / FILE.name).read_bytes()
    assert len(set(made.values())) == 1 and len(made) == 8
    read = dict(archives.read(entry(), FILE, tmp_path / "zip/toy"))
    assert read == MEMBERS and list(read) == sorted(MEMBERS)
    # a tar like any other, and a record that sha256sum -c reads
    with tarfile.open(tmp_path / "zip/toy" / FILE.name) as tar:
        assert tar.getnames() == sorted(MEMBERS) and {(one.mtime, one.uid, one.uname) for one in tar} == {(0, 0, "")}
    digest = hashlib.sha256(made["zip"]).hexdigest()
    assert (tmp_path / "zip/toy/set.tar.sha256").read_text() == f"{digest}  set.tar\n"


def test_the_fingerprint_is_that_of_the_sorted_listing(tmp_path: Path) -> None:
    (tmp_path / "toy.zip").write_bytes(WRAPPINGS["junk"])
    listing = archives.pack(tmp_path / "toy.zip", tmp_path / "toy.tar", FILE)
    assert listing.fingerprint == fingerprint(MEMBERS) == FILE.sha256
    assert listing.size == 73_000 and set(listing.sha256) == set(MEMBERS)


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    wrapped = WRAPPINGS[name]
    # a bare tar ends in 10 kB of zeros, of which half may go
    message = refused(tmp_path, wrapped[: int(len(wrapped) * share) if name != "bare" else int(73_000 * share)])
    assert "replace that copy" in message and "python -m pipelines.fetch toy" in message


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("place", [0, 300, 40_000])
def test_a_flipped_byte_is_refused(tmp_path: Path, name: str, place: int) -> None:
    changed = bytearray(WRAPPINGS[name])
    changed[place] ^= 1
    assert "replace that copy" in refused(tmp_path, bytes(changed))


def test_a_flipped_byte_in_a_member_is_told_by_its_hash(tmp_path: Path) -> None:
    other = {**MEMBERS, "set/a/10.png": MEMBERS["set/a/10.png"][:-1] + b"\x00"}
    message = refused(tmp_path, tar_of(other))
    assert fingerprint(other) in message and FILE.sha256 in message


@pytest.mark.parametrize("name", ["../up.png", "set/../../up.png", "/tmp/up.png", "..\\up.png"])
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_name_that_leaves_the_folder(tmp_path: Path, name: str, make: object) -> None:
    message = refused(tmp_path, make({**MEMBERS, name: b"x"}))  # type: ignore[operator]
    assert "leaves the folder" in message and "up.png" in message


@pytest.mark.parametrize(
    ("kind", "words"), [(tarfile.SYMTYPE, "is a link"), (tarfile.LNKTYPE, "is a link"), (tarfile.FIFOTYPE, "no plain file"),
                        (tarfile.CHRTYPE, "no plain file")],
)  # fmt: skip
def test_a_tar_with_a_member_that_is_no_file(tmp_path: Path, kind: bytes, words: str) -> None:
    stream = io.BytesIO(tar_of(MEMBERS, ""))
    with tarfile.open(fileobj=stream, mode="a") as tar:
        member = tarfile.TarInfo("set/a/8.png")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    assert f"set/a/8.png {'' if 'link' in words else 'is '}{words}" in refused(tmp_path, stream.getvalue())


def test_a_zip_with_a_link(tmp_path: Path) -> None:
    stream = io.BytesIO(zip_of(MEMBERS))
    with zipfile.ZipFile(stream, "a") as archive:
        member = zipfile.ZipInfo("set/a/8.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert "set/a/8.png is a link" in refused(tmp_path, stream.getvalue())


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    twice = tar_of({"set/a/9.png": b"first"}, "") [:1024] + tar_of(MEMBERS, "")
    assert "two members set/a/9.png" in refused(tmp_path, twice, replace(FILE, size=10**6))


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_bomb_that_declares_its_size_is_not_unpacked(
    tmp_path: Path, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = make({**MEMBERS, "set/z.png": bytes(50_000_000)})  # type: ignore[operator]
    assert len(bomb) < 200_000
    read, plain = [], archives._read
    monkeypatch.setattr(archives, "_read", lambda stream, name: read.append(name) or plain(stream, name))
    assert "more than the 73000 bytes" in refused(tmp_path, bomb) and "set/z.png" not in read


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each chunk that `pack` unpacks, in the order it does."""
    read, plain = [], archives._read

    def reading(stream: IO[bytes], name: str) -> bytes:
        chunk = plain(stream, name)
        read.append(len(chunk))
        return chunk

    monkeypatch.setattr(archives, "_read", reading)
    return read


@pytest.mark.parametrize("declared", [0, 1_000])
def test_a_bomb_that_declares_less_than_it_holds(
    tmp_path: Path, declared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sizes are rewritten, in the local header and in the directory; no more than they say is ever unpacked."""
    bomb = bytearray(zip_of({"set/z.png": bytes(50_000_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", bomb, bomb.index(signature) + offset, declared)
    file = replace(FILE, sha256=fingerprint({"set/z.png": bytes(50_000_000)}), size=2_000)
    read = counted(monkeypatch)
    refused(tmp_path, bytes(bomb), file)
    assert sum(read) <= declared


class Endless(io.RawIOBase):
    """A stream that gives whatever is asked of it, up to 50 MB; remembers how much."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        count = min(size if size >= 0 else 50_000_000, 50_000_000 - self.given)
        self.given += count
        return bytes(count)


@pytest.mark.parametrize("declared", [0, 1_000])
def test_a_stream_that_goes_on_is_left_at_its_first_chunk(
    tmp_path: Path, declared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own readers end where a member's declared bytes do; should one not, its further bytes are never written."""
    stream = Endless()
    monkeypatch.setattr(archives, "_members", lambda source: iter([("set/z.png", declared, stream)]))
    target = tmp_path / "set.tar"
    with pytest.raises(archives.ArchiveError, match=rf"^set/z\.png is longer than the {declared} bytes it declares$"):
        archives.pack(tmp_path / "any", target, FILE)
    assert stream.given <= 1 << 20 and not target.exists()
    assert target.with_name("set.tar.members").stat().st_size == 0


def test_a_member_that_ends_before_its_declared_bytes(tmp_path: Path) -> None:
    """Its content, and the sum of it, are right: the declaration alone is not."""
    members = {"set/z.png": bytes(700)}
    wrapped = bytearray(zip_of(members))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", wrapped, wrapped.index(signature) + offset, 1_000)
    file = replace(FILE, sha256=fingerprint(members), size=2_000)
    assert "set/z.png ends after 700 of 1000 bytes: replace that copy" in refused(tmp_path, bytes(wrapped), file)


HEADERS = {"GNU name": tarfile.GNUTYPE_LONGNAME, "GNU link": tarfile.GNUTYPE_LONGLINK, "PAX": tarfile.XHDTYPE,
           "PAX of all": tarfile.XGLTYPE, "Solaris": tarfile.SOLARIS_XHDTYPE}  # fmt: skip


def with_header(kind: bytes, size: int, first: bool) -> bytes:
    """A gzipped tar of a few kB with a header that declares, and has, `size` bytes of zeros."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, size
    content = header.tobuf() + bytes(size)
    plain = tar_of(MEMBERS, "")
    return gzip.compress(content + plain if first else plain[: plain.index(b"set/a/10.png")] + content, 1)


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("first", [True, False])
def test_a_header_that_declares_gigabytes_is_not_read(tmp_path: Path, kind: str, first: bool) -> None:
    wrapped = with_header(HEADERS[kind], 200 << 20, first)
    assert len(wrapped) < 2_000_000
    tracemalloc.start()
    try:
        message = refused(tmp_path, wrapped)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "a header in it declares 209715200 bytes, more than 1048576: replace that copy" in message
    assert most < 20 << 20


def test_long_names_are_read(tmp_path: Path) -> None:
    """What GNU and PAX headers are for still works."""
    members = {f"set/{'long/' * 60}{number}.png": bytes([number]) for number in range(3)}
    file = archived("set.tar", members)
    for name, form in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz", format=form) as tar:
            for one, content in members.items():
                member = tarfile.TarInfo(one)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        place, made = fetched(tmp_path / name, {file: stream.getvalue()}, "toy")
        assert dict(archives.read(made, file, place)) == members


def test_a_sparse_map_without_end_is_not_read(tmp_path: Path) -> None:
    """PAX's sparse files have a map of holes in their content; this one names 40 million holes in a few kB."""
    member = tarfile.TarInfo("set/a/8.png")
    content = b"40000000\n" + b"0\n" * 40_000_000
    member.size = len(content)
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
        tar.addfile(member, io.BytesIO(content))
    tracemalloc.start()
    try:
        assert "set/a/8.png is no plain file" in refused(tmp_path, stream.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_memory_that_runs_out_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(archives, "_read", exhausted)
    message = refused(tmp_path, tar_of(MEMBERS))
    assert message.startswith("memory ran out over ") and "then run `python -m pipelines.fetch toy` again" in message


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    """GNU's sparse files declare gigabytes and store nothing."""
    assert "no plain file" in refused(tmp_path, tar_of(MEMBERS, "gz", type=tarfile.GNUTYPE_SPARSE))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04" + bytes(100), b"\x1f\x8b" + bytes(50)])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    assert "replace that copy" in refused(tmp_path, content)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    locked = bytearray(zip_of(MEMBERS))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + offset] |= 1
    assert "cannot be read" in refused(tmp_path, bytes(locked))


def sums(algorithm: str, members: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}") for name, content in members.items())


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_published_sums_of_members(tmp_path: Path, algorithm: str) -> None:
    """Only members whose sums are known are kept; one that differs, or is not there, is named."""
    kept = {name: MEMBERS[name] for name in ("set/b/2.png", "set/a/10.png")}
    file = File("set.tar", "toy.tar.gz", 73_000, wrapping="archive", members=sums(algorithm, kept))
    folder, made = fetched(tmp_path, {file: tar_of(MEMBERS)}, "toy")
    assert dict(archives.read(made, file, folder)) == kept
    other = {**MEMBERS, "set/a/10.png": b"other"}
    message = refused(tmp_path / "other", tar_of(other), file)
    assert f"set/a/10.png has {algorithm} {hashlib.new(algorithm, b'other').hexdigest()}, expected" in message
    assert "set/b/2.png is not in it" in refused(tmp_path / "less", tar_of({"set/a/9.png": b""}), file)


def test_a_changed_archive_is_not_read(tmp_path: Path) -> None:
    folder, made = fetched(tmp_path, {FILE: WRAPPINGS["xz"]}, "toy")
    path = folder / FILE.name
    changed = bytearray(path.read_bytes())
    changed[600] ^= 1
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"set.tar is wrong: run `python -m pipelines\.fetch toy`"):
        list(archives.read(made, FILE, folder))
    path.unlink()
    with pytest.raises(UserError, match="set.tar is missing"):
        list(archives.read(made, FILE, folder))
