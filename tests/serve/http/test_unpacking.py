"""Bodies unpacked step by step equal those that Python's gzip and zlib unpack as a whole."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx.serve.http.unpacking import Unpacker, UnpackError, said_size


def parts(coding, packed, most):
    unpacker, found = Unpacker(coding, packed), []
    while part := unpacker.next(most):
        found.append(part)
    assert unpacker.next(most) == b""
    return found


def bare(data):
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "bare deflate": bare}


@pytest.mark.parametrize("how", PACK)
@given(st.binary(max_size=300), st.integers(1, 400), st.integers(1, 100))
def test_all_comes_back_in_parts_of_the_size_asked_for(how, data, repeated, most):
    whole = data * repeated
    found = parts(how.split()[-1], PACK[how](whole), most)
    assert b"".join(found) == whole
    assert all(len(part) <= most for part in found)


@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=4))
def test_members_of_gzip_follow_each_other(members):
    packed = b"".join(map(gzip.compress, members))
    assert b"".join(parts("gzip", bytearray(packed), 5000)) == gzip.decompress(packed)
    assert said_size("gzip", packed) == len(members[-1])


def test_what_is_not_used_at_once_is_not_lost():
    whole = bytes(range(256)) * 4000  # Packed, it has more than one piece.
    data = gzip.compress(whole, compresslevel=0)
    assert b"".join(parts("gzip", data, 1000)) == whole


@pytest.mark.parametrize(
    ("coding", "packed", "said"),
    [
        ("gzip", b"no gzip", "not gzip"),
        ("gzip", zlib.compress(b"x"), "not gzip"),
        ("gzip", gzip.compress(b"x" * 100)[:-1], "the gzip data end in the middle"),
        ("gzip", gzip.compress(b"x" * 100) + b"junk", "not gzip"),
        ("gzip", gzip.compress(b"x" * 100)[:-8] + bytes(8), "incorrect data check"),
        ("gzip", gzip.compress(b"") * 1001, "more than 1000 gzip members"),
        ("deflate", gzip.compress(b"x"), "not deflate"),
        ("deflate", zlib.compress(b"x" * 100)[:-1], "the deflate data end in the middle"),
        ("deflate", zlib.compress(b"x") + b"junk", "4 bytes follow the deflate data"),
    ],
    ids=[
        "text",
        "deflate as gzip",
        "cut gzip",
        "gzip and junk",
        "wrong sum",
        "too many members",
        "gzip as deflate",
        "cut deflate",
        "deflate and junk",
    ],  # gzip writes the time into its data, so these need fixed names for both test workers.
)
def test_what_is_not_what_it_says(coding, packed, said):
    with pytest.raises(UnpackError, match=said):
        parts(coding, packed, 1 << 16)


def test_only_gzip_says_its_size():
    assert said_size("gzip", gzip.compress(bytes(5_000_000))) == 5_000_000
    assert said_size("gzip", b"no gzip") == said_size("deflate", zlib.compress(bytes(500))) == 0
