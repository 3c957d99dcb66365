import hashlib
import io
import random
import zipfile
import zlib

import pytest

from apps.paquets.archive import Archive, Entry, text_entry


def entry(name, content):
    return Entry(name, len(content), zlib.crc32(content), lambda: io.BytesIO(content))


CONTENTS = {
    "index.html": "Épreuves".encode(),
    "vide.txt": b"",
    "epreuves/a-1.pdf": random.Random(1).randbytes(70_000),
    "epreuves/b-2.pdf": b"%PDF-",
}


@pytest.fixture
def archive():
    return Archive([entry(name, content) for name, content in CONTENTS.items()])


def test_zipfile_reads_what_it_writes_and_finds_nothing_wrong(archive):
    with zipfile.ZipFile(io.BytesIO(archive.read())) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == CONTENTS
        assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}


def test_zipfile_reads_it_in_place_as_any_file(archive):
    assert zipfile.ZipFile(archive).read("epreuves/b-2.pdf") == b"%PDF-"


def test_its_size_is_known_before_a_byte_is_read():
    def unread():
        raise AssertionError("opened")

    content = CONTENTS["epreuves/a-1.pdf"]
    closed = Archive([Entry("epreuves/a-1.pdf", len(content), 0, unread)])
    assert closed.size == len(Archive([entry("epreuves/a-1.pdf", content)]).read())


def test_an_archive_of_nothing_is_an_archive():
    assert zipfile.ZipFile(Archive([])).namelist() == []


def test_every_part_is_that_of_the_whole(archive):
    whole, drawn = archive.read(), random.Random(2)
    # Around each border of a piece, where an error by one would be, and anywhere.
    borders = [start + more for start in archive._starts for more in (-1, 0, 1)]
    starts = [at for at in borders if at >= 0] + [drawn.randrange(archive.size) for _ in range(50)]
    for start in [*starts, archive.size - 1, archive.size, archive.size + 10]:
        length = drawn.choice([1, 2, 30, 5_000, 80_000])
        archive.seek(start)
        got = b""
        while len(got) < length and (block := archive.read(length - len(got))):
            got += block
        assert got == whole[start : start + length]


def test_the_same_entries_make_the_same_bytes(archive):
    again = Archive([entry(name, content) for name, content in CONTENTS.items()])
    assert hashlib.file_digest(archive, "sha256").digest() == (
        hashlib.file_digest(again, "sha256").digest()
    )


def test_these_are_the_bytes_that_links_of_last_week_go_on_with():
    # Another number here: every download begun before the release would start again.
    content = Archive([text_entry("index.html", "Épreuves")]).read()
    assert (len(content), zlib.crc32(content)) == (127, 2115941623)


def test_one_file_is_open_at_a_time_and_none_after_closing():
    opened = []

    def opener(name):
        def open_():
            opened.append(io.BytesIO(CONTENTS[name]))
            return opened[-1]

        return open_

    names = [name for name in CONTENTS if CONTENTS[name]]
    archive = Archive(
        [Entry(n, len(CONTENTS[n]), zlib.crc32(CONTENTS[n]), opener(n)) for n in names]
    )
    while archive.read(1000):
        assert sum(not file.closed for file in opened) <= 1
    assert len(opened) == len(names)
    archive.seek(archive._starts[1])
    archive.read(1)
    archive.close()
    assert all(file.closed for file in opened)


def test_a_file_that_was_cut_since_breaks_off_rather_than_shift_what_follows():
    cut = Archive([Entry("a", 10, 0, lambda: io.BytesIO(b"12345")), entry("b", b"next")])
    with pytest.raises(OSError, match="10 bytes ends at 5"):
        cut.read()


@pytest.mark.parametrize(
    ("start", "length", "told"), [(0, 1_000, 1), (0, 100, 0), (-1, 1, 1), (-2, 1, 0)]
)
def test_the_end_is_told_where_the_last_byte_is_given(start, length, told):
    calls = []
    archive = Archive([text_entry("a", "b" * 500)], at_end=lambda: calls.append(1))
    archive.seek(start, io.SEEK_SET if start >= 0 else io.SEEK_END)
    while length and (block := archive.read(length)):
        length -= len(block)
    archive.close()
    assert len(calls) == told


def test_the_last_bytes_wait_for_the_end_to_be_told():
    def refuse():
        raise OSError("database away")

    archive = Archive([text_entry("a", "b" * 500)], at_end=refuse)
    archive.seek(archive.size - 5)
    with pytest.raises(OSError, match="away"):
        archive.read(5)
