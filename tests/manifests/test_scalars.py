"""YAML 1.1 scalars as Argo's parser reads them."""

import math

import pytest

from tiphys.manifests import scalars

VALUES = {
    "yes": True,
    "Yes": True,
    "on": True,
    "y": True,
    "TRUE": True,
    "no": False,
    "Off": False,
    "n": False,
    "false": False,
    "": None,
    "~": None,
    "null": None,
    "NULL": None,
    "0": 0,
    "12": 12,
    "+12": 12,
    "-12": -12,
    "0644": 420,
    "-0644": -420,
    "0o17": 15,
    "08": 8,
    "0x1F": 31,
    "-0xff": -255,
    "0b101": 5,
    "1_000": 1000,
    "0x_ff": 255,
    "1e3": 1000,
    "1.0": 1,
    "-0.0": 0,
    "1.5": 1.5,
    ".5": 0.5,
    "5.": 5,
    "1.5e-3": 0.0015,
    "9007199254740992.0": 2**53,
    "1e16": 10**16,
    "1e19": 1e19,
    "0b+101": 5,
    "+9223372036854775808": 2.0**63,
    "02000000000000000000000": 2e21,
    "9223372036854775807": 2**63 - 1,
    "18446744073709551615": 2**64 - 1,
    "18446744073709551616": 2.0**64,
}

TEXTS = [
    "2024-01-01",
    "2024-01-01T10:00:00Z",
    "12:30:45",
    "190:20:30",
    "1:30",
    "1e400",
    "0x",
    "0xg",
    "0b12",
    "-",
    "+",
    ".",
    "...",
    "1.2.3",
    "1e",
    "e3",
    "_1",
    "yEs",
    "nULL",
    "truely",
    "3.20-alpine",
    "1,000",
    "0xffffffffffffffffffff",
    "9" * 500,
    "None",
    "{{x}}",
]


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_words_and_numbers_have_the_values_that_argos_parser_gives_them(text, value):
    found = scalars.resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", TEXTS)
def test_what_argos_parser_takes_for_text_stays_as_it_was_written(text):
    assert scalars.resolve(text) == text


@pytest.mark.parametrize(("text", "value"), [(".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf)])
def test_infinities_are_told_apart_so_that_they_can_be_refused(text, value):
    assert scalars.resolve(text) == value


def test_not_a_number_is_told_apart_so_that_it_can_be_refused():
    found = scalars.resolve(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1.0", "1"),
        ("1e3", "1000"),
        ("0644", "420"),
        ("yes", "true"),
        ("off", "false"),
        ("0.1", "0.1"),
        ("1e-7", "0.0000001"),
        ("1e21", "1000000000000000000000"),
        ("2.50", "2.5"),
        ("-3", "-3"),
        ("12345678901234567890", "12345678901234567000"),
    ],
)
def test_a_scalar_in_a_text_field_becomes_its_shortest_decimal_text(written, text):
    value = scalars.resolve(written)
    assert value is not None
    assert scalars.text_of(value) == text


def test_only_numbers_whose_digits_change_are_said_to_lose_some():
    assert scalars.loses_digits(12345678901234567890)
    assert not scalars.loses_digits(2**53)
    assert scalars.loses_digits(2**60)
    assert not scalars.loses_digits(10**17)
    assert not scalars.loses_digits("12345678901234567890")
    assert not scalars.loses_digits(True)


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (True, "true"), (False, "false"), (1.5, "1.5"), ("a", "a"), (1e6, "1e+06")])
def test_map_keys_become_text(value, text):
    assert scalars.key_text(value) == text


def test_null_and_numbers_that_need_the_bit_of_the_sign_are_no_keys():
    assert scalars.key_text(None) is None
    assert scalars.key_text(2**63) is None
