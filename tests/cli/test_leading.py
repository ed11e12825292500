"""Options that ask which daemon may stand before the command, as argo's may."""

import pytest

from tiphys.cli.leading import moved


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-n team list", "list -n team"),
        ("--namespace=team -k list -o json", "list -o json --namespace=team -k"),
        ("-nteam logs @latest -- -x", "logs @latest -nteam -- -x"),
        ("--argo-server h:1 -e template list", "template list --argo-server h:1 -e"),
        ("list -n team", "list -n team"),
        ("-n", "-n"),
        ("-n team", "-n team"),
        ("-n team --help", "-n team --help"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_before_and_behind(typed: str, meant: str) -> None:
    assert " ".join(moved(typed.split())) == meant
