"""Fixtures that many tests share, and the environment that all of them run in (also under a bare `pytest`)."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Before anything imports the libraries that read these. Set, not defaulted: a test run is the same everywhere.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    GIT_PYTHON_REFRESH="quiet",
    RAY_USAGE_STATS_ENABLED="0",
    MPLBACKEND="Agg",
    OMP_WAIT_POLICY="PASSIVE",
)
if not Path("/dev/nvidiactl").exists():  # kernels run in Triton's interpreter where there is no GPU
    os.environ["TRITON_INTERPRET"] = "1"
for name in [name for name in os.environ if name.startswith("MLFLOW_") and name.endswith(("_URI", "_ID", "_NAME"))]:
    del os.environ[name]

import pytest  # noqa: E402 - after the environment
from hypothesis import settings  # noqa: E402

from services import missing_in_ci  # noqa: E402

if TYPE_CHECKING:
    import torch

    from s3_server import S3

# The first example of a property pays for imports and caches, so a deadline would measure those. On CI the examples are
# fixed, elsewhere they are drawn anew and a failure prints how to repeat it.
settings.register_profile("recmem", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("recmem")

_skips: Counter[str] = Counter()
"""Reasons for which tests, or whole files, were skipped in this run."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skip's longrepr is (file, line, "Skipped: reason"); an expected failure has another form.
    if report.skipped and isinstance(report.longrepr, tuple):
        _skips[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be missing that can be installed: such a skip fails the run."""
    if os.environ.get("CI") and missing_in_ci(_skips) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped, and what to install for it."""
    if not _skips:
        return
    terminalreporter.section("not run on this machine")
    for reason, n in _skips.most_common():
        terminalreporter.write_line(f"{n} skipped: {reason}")
    if os.environ.get("CI"):
        for reason in missing_in_ci(_skips):
            terminalreporter.write_line(f"CI fails: {reason}", red=True)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="session", params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that a numeric test runs on: the CPU always, CUDA where there is one."""
    return _device(request.param)


@pytest.fixture(scope="session", params=DEVICES)
def triton_device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that Triton's kernels run on: CUDA where there is one, else the CPU, in Triton's interpreter."""
    device = _device(request.param)
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton's interpreter is off on a machine with a GPU")
    return device


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)


@dataclass(frozen=True)
class IsolatedMlflow:
    """An MLflow server's worth of state that belongs to one test."""

    tracking_uri: str
    artifact_root: Path
    experiment_id: str


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with MLflow's migrations done: they take 2 s, a copy of the file takes none."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "template.db"
    uri = f"sqlite:///{path}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments()
    client.search_registered_models()
    return path


@pytest.fixture
def isolated_mlflow(mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedMlflow]:
    """Tracking, registry and artifacts in `tmp_path`, for this process and for those that it starts."""
    import mlflow

    uri = f"sqlite:///{shutil.copy(mlflow_template, tmp_path / 'mlflow.db')}"
    artifact_root = tmp_path / "artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # set_experiment writes this variable, too: known to monkeypatch before, it is taken back after the test.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    # The experiment "Default" of a new database keeps its artifacts in the working folder.
    experiment_id = mlflow.create_experiment("test", artifact_location=artifact_root.as_uri())
    mlflow.set_experiment(experiment_id=experiment_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    yield IsolatedMlflow(uri, artifact_root, experiment_id)
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture(scope="module")
def s3_of_module() -> Iterator[S3]:
    """A server that speaks S3, for the tests of one module."""
    from s3_server import running

    with running() as server:
        yield server


@pytest.fixture
def s3(s3_of_module: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """That server, with its address and credentials in the environment."""
    for name, value in s3_of_module.environment.items():
        monkeypatch.setenv(name, value)
    return s3_of_module


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server that the whole run shares: give memories a name of their own."""
    from redis_server import free_port, running

    port = free_port()
    with running(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}/0"
