"""Mistakes in the setting `notifications` are told before they lose a notification."""

import pytest

from tiphys.notices import checking
from tiphys.settings import NotificationEntry

TOPIC = "arn:aws:sns:eu-west-1:123456789012:news"


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "https://example.com/hook?x=1", "token_secret": ("a", "b")},
        {"url": "http://[::1]:8080"},
        {"topic": TOPIC},
        {"topic": "arn:aws-cn:sns:cn-north-1:123456789012:news.fifo", "endpoint": "http://localhost:4566", "region": "cn-north-1"},
        {"queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/q", "access_key_secret": ("a", "b"), "secret_key_secret": ("a", "c")},
        {"function": "told"},
        {"function": "told:live"},
        {"function": "123456789012:function:told"},
        {"function": "arn:aws:lambda:eu-west-1:123456789012:function:told:$LATEST"},
        {"command": ("mail", "-s", "", "ops"), "phases": ("Pending", "Running", "Succeeded", "Failed", "Error")},
        {"command": ("x",), "selector": "a in (b),!c", "namespaces": ("default",)},
    ],
)
def test_what_is_right_is_not_blamed(fields: dict) -> None:
    assert checking.findings({"ops": NotificationEntry(**fields)}) == []


@pytest.mark.parametrize(
    ("fields", "beginnings"),
    [
        ({}, ["notifications.ops: gives none of url, topic, queue, function, command"]),
        (
            {"url": "http://h", "topic": TOPIC, "command": ("x",)},
            ["notifications.ops.topic: is given", "notifications.ops.command: is given"],
        ),
        ({"url": "example.com/hook"}, ["notifications.ops.url: must be a URL"]),
        ({"url": "ftp://example.com"}, ["notifications.ops.url: must be a URL"]),
        ({"url": "http://"}, ["notifications.ops.url: must be a URL"]),
        ({"url": "http://h:99999"}, ["notifications.ops.url: must be a URL"]),
        ({"topic": "news"}, ["notifications.ops.topic: must be a topic's ARN"]),
        ({"topic": "arn:aws:sqs:eu-west-1:123456789012:q"}, ["notifications.ops.topic: must be a topic's ARN"]),
        ({"queue": "q"}, ["notifications.ops.queue: must be a URL"]),
        ({"function": "a b"}, ["notifications.ops.function: must be a function's name or ARN"]),
        ({"function": "f", "endpoint": "localhost:1"}, ["notifications.ops.endpoint: must be a URL"]),
        ({"command": ("", "x")}, ["notifications.ops.command: its first item"]),
        (
            {"command": ("x",), "phases": ("failed",)},
            ['notifications.ops.phases: there is no phase "failed"; known phases: Pending, Running'],
        ),
        ({"command": ("x",), "phases": ("Skipped",)}, ['notifications.ops.phases: there is no phase "Skipped"']),
        ({"command": ("x",), "phases": ()}, ["notifications.ops.phases: is empty"]),
        ({"command": ("x",), "namespaces": ("",)}, ["notifications.ops.namespaces: holds an empty name"]),
        ({"command": ("x",), "selector": "a=b c"}, ["notifications.ops.selector: column 5: found 'c'"]),
        ({"command": ("x",), "timeout_seconds": 0}, ["notifications.ops.timeout_seconds: must be more than 0"]),
        ({"command": ("x",), "give_up_seconds": 0}, ["notifications.ops.give_up_seconds: must be more than 0"]),
        ({"command": ("x",), "region": "r"}, ["notifications.ops.region: is for topic, queue and function only"]),
        ({"topic": TOPIC, "token_secret": ("a", "b")}, ["notifications.ops.token_secret: is for a url only"]),
        ({"topic": TOPIC, "access_key_secret": ("a", "b")}, ["notifications.ops.secret_key_secret: access_key_secret and"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(fields: dict, beginnings: list[str]) -> None:
    found = checking.findings({"fine": NotificationEntry(command=("x",)), "ops": NotificationEntry(**fields)})
    assert len(found) == len(beginnings), found
    for line, beginning in zip(found, beginnings, strict=True):
        assert line.startswith(beginning)
        assert "\n" not in line
