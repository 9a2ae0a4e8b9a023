"""From the table, the findings, the figures and executed notebooks to HTML that loads nothing."""

import base64
import html
import re
from pathlib import Path

import jinja2
import nbformat
import pandas as pd
from bs4 import BeautifulSoup
from markupsafe import Markup
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from vae_keras import runs, sweep
from vae_keras.datasets import DATASETS
from vae_keras.findings import FAILS, HOLDS, UNDECIDED
from vae_keras.parameters import SWITCHES
from vae_keras.tables import COLUMNS, SHOWN_PARAMETERS, format_value

TEMPLATE = Path(__file__).with_name("site_template.html")
HEADERS = {
    **{name: COLUMNS[name] for name in SHOWN_PARAMETERS},
    "seed": "seed",
    **COLUMNS,
    "train_fraction": "share of images",
    "sweep": "sweep",
    "run": "folder in models",
}
TEXTS = ("sweep", "dataset", "likelihood", "architecture", *SWITCHES, "run")
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "*(Controls, which need a running notebook.)*"


def write(folder, table, checked, notebooks):
    """Writes `index.html` and a page for each notebook.

    Args:
        folder: where to write them.
        table: `pandas.DataFrame` of `runs.load_results`.
        checked: list of `findings.Finding`.
        notebooks: list of what `describe` returns.

    Returns:
        List of the paths.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    grouped = {}
    for finding in checked:
        statements = grouped.setdefault(finding.notebook, {})
        statements.setdefault(finding.statement, []).append(finding)
    verdicts = [finding.verdict for finding in checked]
    columns, rows = table_cells(table)
    written = [folder / "index.html"]
    index = template.render(
        notebook=None,
        notebooks=notebooks,
        findings=grouped,
        titles={notebook["stem"]: notebook["title"] for notebook in notebooks},
        counts={verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, UNDECIDED)},
        columns=columns,
        rows=rows,
    )
    written[0].write_text(index, encoding="utf-8")
    highlighting = Markup(HtmlFormatter(nobackground=True).get_style_defs(".highlight"))
    for notebook in notebooks:
        written.append(folder / f"{notebook['stem']}.html")
        page = template.render(notebook=notebook, highlighting=highlighting)
        written[-1].write_text(page, encoding="utf-8")
    return written


def table_cells(table):
    """Lays out every finished run, those of the study first.

    Args:
        table: `pandas.DataFrame` of `runs.load_results`.

    Returns:
        Pair of the columns, dicts with `header` and `kind` ("number" or "text"), and of the rows,
        lists of dicts with `text`, what is shown, and `value`, by which is sorted.
    """
    sweeps = _sweeps()
    table = table.assign(sweep=[sweeps.get(run, "other") for run in table["run"]])
    table = table.sort_values([*SHOWN_PARAMETERS, "seed"])
    table = table.sort_values("sweep", key=lambda names: names != "study", kind="stable")
    shown = [name for name in HEADERS if name in table and table[name].notna().any()]
    columns = [
        {"header": HEADERS[name], "kind": "text" if name in TEXTS else "number"} for name in shown
    ]
    rows = [[_cell(name, row[name]) for name in shown] for _, row in table.iterrows()]
    return columns, rows


def _sweeps():
    """Dict from run to the name of the sweep that declares it."""
    others = [(name, "quick") for name in sweep.SWEEPS if name not in ("study", *sweep.STUDY)]
    names = {}
    for name, budget in (("study", "study"), *others, ("study", "quick"), ("study", "full")):
        label = name if (name, budget) in (("study", "study"), *others) else f"{name}, {budget}"
        for substitute in (False, True):
            for run in sweep.declared_runs(name, budget, substitute):
                names.setdefault(runs.run_name(run), label)
    return names


def _cell(column, value):
    if pd.isna(value):
        return {"text": "", "value": ""}
    text = f"{value:g}" if column == "train_fraction" else format_value(column, value)
    return {"text": text, "value": text if column in TEXTS else f"{value:.6g}"}


def describe(path, data, images):
    """Says of an executed notebook what the pages show of it.

    Args:
        path: the executed notebook.
        data: sentence on the data it was executed with.
        images: folder with its figures, whose names begin with its number.

    Returns:
        Dict of `stem`, `title`, `question`, `data`, `body` (HTML) and `figures`, dicts of a
        `source` and a `caption`.
    """
    notebook = nbformat.read(path, as_version=4)
    title, question = [line for line in notebook.cells[0].source.splitlines() if line][:2]
    number = path.stem.partition("_")[0]
    figures = sorted(file for kind in ("png", "gif") for file in images.glob(f"{number}_*.{kind}"))
    return {
        "stem": path.stem,
        "title": title.lstrip("# "),
        "question": question.strip("*"),
        "data": data,
        "body": Markup(to_html(notebook)),
        "figures": [{"source": _data_uri(file), "caption": caption(file.stem)} for file in figures],
    }


def caption(stem):
    """Makes a caption of the name of a figure's file; names of data sets stay as they are."""
    text = stem.partition("_")[2].replace("_", " ")
    for name in DATASETS:
        text = text.replace(name.replace("_", " "), name)
    return text[:1].upper() + text[1:]


def _data_uri(path):
    content = base64.b64encode(path.read_bytes()).decode()
    return f"data:image/{path.suffix[1:]};base64,{content}"


def to_html(notebook):
    """Renders a notebook as HTML that loads nothing and runs no scripts.

    Args:
        notebook: `nbformat.NotebookNode`, executed; it is changed.

    Returns:
        The HTML of its cells, without a page around them.
    """
    heading = ""
    for cell in notebook.cells:
        if cell.source.startswith("#") and cell.cell_type == "markdown":
            heading = cell.source.splitlines()[0].lstrip("# ")
        cell.metadata["alt"] = f"Figure: {heading}"
        for output in cell.get("outputs", []):
            _prepare(output, cell.metadata["alt"])
    exporter = HTMLExporter(
        template_name="basic",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config({"CoalesceStreamsPreprocessor": {"enabled": True}}),
    )
    body, _ = exporter.from_notebook_node(notebook)
    soup = BeautifulSoup(body, "html.parser")
    for tag in soup(["script", "link", "iframe"]):
        tag.decompose()
    for image in soup("img", src=re.compile("^(?!data:)")):  # a badge
        image.replace_with(image.get("alt", ""))
    for link in soup("a", href=re.compile(r"^\w+\.ipynb")):
        link["href"] = link["href"].replace(".ipynb", ".html", 1)
    return str(soup)


def _prepare(output, alt):
    """Replaces the kinds of output that nbconvert cannot render without a network."""
    data = output.get("data", {})
    if WIDGET in data:
        output["data"] = {"text/markdown": WIDGET_NOTE}
    elif "image/gif" in data:
        source = f"data:image/gif;base64,{data['image/gif'].strip()}"
        data["text/html"] = f'<img src="{html.escape(source)}" alt="{html.escape(alt)}">'
