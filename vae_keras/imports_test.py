"""Holds the library to its arrows: which module may import which, and what must stay out."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
# The leaves below both halves say what data sets and parameters are; they need NumPy at most.
ARROWS = {
    "__init__": set(),
    "datasets": set(),
    "parameters": {"datasets"},
    "sources": {"datasets", "parameters"},
    # the TensorFlow half
    "runtime": set(),
    "losses": set(),
    "layers": set(),
    "networks": {"layers", "parameters"},
    "vae": {"losses", "layers", "networks", "parameters"},
    "data": {"sources", "datasets", "parameters", "runtime"},
    "measures": set(),
    "features": set(),
    "codes": {"losses"},
    "evaluation": {"codes", "features", "measures"},
    "fid": {"data", "evaluation", "features", "sources"},
    "callbacks": {"evaluation", "measures"},
    "bench_torch": set(),
    "bench_worker": {"runtime", "data", "networks", "vae", "bench_torch"},
    # the files half
    "latent": set(),
    "plotting": set(),
    "charts": {"plotting"},
    "comparisons": {"charts", "plotting"},
    "animation": {"charts", "plotting"},
    "explorer": {"plotting"},
    "bench_training": set(),
    "bench_runs": {"bench_training", "execution", "launch", "runs", "sweep"},
    "bench": {"bench_training", "bench_runs", "runs", "plotting"},
    "runs": {"parameters"},
    "execution": {"runs"},
    "sweep": {"runs", "datasets", "parameters"},
    "launch": {"execution", "sweep", "runs", "sources", "datasets", "parameters"},
    "tables": {"parameters"},
    "claims": {"sweep"},
    "references": {"sweep", "runs"},
    "findings": {"claims", "sweep", "runs", "tables"},
    "pages": {"findings", "tables", "runs", "sweep", "datasets", "parameters"},
    "site": {"pages", "findings", "execution", "launch", "runs", "sweep"},
    "report": {
        *("bench", "findings", "references", "tables", "runs", "sweep", "plotting"),
        "comparisons",
    },
}
WITHOUT_TENSORFLOW = (
    *("datasets", "parameters", "sources", "latent", "explorer"),
    *("plotting", "charts", "comparisons", "animation"),
    *("runs", "execution", "sweep", "launch"),
    *("tables", "claims", "references", "findings", "pages", "site", "report"),
    *("bench", "bench_runs", "bench_training"),
)


def imported_modules(path):
    """Names of our modules that a file imports, at its top or inside a function."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names if name.startswith("vae_keras.")]
        modules |= {part[1] for part in parts}
    return modules


def module_files():
    tests = ("_test.py", "conftest.py")
    return [path for path in sorted(FOLDER.glob("*.py")) if not path.name.endswith(tests)]


def test_every_module_is_drawn():
    assert {path.stem for path in module_files()} == set(ARROWS)


@pytest.mark.parametrize("path", module_files(), ids=lambda path: path.stem)
def test_modules_follow_the_arrows(path):
    assert imported_modules(path) <= ARROWS[path.stem]


def test_arrows_that_nobody_follows_are_not_drawn():
    drawn = {path.stem: imported_modules(path) for path in module_files()}
    assert drawn == ARROWS


@pytest.mark.parametrize("path", module_files(), ids=lambda path: path.stem)
def test_modules_have_a_test_beside_them(path):
    tested = path.with_name(f"{path.stem}_test.py").exists()
    assert tested or path.stem == "__init__"


@pytest.mark.parametrize("path", module_files(), ids=lambda path: path.stem)
def test_library_code_asserts_nothing_and_places_nothing(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert not [node.lineno for node in attributes if ast.unparse(node) == "tf.device"]


def loaded_after(code):
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return set(result.stdout.split())


def test_the_package_alone_loads_nothing():
    assert not {"tensorflow", "keras", "matplotlib", "numpy"} & loaded_after("import vae_keras")


def test_the_files_half_never_loads_tensorflow():
    modules = ", ".join(f"vae_keras.{name}" for name in WITHOUT_TENSORFLOW)
    assert not {"tensorflow", "keras"} & loaded_after(f"import {modules}")


def test_starting_tensorflow_is_silent():
    code = "from vae_keras import runtime; runtime.configure(); runtime.tf.ones(3) + 1"
    assert "tensorflow" in loaded_after(code)
