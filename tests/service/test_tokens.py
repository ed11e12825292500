"""Tokens are kept as hashes, known at once when they are made, and unknown at once when they are revoked or expire."""

import json
import os
import threading
import time

import pytest

from tiphys.service import tokens
from tiphys.service.tokens import Scope, Tokens, TokensRefused


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


def test_a_token_is_kept_as_its_hash_alone(path):
    text, made = tokens.create(path, Scope.SUBMIT, name="ci")
    assert text.startswith("tiphys_")
    assert len(text) >= 7 + 43  # 256 bits
    assert text not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (made.name, made.scope, made.expires) == ("ci", Scope.SUBMIT, 0.0)
    assert Tokens(path).find(text) == made


def test_what_is_no_token_is_not_found(path):
    kept = Tokens(path)
    assert kept.find("") is None
    text, _ = tokens.create(path, Scope.READ)
    assert kept.find(text) is not None
    for wrong in ("", "x", text[:-1], text + " ", text.upper(), tokens.digest(text), "tok\u00e9n"):
        assert kept.find(wrong) is None


def test_a_change_counts_at_once(path):
    kept = Tokens(path)
    for number in range(20):
        text, made = tokens.create(path, Scope.READ, name=f"n{number}")
        assert kept.find(text) == made
        assert kept.stands(made)
        tokens.revoke(path, made.name)
        assert kept.find(text) is None
        assert not kept.stands(made)


def test_a_token_expires(path):
    kept = Tokens(path)
    text, made = tokens.create(path, Scope.READ, seconds=0.2)
    assert kept.find(text) == made
    end = time.monotonic() + 5
    while kept.find(text) is not None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not kept.stands(made)


def test_a_name_made_anew_is_another_token(path):
    kept = Tokens(path)
    old, first = tokens.create(path, Scope.READ, name="ci")
    tokens.revoke(path, "ci")
    new, second = tokens.create(path, Scope.READ, name="ci")
    assert kept.find(old) is None
    assert kept.find(new) == second
    assert not kept.stands(first)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "-x", "x" * 64, "a b", "a\nb"])
def test_names_are_words(path, name):
    if not name:
        assert tokens.create(path, Scope.READ, name=name)[1].name.startswith("read-")
        return
    with pytest.raises(TokensRefused, match="no name for a token"):
        tokens.create(path, Scope.READ, name=name)


def test_a_name_is_given_once_and_revoked_once(path):
    tokens.create(path, Scope.READ, name="ci")
    with pytest.raises(TokensRefused, match="there is a token 'ci' already"):
        tokens.create(path, Scope.READ, name="ci")
    tokens.revoke(path, "ci")
    with pytest.raises(TokensRefused, match="there is no token 'ci'"):
        tokens.revoke(path, "ci")


def test_many_at_once_lose_nothing(path):
    def make(number):
        for count in range(10):
            tokens.create(path, Scope.READ, name=f"t{number}.{count}")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens.read(path)) == 40


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 1}', '{"version": 2, "tokens": []}', '{"version": 1, "tokens": [{"name": "x"}]}', "\x00", "5"],
)
def test_with_a_broken_file_no_token_is_valid_and_somebody_is_told(path, text):
    shown, _ = tokens.create(path, Scope.ADMIN)
    told = []
    kept = Tokens(path, told.append)
    assert kept.find(shown) is not None
    path.write_text(text)
    assert kept.find(shown) is None
    assert kept.find(shown) is None
    assert len(told) == 1
    with pytest.raises(TokensRefused):
        tokens.create(path, Scope.READ)
    assert path.read_text() == text


def test_a_hash_that_is_none_makes_the_file_broken(path):
    tokens.create(path, Scope.ADMIN)
    found = json.loads(path.read_text())
    found["tokens"][0]["sha256"] = ""
    path.write_text(json.dumps(found))
    with pytest.raises(TokensRefused, match="does not hold tokens"):
        tokens.read(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_tokens_for_the_owner_of_the_folder(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 12345, 12346)
    tokens.create(folder / "tokens.json", Scope.READ)
    found = (folder / "tokens.json").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12346)


def test_scopes_include_those_before_them():
    assert [[has.allows(needed) for needed in Scope] for has in Scope] == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TokensRefused, match="cannot be changed: No such file"):
        tokens.create(tmp_path / "none" / "tokens.json", Scope.READ)
