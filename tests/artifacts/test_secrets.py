"""Where values are found, in which order, and that they are told to nobody else."""

import base64
import copy
import logging
import os
import pickle

import pytest

from tiphys.secrets import SecretMissing, Secrets
from tiphys.spec.parameters import KeySelector
from tiphys.spec.workflows import ConfigMap, ObjectMeta, Secret

pytestmark = pytest.mark.asyncio

VALUE = "s3cr3t-value"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(name: str = "s", namespace: str = "", **fields) -> Secret:
    return Secret(api_version="v1", metadata=ObjectMeta(name=name, namespace=namespace), **fields)


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "secrets" / "s").mkdir(parents=True)
    (tmp_path / "credentials").mkdir()
    return tmp_path / "secrets", tmp_path / "credentials"


async def test_documents_come_before_files_and_files_before_credentials(folders):
    directory, credentials = folders
    for key, places in {"a": "dfc", "b": "fc", "c": "c"}.items():
        if "f" in places:
            (directory / "s" / key).write_text("file")
        if "c" in places:
            (credentials / f"s.{key}").write_text("credential")
    secrets = Secrets([secret(string_data={"a": "document"})], directory=directory, credentials=credentials)
    assert [await secrets.secret("default", "s", key) for key in "abcd"] == ["document", "file", "credential", None]
    assert await secrets.secret_keys("default", "s") == {"a": "document", "b": "file", "c": "credential"}
    assert await secrets.secret_keys("default", "other") is None


async def test_string_data_wins_over_data():
    secrets = Secrets([secret(data={"a": encoded("x"), "b": encoded("y")}, string_data={"a": "z"})])
    assert await secrets.secret_keys("default", "s") == {"a": "z", "b": "y"}


async def test_base64_may_be_wrapped_and_anything_else_is_said_without_the_value():
    wrapped = encoded("x" * 100)
    assert await Secrets([secret(data={"a": wrapped[:60] + "\n" + wrapped[60:] + "\n"})]).secret("d", "s", "a") == "x" * 100
    with pytest.raises(SecretMissing, match="'a' is not base64; write plain text in stringData") as caught:
        Secrets([secret(data={"a": VALUE + "!"})])
    assert VALUE not in repr(caught.getrepr(style="long"))
    assert caught.value.__cause__ is None


async def test_namespaces_are_kept_apart():
    secrets = Secrets([secret(namespace="a", string_data={"k": "in a"}), secret(string_data={"k": "anywhere"})])
    assert await secrets.secret("a", "s", "k") == "in a"
    assert await secrets.secret("b", "s", "k") == "anywhere"


async def test_secrets_and_config_maps_of_one_name_are_two_things():
    config = ConfigMap(api_version="v1", metadata=ObjectMeta(name="s"), data={"k": "plain"}, binary_data={"b": encoded("bin")})
    secrets = Secrets([secret(string_data={"k": VALUE}), config])
    assert await secrets.config_map("d", "s", "k") == "plain"
    assert await secrets.secret("d", "s", "k") == VALUE
    assert await secrets.config_map_keys("d", "s") == {"b": "bin", "k": "plain"}
    assert await Secrets([secret(string_data={"k": VALUE})]).config_map("d", "s", "k") is None


async def test_a_later_layer_of_documents_is_in_front():
    below = Secrets([secret("one", string_data={"k": "1"}), secret("two", string_data={"k": "2"})])
    above = below.with_documents([secret("two", string_data={"k": "new"})])
    assert [await above.secret("d", name, "k") for name in ("one", "two")] == ["1", "new"]
    assert await below.secret("d", "two", "k") == "2"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("..", "x"),
        ("s", ".."),
        ("../outside", "x"),
        ("s", "../x"),
        ("/etc", "passwd"),
        ("s/..", "x"),
        (".", "x"),
        ("s", "a/b"),
        ("", "x"),
        ("s", ""),
        ("s\0", "x"),
        ("s\n", "x"),
    ],
)
async def test_no_name_leads_out_of_the_directory(tmp_path, folders, name, key):
    directory, credentials = folders
    for path in (tmp_path / "x", directory / "x", credentials / "x"):
        path.write_text("outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("outside")
    secrets = Secrets(directory=directory, credentials=credentials)
    assert await secrets.secret("d", name, key) is None
    if name != "s":
        assert await secrets.secret_keys("d", name) is None


async def test_a_file_changed_is_a_value_changed(folders):
    (folders[0] / "s" / "k").write_text("old")
    secrets = Secrets(directory=folders[0])
    assert await secrets.secret("d", "s", "k") == "old"
    (folders[0] / "s" / "k").write_text("new")
    assert await secrets.secret("d", "s", "k") == "new"


async def test_the_newline_after_a_single_line_is_an_editors(folders):
    for key, text in {"one": "x\n", "none": "x", "pem": "a\nb\n"}.items():
        (folders[0] / "s" / key).write_text(text)
    assert await Secrets(directory=folders[0]).secret_keys("d", "s") == {"one": "x", "none": "x", "pem": "a\nb\n"}


async def test_bytes_that_are_no_text_come_back(folders):
    (folders[0] / "s" / "k").write_bytes(b"\xff\x00\xfe")
    value = await Secrets(directory=folders[0]).secret("d", "s", "k")
    assert os.fsencode(value or "") == b"\xff\x00\xfe"


async def test_an_unreadable_or_huge_value_is_an_error_not_a_missing_one(folders):
    (folders[0] / "s" / "loop").symlink_to("loop")
    (folders[0] / "s" / "huge").write_bytes(bytes(1024 * 1024 + 1))
    secrets = Secrets(directory=folders[0])
    with pytest.raises(SecretMissing, match="cannot be read"):
        await secrets.secret("d", "s", "loop")
    with pytest.raises(SecretMissing, match="larger than 1048576 bytes"):
        await secrets.secret("d", "s", "huge")


async def test_a_missing_value_says_where_it_was_looked_for(folders):
    directory, credentials = folders
    secrets = Secrets(directory=directory, credentials=credentials)
    with pytest.raises(SecretMissing) as caught:
        await secrets.need_secret("team", KeySelector(name="aws", key="id"))
    text = str(caught.value)
    assert text.startswith("secret 'aws' does not have the key 'id'; looked in the Secret documents submitted in namespace team, ")
    assert str(directory / "aws" / "id") in text
    assert str(credentials / "aws.id") in text
    assert await secrets.need_secret("team", KeySelector(name="aws", key="id", optional=True)) is None
    with pytest.raises(SecretMissing, match="configmap 'aws' does not have the key 'id'"):
        await secrets.need_config_map("team", KeySelector(name="aws", key="id"))


async def test_values_are_in_no_repr_log_or_copy(folders, caplog):
    (folders[0] / "s" / "k").write_text(VALUE)
    secrets = Secrets([secret(string_data={"a": VALUE})], directory=folders[0])
    with caplog.at_level(logging.DEBUG):
        assert await secrets.secret("d", "s", "k") == VALUE
        assert await secrets.secret("d", "s", "a") == VALUE
    assert VALUE not in caplog.text
    assert VALUE not in f"{secrets!r} {secrets} {secrets.missing('Secret', 'd', 's', 'k')}"
    for keep in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            keep(secrets)
