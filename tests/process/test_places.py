"""Names and directories of attempts."""

from tiphys.executors.process import places


def test_names_of_attempts_stay_apart():
    ids = [
        "u/a/0",
        "u/a/1",
        "u/a.0/1",
        "u/a",
        "u",
        "../x/0",
        "u/../../x/0",
        "u/" + "n" * 300 + "/0",
        "u/" + "n" * 301 + "/0",
        "u/é/0",
        "u/e/0",
        "/a/0",
        "",
    ]
    found = [places.place(one) for one in ids]
    assert len({(place.group, place.key) for place in found}) == len(ids)
    assert all("/" not in name and 0 < len(name) < 200 and not name.startswith(".") for place in found for name in (place.group, place.key))
