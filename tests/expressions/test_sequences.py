"""withSequence: counting up and down, Go's printf, and the bounds that keep a typing mistake from filling the memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import sequences
from tiphys.spec.templates import Sequence


@pytest.mark.parametrize(
    ("sequence", "items"),
    [
        (Sequence(count=3), ["0", "1", "2"]),
        (Sequence(count="3"), ["0", "1", "2"]),
        (Sequence(count=0), []),
        (Sequence(count=-2), []),
        (Sequence(count=2, start=5), ["5", "6"]),
        (Sequence(start=1, end=3), ["1", "2", "3"]),
        (Sequence(start="3", end="1"), ["3", "2", "1"]),
        (Sequence(end=1), ["0", "1"]),
        (Sequence(end=-1), ["0", "-1"]),
        (Sequence(start=2, end=2), ["2"]),
        (Sequence(start="+1", end="02"), ["1", "2"]),
        (Sequence(start=8, end=10, format="n-%02d"), ["n-08", "n-09", "n-10"]),
        (Sequence(start=10, end=11, format="testuser%02X"), ["testuser0A", "testuser0B"]),
        (Sequence(count=1, format=""), ["0"]),
    ],
)
def test_items_are_texts_in_order(sequence, items):
    assert sequences.expand(sequence) == items


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (Sequence(count="x"), 'strconv.Atoi: parsing "x": invalid syntax'),
        (Sequence(start="1.5", count=1), 'strconv.Atoi: parsing "1.5": invalid syntax'),
        (Sequence(end=""), 'strconv.Atoi: parsing "": invalid syntax'),
        (Sequence(end="{{x}}"), 'strconv.Atoi: parsing "{{x}}": invalid syntax'),
        (Sequence(count="99999999999999999999"), 'strconv.Atoi: parsing "99999999999999999999": value out of range'),
        (Sequence(start=1), "neither end nor count was specified in withSequence"),
        (Sequence(count=1, end=1), "only one of count or end can be defined in withSequence"),
        (Sequence(count=10**12), "withSequence would make 1000000000000 items; the most is 1000000"),
        (Sequence(start=-(10**9), end=10**9), "withSequence would make 2000000001 items; the most is 1000000"),
        (Sequence(count=1, format="%99999999999d"), "withSequence format has a width of more than 10000"),
        (Sequence(count=1, format="%.99999d"), "withSequence format has a width of more than 10000"),
        (Sequence(count=900_000, format="%09000d"), "withSequence would make more than 64000000 characters of items"),
        (Sequence(count=1, format="x" * 2000), "withSequence format of 2000 characters; the most is 1000"),
    ],
)
def test_what_cannot_be_expanded_says_why(sequence, message):
    with pytest.raises(sequences.InvalidSequence) as caught:
        sequences.expand(sequence)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("form", "number", "text"),
    [
        ("%d", 5, "5"),
        ("%v", -5, "-5"),
        ("%+d", 5, "+5"),
        ("% d", 5, " 5"),
        ("%5d|", 5, "    5|"),
        ("%-5d|", 5, "5    |"),
        ("%05d", -5, "-0005"),
        ("%-05d|", 5, "5    |"),
        ("%.3d", 5, "005"),
        ("%6.3d", 5, "   005"),
        ("%.0d", 0, ""),
        ("%x", 255, "ff"),
        ("%X", 255, "FF"),
        ("%#x", 255, "0xff"),
        ("%#X", 255, "0XFF"),
        ("%#06x", 255, "0x0000ff"),
        ("%o", 8, "10"),
        ("%#o", 8, "010"),
        ("%O", 8, "0o10"),
        ("%b", 5, "101"),
        ("%08b", 5, "00000101"),
        ("%x", -255, "-ff"),
        ("%c", 65, "A"),
        ("%3c", 65, "  A"),
        ("%q", 65, "'A'"),
        ("%q", 10, r"'\n'"),
        ("%#o", 0, "0"),
        ("%q", 1, r"'\x01'"),
        ("%q", 0x200B, r"'\u200b'"),
        ("%q", 0xE0001, r"'\U000e0001'"),
        ("%c", -1, "�"),
        ("%U", 65, "U+0041"),
        ("%#U", 65, "U+0041 'A'"),
        ("100%%", 5, "100%%!(EXTRA int=5)"),
        ("%d%%", 5, "5%"),
        ("plain", 5, "plain%!(EXTRA int=5)"),
        ("%d-%d", 5, "5-%!d(MISSING)"),
        ("%[1]d-%03[1]d", 5, "5-005"),
        ("%[2]d", 5, "%!d(BADINDEX)"),
        ("%[1]03d", 5, "%!d(BADINDEX)"),
        ("%s", 5, "%!s(int=5)"),
        ("%z", 5, "%!z(int=5)"),
        ("%", 5, "%!(NOVERB)%!(EXTRA int=5)"),
        ("%5", 5, "%!(NOVERB)%!(EXTRA int=5)"),
        ("é%dé", 5, "é5é"),
    ],
)
def test_printf_prints_as_go(form, number, text):
    assert sequences.printf(form, number) == text


@given(st.integers(-(10**6), 10**6), st.integers(0, 50), st.integers(1, 12))
def test_zero_padding_agrees_with_an_independent_formatter(start, count, width):
    form = f"%0{width}d"
    assert sequences.expand(Sequence(start=start, count=count, format=form)) == [form % number for number in range(start, start + count)]


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_backwards_is_the_mirror_of_forwards(start, end):
    forwards = sequences.expand(Sequence(start=start, end=end))
    assert forwards == sequences.expand(Sequence(start=end, end=start))[::-1]
    assert len(forwards) == abs(end - start) + 1


@given(st.text(alphabet="%dxXobcqU[]123+-# 0.svz", max_size=12), st.integers(-300, 70_000))
def test_any_format_prints_or_is_refused(form, number):
    try:
        assert isinstance(sequences.printf(form, number), str)
    except sequences.InvalidSequence:
        assert any(character.isdigit() for character in form)
