import base64
import functools
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser

import nbformat
import pytest
from PIL import Image

from vae_keras import findings, pages, runs, sweep
from vae_keras.findings import Finding
from vae_keras.parameters_test import VALID

NASTY = "a < b & \"c\" </script><img src='http://example.org/x.png'>"
FINDINGS = [
    Finding("More is better", "digits", "holds", "0.5 ± 0.1 against 0.2; seeds: 3", "03_more"),
    Finding("More is better", "photos", "does not hold", "0.1 against 0.2", "03_more"),
    Finding(NASTY, "digits", "undecided", NASTY, "03_more"),
]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (`apt install chromium`)"
)
# Runs in the page, once all is loaded, and tells the page around it what it found.
CHECK = """<script>
addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  const texts = document.querySelectorAll("p, li, pre, td, button, figcaption, .badge");
  const table = document.querySelector("table.sortable");
  const column = index => [...table.tBodies[0].rows].map(row => row.cells[index].textContent);
  const sort = (header, index) => {
    header.firstElementChild.click();
    return [header.getAttribute("aria-sort"), column(index)];
  };
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    too_wide: root.scrollWidth - root.clientWidth,
    images: document.images.length,
    missing: [...document.images].filter(image => !image.naturalWidth).map(image => image.alt),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    smallest: Math.min(...[...texts].map(text => parseFloat(getComputedStyle(text).fontSize))),
    sorts: table ? [...table.tHead.rows[0].cells].map((header, index) =>
      [header.textContent, sort(header, index), sort(header, index)]) : [],
  }), "*");
}, 100));
</script>"""
# Chromium's own window is never narrower than 500 pixels.
FRAME = """<!DOCTYPE html><link rel="icon" href="data:,"><pre id="found"></pre>
<script>addEventListener("message", event => found.textContent = btoa(event.data));</script>
<iframe src="{page}" style="width: {width}px; height: 800px; border: 0"></iframe>"""


def picture(kind="png"):
    buffer = io.BytesIO()
    Image.new("RGB", (900, 200), "teal").save(buffer, kind)
    return buffer.getvalue()


def executed_notebook():
    """A notebook with every kind of output that ours have."""
    encoded = {kind: base64.b64encode(picture(kind)).decode() for kind in ("png", "gif")}
    badge = "[![Open in Colab](https://example.org/badge.svg)](https://example.org/colab)"
    output = functools.partial(nbformat.v4.new_output, "display_data")
    outputs = [
        nbformat.v4.new_output("stream", text="a long line " * 40),
        output({"image/png": encoded["png"], "text/plain": "<Figure>"}),
        output({"image/gif": encoded["gif"], "text/plain": "<Image>"}),
        output({"text/markdown": "On digits **12.5** dB.", "text/plain": "<Markdown>"}),
        output(
            {"text/html": f"<table class='dataframe'><tr>{'<td>123456</td>' * 40}</tr></table>"}
        ),
        output({pages.WIDGET: {"model_id": "1"}, "text/plain": "HBox(children=...)"}),
        output({"text/html": "<script src='http://example.org/x.js'></script>kept"}),
    ]
    cells = [
        nbformat.v4.new_markdown_cell(
            f"# 03 · More\n\n**What does more do?**\n\nIt helps.\n\n{badge}"
        ),
        nbformat.v4.new_markdown_cell("## The curves\n\nSee [04](04_beta.ipynb)."),
        nbformat.v4.new_code_cell("1 < 2 and " + "x" * 200, execution_count=1, outputs=outputs),
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A site of three runs, three findings, one notebook and two figures."""
    monkeypatch.setenv("VAE_KERAS_MODELS", str(tmp_path / "models"))
    measures = {"elbo": -99.96, "psnr": 15.126, "device": "x"}
    for seed, latent_dim in enumerate((16, 2, 128)):
        run = runs.start_run(**{**VALID, "latent_dim": latent_dim, "seed": seed})
        runs.finish_run(run, measures if latent_dim > 2 else {"elbo": -1000.0})
    runs.finish_run(runs.start_run(**sweep.declared_runs("study", "study")[-1]), measures)
    for name, kind in (("03_samples_fashion_mnist", "png"), ("03_growth", "gif"), ("04_x", "png")):
        (runs.images_folder() / f"{name}.{kind}").write_bytes(picture(kind))
    nbformat.write(executed_notebook(), tmp_path / "03_more.ipynb")
    described = pages.describe(tmp_path / "03_more.ipynb", "Images: x.", runs.images_folder())
    table = runs.write_results()
    table.loc[0, "likelihood"] = NASTY
    assert pages.write(tmp_path, table, FINDINGS, [described]) == [
        tmp_path / "index.html",
        tmp_path / "03_more.html",
    ]
    return tmp_path


class Page(HTMLParser):
    """Collects tags and texts of a page, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def loaded(self):
        links = [attributes["href"] for attributes in self.all("link")]
        return links + [attributes["src"] for _, attributes in self.tags if "src" in attributes]


@pytest.mark.parametrize("name", ["index", "03_more"])
def test_pages_load_nothing_from_elsewhere(name, folder):
    page = Page(folder / f"{name}.html")
    assert len(page.all("img")) == 2
    assert all(address.startswith("data:") for address in page.loaded())
    assert all(image["alt"] for image in page.all("img"))
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    assert "@import" not in text and "url(" not in text


def test_index_shows_findings_with_verdict_evidence_and_notebook(folder):
    page = Page(folder / "index.html")
    text = " ".join("".join(page.texts).split())
    assert "Of 3 checks" in text and "1 holds 1 does not hold 1 undecided" in text
    assert text.count("More is better") == 1
    assert "holds digits: 0.5 ± 0.1 against 0.2; seeds: 3" in text.replace(
        "holdsdigits", "holds digits"
    )
    badges = [span["class"] for span in page.all("span") if "badge" in span.get("class", "")]
    assert badges == [f"badge {kind}" for kind in ("holds", "does-not-hold", "undecided")] * 2
    assert {"href": "03_more.html"} in page.all("a")
    assert "What does more do?" in text and "Images: x." in text


def test_what_comes_from_data_is_escaped(folder):
    page = Page(folder / "index.html")
    assert sum(NASTY in text for text in page.texts) == 3  # a statement, its evidence, a cell
    assert len(page.all("script")) == 1


def test_table_has_every_run_and_the_study_first():
    table = runs.pd.DataFrame(
        [
            {"run": "b", **VALID, "psnr": 15.126, "ssim": None},
            {"run": "a", **VALID, "latent_dim": 128, "conditional": True},
            {"run": runs.run_name(run := sweep.declared_runs("study", "study")[0]), **run},
        ]
    )
    columns, rows = pages.table_cells(table)
    headers = [column["header"] for column in columns]
    assert headers[0] == "data set" and headers[-2:] == ["sweep", "folder in models"]
    assert "PSNR (dB)" in headers and "SSIM" not in headers  # no run has it
    texts = [dict(zip(headers, [cell["text"] for cell in row])) for row in rows]
    assert [row["sweep"] for row in texts] == ["study", "other", "other"]
    assert [row["folder in models"] for row in texts[1:]] == ["b", "a"]  # by latent size
    assert [row["PSNR (dB)"] for row in texts] == ["", "15.13", ""]
    assert [row["conditional"] for row in texts] == ["no", "no", "yes"]
    values = dict(zip(headers, [cell["value"] for cell in rows[1]]))
    assert float(values["PSNR (dB)"]) == 15.126
    kinds = {column["header"]: column["kind"] for column in columns}
    assert (kinds["likelihood"], kinds["beta"]) == ("text", "number")


def test_each_sweep_has_its_name():
    names = pages._sweeps()
    for name, budget, label in (
        ("latent_dim", "study", "study"),
        ("study", "full", "study, full"),
        ("quick", "quick", "quick"),
        ("pytorch_example", "quick", "pytorch_example"),
    ):
        for run in sweep.declared_runs(name, budget):
            assert names[runs.run_name(run)] == label


def test_figures_stand_under_their_notebook(folder):
    described = pages.describe(folder / "03_more.ipynb", "", folder / "images")
    captions = [figure["caption"] for figure in described["figures"]]
    assert captions == ["Growth", "Samples fashion_mnist"]
    for figure, kind in zip(described["figures"], ("gif", "png")):
        start, content = figure["source"].split(",")
        assert start == f"data:image/{kind};base64"
        assert base64.b64decode(content) == picture(kind)
    assert described["title"] == "03 · More"
    assert described["question"] == "What does more do?"


def test_notebooks_keep_their_outputs_and_lose_what_needs_a_network(folder):
    page = Page(folder / "03_more.html")
    text = "".join(page.texts)
    for kept in ("a long line", "12.5", "123456", "kept", "Controls, which need", "1 < 2"):
        assert kept in "".join(text.split("\n")) or kept.replace(" ", "") in text
    assert "HBox" not in text and page.all("script") == []
    assert "Open in Colab" in text
    assert [image["alt"] for image in page.all("img")] == ["Figure: The curves"] * 2
    links = [link["href"] for link in page.all("a")]
    assert links[0] == "index.html"
    assert {"https://example.org/colab", "04_beta.html"} <= set(links)


def browse(page, width):
    """Opens a page in Chromium; returns what CHECK found and the lines of the console."""
    checked = page.with_name(f"checked_{page.name}")
    checked.write_text(page.read_text(encoding="utf-8") + CHECK, encoding="utf-8")
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(page=checked.name, width=width), encoding="utf-8")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=20000"]
    command += [f"--user-data-dir={page.parent}/profile", "--window-size=1400,900", frame.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    found = result.stdout.partition('<pre id="found">')[2].partition("</pre>")[0]
    assert found, result.stderr
    return json.loads(base64.b64decode(found)), console


@needs_chromium
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["index", "03_more"])
def test_pages_are_whole_and_fit_in_a_browser(name, width, folder):
    found, console = browse(folder / f"{name}.html", width)
    assert console == []
    assert (found["width"], found["too_wide"]) == (width, 0)
    assert (found["images"], found["missing"], found["requests"]) == (2, [], [])
    assert found["smallest"] >= 12


@needs_chromium
def test_a_click_on_a_header_sorts(folder):
    found, _ = browse(folder / "index.html", 1280)
    sorts = {header: directions for header, *directions in found["sorts"]}
    up, down = sorts["latent size"]
    assert up == ["ascending", sorted(up[1], key=int)]
    assert down == ["descending", up[1][::-1]]
    assert {"2", "16", "128"} <= set(up[1])
    assert [values for _, values in sorts["ELBO (nats/image)"]] == [
        ["-1000.0", "-100.0", "-100.0", "-100.0"],
        ["-100.0", "-100.0", "-100.0", "-1000.0"],
    ]
    for _, values in sorts["PSNR (dB)"]:
        assert values == ["15.13", "15.13", "15.13", ""]  # what is missing is last both times
    names = [values for _, values in sorts["sweep"]]
    assert names == [["other", "other", "other", "study"], ["study", "other", "other", "other"]]


@needs_chromium
def test_the_browser_notices_what_is_wrong(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!DOCTYPE html><body><img src='none.png' alt='gone'><img src='http://127.0.0.1:9/x.png' alt='far'><p style='width: 900px'>wide</p>"
        "<script>console.error('trouble'); nothing();</script>"
    )
    found, console = browse(page, 400)
    assert found["missing"] == ["gone", "far"] and found["too_wide"] > 400
    assert found["requests"] == ["http://127.0.0.1:9/x.png"]
    assert "trouble" in console[0] and "ReferenceError" in console[1]


@needs_chromium
@pytest.mark.parametrize("width", [1280, 400])
def test_the_committed_study_fits(width, tmp_path):
    table = runs.load_results()
    nbformat.write(executed_notebook(), tmp_path / "03_more.ipynb")
    images = runs.images_folder()
    described = [pages.describe(tmp_path / "03_more.ipynb", "", images)]
    pages.write(tmp_path, table, findings.check_all(table), described)
    found, console = browse(tmp_path / "index.html", width)
    assert console == [] and found["missing"] == []
    assert found["images"] == len([*images.glob("03_*.png"), *images.glob("03_*.gif")])
    assert (found["width"], found["too_wide"]) == (width, 0)
