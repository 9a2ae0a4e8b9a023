"""Checks the form of the notebooks: what each must have, and what none may do."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from vae_keras.study import sweeps
from vae_keras.study.parameters import ALL_PARAMETERS, BEYOND, PARAMETERS, check_parameters

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_LINES = 15


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def repository():
    project = (FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^Repository = "(.+)"$', project, flags=re.MULTILINE).group(1)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python(cell):
    """Returns the cell's source with IPython magics replaced by `pass`."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)


def test_there_are_notebooks():
    stems = {path.stem for path in NOTEBOOKS}
    assert {"01_datasets", "02_train_vae", "03_latent_dim", "04_beta"} <= stems
    assert {"05_datasets_and_losses", "06_latent_space"} <= stems


def test_format_is_valid_and_ids_are_unique(notebook):
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_outputs_are_stripped(notebook):
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}


def test_first_cell_has_title_question_and_badge(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    lines = [line for line in first.source.splitlines() if line]
    assert lines[0].startswith(f"# {path.stem[:2]} ")
    assert lines[1].startswith("**") and lines[1].endswith("?**")
    address = repository().replace(
        "https://github.com/", "https://colab.research.google.com/github/"
    )
    assert f"]({address}/blob/main/notebooks/{path.name})" in first.source


def test_every_address_of_the_repository_is_that_of_pyproject(path):
    owner = repository().removeprefix("https://github.com/")
    found = re.findall(r"github(?:\.com)?/([\w.-]+/vae-keras)", path.read_text())
    assert found and set(found) == {owner}


def test_first_code_cell_installs_on_colab_only(notebook):
    source = code_cells(notebook)[0].source
    assert source == (
        'import sys\n\nif "google.colab" in sys.modules:\n'
        f"    !git clone -q {repository()} /content/vae-keras\n"
        "    %cd -q /content/vae-keras\n"
        "    %pip install -q .[study]"
    )


def test_last_cell_says_what_this_does_not_show(notebook):
    assert notebook.cells[-1].cell_type == "markdown"
    assert notebook.cells[-1].source.startswith("## What this does not show")


def test_tensorflow_starts_quietly_where_models_run(notebook):
    imports = [
        line
        for cell in code_cells(notebook)[1:]
        for line in cell.source.splitlines()
        if re.match(r"(import|from) ", line)
    ]
    if any("keras.evaluation" in line or "keras.vae " in line for line in imports):
        assert imports[0] == "from vae_keras import runtime"


def test_one_cell_is_tagged_parameters_and_holds_literals(notebook):
    tagged = [
        cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])
    ]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"[a-z_]+ = [^=#]+  # [^=]+", line), line
        ast.literal_eval(line.partition(" = ")[2])


def test_code_cells_are_short_and_define_nothing(notebook):
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        # Imports and parameters take one line each.
        single = "parameters" in cell.metadata.get("tags", []) or "import " in lines[0]
        assert single or len(lines) <= MAX_LINES, cell.source
        assert max(map(len, lines)) <= 100
        nodes = list(ast.walk(ast.parse(python(cell))))
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in nodes)


def test_every_imported_name_is_used(notebook):
    trees = [ast.parse(python(cell)) for cell in code_cells(notebook)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {node.id for node in nodes if isinstance(node, ast.Name)}


def test_prose_has_no_measured_number(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.findall(r"\d+\.\d+(?! ·)(?=\s*(?:nats|dB|%|bits))|\d+\s*(?:nats|dB)\b", prose)


def test_nothing_depends_on_the_working_directory(notebook):
    for cell in code_cells(notebook):
        assert not re.search(r"""chdir|getcwd|["'](?:\.\.?/|models/|images/)""", cell.source)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [(sweeps.NOTEBOOK, PARAMETERS), (sweeps.NOTEBOOK_BEYOND, ALL_PARAMETERS)],
)
def test_training_notebooks_have_the_parameters_of_a_run(path, parameters):
    found = papermill.inspect_notebook(str(path))
    assert tuple(found) == parameters
    defaults = {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}
    assert {**BEYOND, **check_parameters(**defaults)}.items() >= defaults.items()
    assert all(entry["help"] for entry in found.values())


def test_notebooks_show_the_budget_that_is_finished():
    for path in NOTEBOOKS:
        budget = papermill.inspect_notebook(str(path)).get("budget")
        if budget:
            assert ast.literal_eval(budget["default"]) == sweeps.SHOWN_BUDGET
