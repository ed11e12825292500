"""Custom metrics added up and shown in Prometheus' text format."""

from datetime import UTC, datetime, timedelta

from tiphys.engine.measures import Measures
from tiphys.scheduler.decision import Sample

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sample(kind: str, value: float = 0.0, **fields) -> Sample:
    return Sample(**{"key": "n", "name": "m", "kind": kind, "help": "says \\ what\nit is", "value": value, **fields})


def lines(*samples: Sample, now: datetime = NOW) -> list[str]:
    measures = Measures()
    for one in samples:
        assert measures.add(one) == ""
    return measures.text(now).splitlines()


def test_counters_add_up_for_each_set_of_labels() -> None:
    said = lines(sample("counter", 1, labels={"b": 'x"y', "a": "1"}), sample("counter", 2.5, labels={"a": "1", "b": 'x"y'}))
    assert said == [
        "# HELP argo_workflows_m says \\\\ what\\nit is",
        "# TYPE argo_workflows_m counter",
        'argo_workflows_m{a="1",b="x\\"y"} 3.5',
    ]


def test_gauges_are_set_added_to_and_subtracted_from() -> None:
    assert lines(sample("gauge", 5, operation="Set"), sample("gauge", 2, operation="Add"), sample("gauge", 4, operation="Sub"))[-1] == (
        "argo_workflows_m 3"
    )


def test_a_realtime_gauge_counts_until_its_end() -> None:
    begun = sample("gauge", operation="Set", since=NOW - timedelta(seconds=7.5))
    assert lines(begun)[-1] == "argo_workflows_m 7.5"
    assert lines(begun, sample("gauge", 9, operation="Set"), now=NOW + timedelta(hours=1))[-1] == "argo_workflows_m 9"


def test_histograms_count_into_buckets() -> None:
    assert lines(*(sample("histogram", value, buckets=(10, 1)) for value in (0.5, 5, 50)))[2:] == [
        'argo_workflows_m_bucket{le="1"} 1',
        'argo_workflows_m_bucket{le="10"} 2',
        'argo_workflows_m_bucket{le="+Inf"} 3',
        "argo_workflows_m_sum 55.5",
        "argo_workflows_m_count 3",
    ]


def test_one_name_is_one_metric() -> None:
    measures = Measures()
    assert measures.add(sample("counter", 1)) == ""
    for other in (sample("gauge", 1), sample("counter", 1, help="other"), sample("counter", 1, labels={"a": "b"})):
        assert "metric 'm' is there already" in measures.add(other)
    assert measures.text(NOW).splitlines()[-1] == "argo_workflows_m 1"
