import os
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from apps.core.services import archives
from apps.core.services.archives import unpacked
from apps.core.services.import_files import MalformedFile
from tests.factories import pdf


@pytest.fixture
def pack(tmp_path):
    def _pack(*members: tuple[str | zipfile.ZipInfo, bytes], how=zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "documents.zip"
        with zipfile.ZipFile(path, "w", how) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path

    return _pack


def refused(path: Path) -> str:
    with pytest.raises(MalformedFile) as refusal, unpacked(path):
        pytest.fail("unpacked")
    return str(refusal.value)


def test_each_pdf_is_found_by_its_name_and_gone_afterwards(pack):
    content = pdf()
    with unpacked(pack(("TD/é.pdf", content), ("b.PDF", b"2"), ("lisez-moi.txt", b"3"))) as found:
        assert found.keys() == {"TD/é.pdf", "b.PDF"}
        assert found["TD/é.pdf"].read_bytes() == content
        paths = list(found.values())
    assert not any(path.exists() for path in paths)


def test_without_archive_there_is_nothing():
    with unpacked(None) as found:
        assert found == {}


def test_a_folder_around_everything_may_be_left_out(pack):
    path = pack(("pdfs/", b""), ("pdfs/a.pdf", b"1"), ("__MACOSX/pdfs/a.pdf", b"x"))
    with unpacked(path) as found:
        assert found.keys() == {"pdfs/a.pdf", "a.pdf"}
        assert found["a.pdf"].read_bytes() == b"1"


@pytest.mark.parametrize("name", ["../a.pdf", "x/../../a.pdf", "/a.pdf", "C:\\a.pdf", "..\\a.pdf"])
def test_no_member_leads_out(pack, name):
    assert "chemin interdit" in refused(pack((name, b"1")))


def test_a_link_is_refused(pack):
    link = zipfile.ZipInfo("a.pdf")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "chemin interdit" in refused(pack((link, b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(pack):
    assert "plusieurs fichiers" in refused(pack(("a.pdf", b"1"), ("a.pdf", b"2")))


def test_a_bomb_is_refused_by_its_ratio(pack, tmp_path, monkeypatch):
    path = pack(("a.pdf", bytes(5_000_000)))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args: pytest.fail("unpacked"))
    assert "plus de 100 fois" in refused(path)


def test_a_bomb_is_refused_by_its_size(pack, settings):
    settings.IMPORT_ARCHIVE_MAX_OCTETS = 1 << 20
    half = random.Random(1).randbytes(1 << 20) + b"1"
    members = (("a.pdf", half), ("b.pdf", half))
    assert "dépasse 2 Mo" in refused(pack(*members))
    with unpacked(pack(members[0])):
        pass


def test_a_crowd_is_refused_before_it_is_listed(pack, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS_MAX", 3)
    with unpacked(pack(*((f"{n}.pdf", b"1") for n in range(3)))):
        pass
    path = pack(*((f"{n}.txt", b"1") for n in range(4)))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *args: pytest.fail("listed"))
    assert "plus de 3 fichiers" in refused(path)


def test_a_member_that_lies_of_its_size_is_refused(pack):
    """Its header says one byte; zipfile reads no more than that, and finds another sum."""
    path = pack(("a.pdf", bytes(range(256)) * 40))
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 1)
    path.write_bytes(raw)
    assert "abîmée" in refused(path)


def test_a_protected_archive_says_so(pack):
    path = pack(("a.pdf", b"1"))
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        raw[raw.index(mark) + at] |= 1
    path.write_bytes(raw)
    assert "ôtez son mot de passe" in refused(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"%PDF-1.7", os.urandom(4096)])
def test_what_is_no_zip_says_so(tmp_path, content):
    path = tmp_path / "documents.zip"
    path.write_bytes(content)
    assert "n'est pas un ZIP" in refused(path)


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_cannot_be_bounded_is_refused(pack, how):
    assert "ZIP ordinaire" in refused(pack(("a.pdf", b"1"), how=how))


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_flipped_or_missing_byte_gets_past_the_refusal(pack, how):
    """It unpacks, or it is refused: nothing else comes out."""
    path = pack(("TD/a.pdf", pdf("a")), ("é.pdf", pdf("b")), how=how)
    whole, draw = path.read_bytes(), random.Random(42)
    outcomes = set()
    for _ in range(400):
        raw = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        path.write_bytes(raw[: draw.choice((len(raw), draw.randrange(len(raw))))])
        try:
            with unpacked(path):
                outcomes.add("unpacked")
        except MalformedFile:
            outcomes.add("refused")
    assert "refused" in outcomes
