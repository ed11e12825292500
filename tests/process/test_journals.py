"""What the launcher keeps of attempts that ended, held against real files."""

import shutil

from tiphys.launching.journals import Journals, encode


def ended(journals: Journals, group: str, id_: str) -> None:
    journals.conclude(group, id_, encode({"told": "ended", "id": id_, "code": 0}))


def test_what_is_remembered_of_a_run_goes_with_it_though_its_folder_went_first(tmp_path):
    journals = Journals(str(tmp_path))
    for run in "ab":
        for number in range(3):
            ended(journals, run, f"{run}/n{number}/0")
    journals.settle()
    shutil.rmtree(tmp_path / "a")  # the daemon deletes it, and may be quicker than its word to us
    journals.forget_run("a")
    assert (list(journals.past), list(journals.recent)) == (["b"], [f"b/n{number}/0" for number in range(3)])
    assert journals.ended("a/n0/0") is None
    assert not journals.has_ended("a", "a/n0/0")


def test_an_end_is_found_in_the_journal_once_it_is_none_of_the_last(tmp_path):
    journals = Journals(str(tmp_path))
    ended(journals, "a", "a/n/0")
    journals.recent.clear()
    for group in ("a", ""):
        assert journals.ended("a/n/0", group) == encode({"told": "ended", "id": "a/n/0", "code": 0})
    journals.forget("a/n/0", "a")
    assert journals.ended("a/n/0") is None
    assert not journals.past
