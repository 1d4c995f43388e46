"""When a figure warns or alerts, and what `monitor.json` and MLflow get."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from training.monitoring.findings import (
    MONITOR_VERSION,
    Finding,
    Limit,
    Monitoring,
    Status,
    Topic,
    overall,
    worst,
)


def finding(name: str, status: Status, value: float = 0.3) -> Finding:
    return Finding(name, "match", status, 0.0, 1.0, 100, 50.0, {"psi": Limit(value, 0.01, 0.1, 0.25)})


def monitoring(*findings: Finding) -> Monitoring:
    current = {"queries": 10, "users": 5, "rows": 100, "since": "", "until": "", "rows_in_file": 100, "events": 0}
    reference = current | {"asked": "catalogue", "source": "bundle"}
    return Monitoring("run/bundle", "", "2026-01-01T00:00:00+00:00", reference, current, tuple(findings))


def test_a_distance_counts_only_beyond_chance() -> None:
    assert Limit(0.3, 0.01, 0.1, 0.25).status == "alert"
    assert Limit(0.2, 0.01, 0.1, 0.25).status == "warn"
    assert Limit(0.05, 0.01, 0.1, 0.25).status == "ok"
    assert Limit(0.2, 0.22, 0.1, 0.25).status == "ok"
    assert Limit(0.3, 0.4, 0.1, 0.25).status == "too few"
    assert Limit(0.5, 0.4, 0.1, 0.25).status == "alert"


def test_a_figure_is_as_bad_as_its_worst_distance() -> None:
    assert worst([Limit(0.0, 0.01, 0.1, 0.25), Limit(0.2, 0.01, 0.1, 0.25)]) == "warn"
    assert worst([]) == "too few"


def test_the_whole_is_too_few_only_if_nothing_could_be_judged() -> None:
    assert overall(["too few", "ok"]) == "ok"
    assert overall(["too few", "warn", "alert"]) == "alert"
    assert overall(["too few"]) == "too few"


def test_json_has_its_version_the_status_and_null_for_what_cannot_be_computed() -> None:
    value = json.loads(monitoring(finding("a", "alert"), finding("b", "ok", math.nan)).to_json())
    assert (value["version"], value["status"]) == (MONITOR_VERSION, "alert")
    assert [each["limits"]["psi"]["value"] for each in value["findings"]] == [0.3, None]


def test_metrics_are_named_by_distance_and_figure() -> None:
    found = monitoring(finding("a", "alert"), finding("b", "ok", 0.05))
    assert found.metrics() == {"psi/a": 0.3, "psi/b": 0.05, "warn_findings": 0.0, "alert_findings": 1.0}


def test_the_largest_distance_comes_first() -> None:
    found = monitoring(finding("a", "alert", 0.3), finding("b", "alert", 0.9))
    assert [each.name for each in found.with_status("alert")] == ["b", "a"]


def test_mlflow_follows_the_changes_of_all_topics_and_not_of_one_that_is_named_anew_in_each_call() -> None:
    topics = [Topic(("a",), "A", 9, before, now, (0, 0), 9.0, 9.0, False) for before, now in ((0.2, 0.5), (0.8, 0.5))]
    found = replace(monitoring(replace(finding("topic: a", "ok"), group="topics")), topics=tuple(topics))
    metrics = found.metrics()
    assert abs(metrics["topics/largest_change"] - 0.3) < 1e-12
    assert abs(metrics["topics/moved_share"] - 0.3) < 1e-12
    assert not any("topic: a" in name for name in metrics)
    assert json.loads(found.to_json())["topics"][0]["words"] == ["a"]
