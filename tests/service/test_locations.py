"""The daemon and its clients find the same socket."""

from pathlib import Path

import pytest

from tiphys.service import locations
from tiphys.settings import DaemonSettings

HOME = Path("/home/jason")


@pytest.mark.parametrize(
    ("setting", "environ", "root", "path"),
    [
        ("/srv/t.sock", {"RUNTIME_DIRECTORY": "/run/tiphys"}, True, "/srv/t.sock"),
        ("", {"RUNTIME_DIRECTORY": "/run/tiphys:/run/more", "XDG_RUNTIME_DIR": "/run/user/7"}, False, "/run/tiphys/api.sock"),
        ("", {"XDG_RUNTIME_DIR": "/run/user/0"}, True, "/run/tiphys/api.sock"),
        ("", {"XDG_RUNTIME_DIR": "/run/user/7"}, False, "/run/user/7/tiphys/api.sock"),
        ("", {"XDG_RUNTIME_DIR": "relative", "XDG_STATE_HOME": "/state"}, False, "/state/tiphys/api.sock"),
        ("", {}, False, "/home/jason/.local/state/tiphys/api.sock"),
    ],
)
def test_the_socket_is_where_settings_and_environment_say(setting, environ, root, path):
    assert locations.socket_path(DaemonSettings(socket=setting), environ, HOME, root=root) == Path(path)


def test_a_client_without_a_daemon_of_its_own_asks_the_systems(tmp_path, monkeypatch):
    system = tmp_path / "system" / "api.sock"
    monkeypatch.setattr(locations, "SYSTEM_SOCKET", system)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "user")}
    own = tmp_path / "user" / "tiphys" / "api.sock"

    def found(setting: str = "") -> Path:
        return locations.client_socket_path(DaemonSettings(socket=setting), environ, HOME, root=False)

    assert found() == own
    system.parent.mkdir()
    assert found() == system
    assert found("/srv/t.sock") == Path("/srv/t.sock")
    own.parent.mkdir(parents=True)
    own.touch()
    assert found() == own
