"""Pieces that are compressed once stand in any gzip stream, whatever came before them there."""

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.server import framing, gzipping

TEXTS = [b"", b"a", b"ab" * 5000, bytes(range(256)) * 3, random.Random(1).randbytes(10_000)]
PIECES = [gzipping.Piece(text) for text in TEXTS]


@given(st.lists(st.integers(min_value=0, max_value=len(TEXTS) - 1), max_size=12))
def test_any_pieces_in_any_order_are_a_whole_stream(order):
    total, sent = gzipping.Sum(), gzipping.HEADER
    for number in order:
        total.add(PIECES[number])
        sent += PIECES[number].pressed
    whole = b"".join(TEXTS[number] for number in order)
    assert (total.crc, total.size) == (zlib.crc32(whole), len(whole))
    assert gzip.decompress(sent + total.end()) == whole


def test_each_piece_can_be_read_when_it_has_come():
    reader = zlib.decompressobj(31)
    reader.decompress(gzipping.HEADER)
    for text, piece in zip(TEXTS, PIECES, strict=True):
        assert reader.decompress(piece.pressed) == text


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip, deflate", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP;q=1.0", True),
        ("br, x-gzip", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, identity", False),
    ],
)
def test_who_does_not_ask_for_gzip_is_not_sent_it(header, wanted):
    assert gzipping.accepted(header) is wanted


@pytest.mark.parametrize("events", [False, True])
def test_results_that_are_framed_together_are_framed_as_one_by_one(events):
    results = [b'{"a":1}', b"2", b'"x"']
    assert framing.framed(results, events=events) == b"".join(framing.frame(b'{"result":' + one + b"}", events=events) for one in results)
    assert framing.framed([], events=events) == b""


async def test_a_frame_is_compressed_and_cut_to_chunks_once():
    frame = framing.Frame(b"x" * (framing.LARGE + 1))
    await frame.press()
    piece = frame.piece
    chunk = frame.sent(pressed=True, chunked=True)
    assert frame.sent(pressed=True, chunked=True) is chunk
    assert frame.piece is piece
    assert chunk == b"%x\r\n%b\r\n" % (len(piece.pressed), piece.pressed)
    assert frame.sent(pressed=True, chunked=False) is piece.pressed
    plain = frame.sent(pressed=False, chunked=True)
    assert frame.sent(pressed=False, chunked=True) is plain
    assert frame.sent(pressed=False, chunked=False) is frame.data
