"""What is no regular file is refused at once, and what unpacks without end is refused in time."""

from __future__ import annotations

import gzip
import os
import socket

import pytest

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import regular


@pytest.fixture
def special(tmp_path):
    """One of each kind that is no regular file, by its name."""
    made = {"fifo": tmp_path / "fifo", "folder": tmp_path / "folder", "device": "/dev/zero"}
    os.mkfifo(made["fifo"])
    made["folder"].mkdir()
    made["socket"] = tmp_path / "s"
    here = socket.socket(socket.AF_UNIX)
    here.bind(str(made["socket"]))
    for name in ("fifo", "folder"):
        made[f"link to {name}"] = tmp_path / f"to-{name}"
        made[f"link to {name}"].symlink_to(made[name])
    yield made
    here.close()


KINDS = ("fifo", "folder", "device", "socket", "link to fifo", "link to folder")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opener", [regular.require_regular, regular.read_bounded, regular.read_text_bounded])
def test_special_files_are_refused(special, kind, opener):
    with pytest.raises(BadInputError, match=r"regular file|a file is expected"):
        opener(special[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_special_files_are_not_unpacked(special, kind):
    with pytest.raises(BadInputError), regular.open_maybe_gzip(special[kind]):
        pass


def test_what_is_not_there_is_missing(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    for name in ("loop", "a", "dangling", "nowhere", "file/below", "n" * 300, "loop/below"):
        with pytest.raises(MissingResourceError) as caught:
            regular.require_regular(tmp_path / name)
        assert "\n" not in caught.value.message
        with pytest.raises(MissingResourceError):
            regular.require_folder(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_missing(tmp_path):
    (tmp_path / "closed").write_text("")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(MissingResourceError, match="permission"):
        regular.require_regular(tmp_path / "closed")


def test_a_link_to_a_file_is_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert regular.read_bounded(tmp_path / "link", 3) == b"abc"


def test_bytes_are_bounded(tmp_path):
    (tmp_path / "file").write_bytes(b"abcd")
    with pytest.raises(BadInputError, match="larger than 3 bytes"):
        regular.read_bounded(tmp_path / "file", 3)


def test_text_is_utf8(tmp_path):
    (tmp_path / "file").write_bytes("\ufeffµm".encode())
    assert regular.read_text_bounded(tmp_path / "file") == "µm"
    (tmp_path / "file").write_bytes(b"\xb5m")
    with pytest.raises(BadInputError, match="not UTF-8"):
        regular.read_text_bounded(tmp_path / "file")


def test_gzip_is_recognised_by_its_bytes(tmp_path):
    (tmp_path / "plain.gz").write_bytes(b"a\nb\n")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(b"a\nb\n"))
    for name in ("plain.gz", "packed.csv"):
        with regular.open_maybe_gzip(tmp_path / name) as stream:
            assert stream.read() == b"a\nb\n"


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(regular, "_UNPACKED_FREELY", 1 << 20)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(64 << 20)))
    given = 0
    with pytest.raises(BadInputError, match="unpacks to more"), regular.open_maybe_gzip(bomb) as stream:
        while block := stream.read(1 << 16):
            given += len(block)
    assert given < 32 << 20


def test_a_table_that_packs_well_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(regular, "_UNPACKED_FREELY", 0)
    text = b"".join(b"%d\t0\t0\t0\t0\t0\t0\t1\n" % i for i in range(20000))
    (tmp_path / "table.tsv.gz").write_bytes(gzip.compress(text))
    with regular.open_maybe_gzip(tmp_path / "table.tsv.gz") as stream:
        assert stream.read() == text


def test_pandas_is_given_the_refusal(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.setattr(regular, "_UNPACKED_FREELY", 1 << 16)
    (tmp_path / "bomb.csv").write_bytes(gzip.compress(b"0\n" * (8 << 20)))
    with pytest.raises(BadInputError, match="unpacks"), regular.open_maybe_gzip(tmp_path / "bomb.csv") as stream:
        pd.read_csv(stream)


def test_unpacked_text_can_be_read_again(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"0123456789" * 10000))
    with regular.open_maybe_gzip(tmp_path / "x.gz") as stream:
        assert stream.read(12) == b"012345678901" and stream.tell() == 12
        stream.seek(0)
        assert stream.read() == b"0123456789" * 10000
        stream.seek(50_005)
        assert stream.read(3) == b"567"
