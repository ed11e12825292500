"""`tiphysd token`, and what `tiphysd check` says of the ways in over the network."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.care.test_commands import Machine, run
from tests.certified import certified


@pytest.fixture
def configured(tmp_path):
    """What gives a machine with these settings of the server."""
    (tmp_path / "state").mkdir(mode=0o700)

    def make(**server):
        lines = "".join(f"  {name}: {value}\n" for name, value in server.items())
        file = tmp_path / "settings.yaml"
        file.write_text(f"state_directory: {tmp_path / 'state'}\ndaemon: {{socket: {tmp_path / 'api.sock'}}}\nserver:\n{lines}")
        return Machine(tmp_path, file)

    return make


def findings(machine, capsys):
    """What check says of the network, the certificate and the tokens."""
    _, out, _ = run(machine, capsys, "check")
    return [line for line in out.splitlines() if re.match(r"(ok|warning|error) +(network|certificate|tokens|server\.)", line)]


def test_a_token_is_printed_once_and_listed_by_its_name(configured, capsys):
    machine = configured()
    assert run(machine, capsys, "token", "list")[:2] == (0, "No tokens found\n")
    code, out, err = run(machine, capsys, "token", "create", "--scope", "read", "--name", "ci", "--expires", "2h")
    assert code == 0
    assert out.startswith("tiphys_")
    assert len(out.splitlines()) == 1
    assert "ci: scope read, expires " in err
    code, out, err = run(machine, capsys, "token", "create", "--scope", "admin")
    assert "never expires; it is shown only now" in err
    listed = run(machine, capsys, "token", "list")[1].splitlines()
    assert [line.split()[1] for line in listed] == ["SCOPE", "read", "admin"]
    assert run(machine, capsys, "token", "revoke", "ci")[:2] == (0, "ci: revoked\n")
    assert run(machine, capsys, "token", "revoke", "ci") == (1, "", "tiphysd: there is no token 'ci'\n")


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "1y", "1.5h"])
def test_a_duration_is_a_number_and_a_unit(configured, capsys, text):
    code, out, err = run(configured(), capsys, "token", "create", "--scope", "read", f"--expires={text}")
    assert (code, out) == (2, "")
    assert f"{text!r} is no duration" in err


def test_an_unknown_scope_is_bad_usage(configured, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(configured(), capsys, "token", "create", "--scope", "root")


def test_tokens_are_where_the_setting_says(configured, capsys, tmp_path):
    machine = configured(tokens_file=tmp_path / "elsewhere.json")
    run(machine, capsys, "token", "create", "--scope", "read")
    assert (tmp_path / "elsewhere.json").exists()
    assert not (tmp_path / "state" / "tokens.json").exists()


def test_a_good_way_in_is_said_to_be_good(configured, capsys, tmp_path):
    files = certified(tmp_path)
    machine = configured(listen="127.0.0.1:2746", tls_certificate=files.chain, tls_key=files.key)
    assert findings(machine, capsys) == ["ok       network: 127.0.0.1:2746, over TLS"]
    assert findings(configured(), capsys) == []
    assert findings(configured(listen="'127.0.0.1:2746, [::1]:2746'"), capsys) == [
        "ok       network: 127.0.0.1:2746, [::1]:2746, without TLS"
    ]
    (line,) = findings(configured(listen="nowhere"), capsys)
    assert line.startswith("error    server.listen: 'nowhere' is no address")


@pytest.mark.parametrize(
    ("days", "said"),
    [(-3, "error    certificate {chain}: it expired 3 days ago"), (5, "warning  certificate {chain}: it expires in 4 days"), (60, "")],
)
def test_a_certificate_that_expires_is_told_of_in_time(configured, capsys, tmp_path, days, said):
    files = certified(tmp_path, until=datetime.now(UTC) + timedelta(days=days, hours=1 if days < 0 else 0))
    machine = configured(listen="127.0.0.1:2746", tls_certificate=files.chain, tls_key=files.key)
    line = findings(machine, capsys)[0]
    assert line == said.format(chain=files.chain) or (not said and line.startswith("ok  "))


def test_a_certificate_that_is_no_good_is_told_of(configured, capsys, tmp_path):
    files = certified(tmp_path)
    machine = configured(listen="127.0.0.1:2746", tls_certificate=files.chain, tls_key=tmp_path / "none")
    assert findings(machine, capsys)[0].startswith(f"error    certificate: {tmp_path / 'none'}: not there, or ")
    files.key.chmod(0o644)
    machine = configured(listen="127.0.0.1:2746", tls_certificate=files.chain, tls_key=files.key)
    assert findings(machine, capsys)[0] == f"warning  certificate: everybody on this machine may read the key {files.key}"
    files.key.write_text("nothing")
    files.key.chmod(0o600)
    assert findings(machine, capsys)[0].startswith("error    server.tls_certificate")


def test_tokens_that_others_may_read_or_nobody_can_are_told_of(configured, capsys, tmp_path):
    machine = configured(listen="127.0.0.1:2746")
    run(machine, capsys, "token", "create", "--scope", "read")
    path = tmp_path / "state" / "tokens.json"
    path.chmod(0o644)
    assert findings(machine, capsys)[0] == f"warning  tokens {path}: others may read or change it (mode 644)"
    path.chmod(0o600)
    path.write_text("nothing")
    assert findings(machine, capsys)[0].startswith(f"error    tokens: {path} does not hold tokens")
