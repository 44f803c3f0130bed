"""Reports of a study: what they say is what the rows say, in every form."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.wire.study import Study
from controller.errors import ControllerError
from controller.report import drawing as charts
from controller.report.beside import side_by_side
from controller.report.charts import charts as charts_of
from controller.report.facts import reasons
from controller.report.files import as_csv, as_markdown
from controller.report.page import as_html
from controller.report.rows import COLUMNS, entries
from controller.report.rows import number as figure
from tests.controller import shapes
from tests.controller.conftest import controller, run_inside
from tests.controller.studies import ORIGINAL, Told, measured, recipe, rows, study, unmeasured

ROOT = Path(__file__).parents[2]
FETCHING = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Page(HTMLParser):
    """What a browser would fetch, and the texts of cells and pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.alternatives: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in FETCHING]
        self.alternatives += [value or "" for name, value in attrs if name == "aria-label"]


@pytest.fixture(scope="module")
def page() -> str:
    return as_html(study())


def write(folder: Path, document: Study) -> Path:
    path = folder / "gym-01.json"
    path.write_text(document.model_dump_json(by_alias=True), encoding="utf-8")
    return path


def flat(place: str, value: Any) -> dict[str, Any]:
    """The figures of a part of the document by their paths, written anew and not as the CSV does it."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, inner in value.items():
            found |= flat(f"{place}.{name}".lstrip("."), inner)
        return found
    if isinstance(value, list) and value and isinstance(value[0], float):
        return {f"{place}.low": value[0], f"{place}.high": value[1]}
    if isinstance(value, list):
        return {place: ",".join(value)}
    return {} if value is None else {place: value}


def test_the_page_stands_alone(page: str) -> None:
    """The page is well-formed, has no script, and fetches nothing: its four charts are in it, each told in words."""
    root = ET.fromstring(page.partition("\n")[2])
    assert root.tag.endswith("html")
    seen = Page(page)
    assert not seen.tags & {"script", "link", "iframe", "object", "embed"}
    assert not seen.fetched
    assert "url(" not in page
    assert "@import" not in page
    assert len(seen.alternatives) == 4
    assert "CPU INT8 140.6 and 14.2" in " ".join(seen.alternatives)


def test_the_charts_fit_any_window_and_both_themes(page: str) -> None:
    """Along a bar everything is a share of the width, text keeps its size, and colours are those of the theme."""
    root = ET.fromstring(page.partition("\n")[2])
    svg = [each for each in root.iter() if each.tag.endswith("}svg")]
    assert svg
    assert not [each for each in svg if each.get("viewBox") or each.get("width")]
    for each in (inner for outer in svg for inner in outer.iter()):
        assert all(value.endswith("%") for name in ("width", "x", "x1", "x2") if (value := each.get(name)))
        assert "#" not in each.get("style", "") + each.get("fill", "")
    bars = [float(each.get("width", "")[:-1]) for each in root.iter() if each.tag.endswith("}rect")]
    # But for the latency of the original model, which cannot be compared.
    assert len(bars) == 2 * sum(len(chart.bars) for chart in charts_of(study())) - 1
    assert 0 < min(bars) < max(bars) <= 74
    assert "prefers-color-scheme: dark" in page
    texts = {text for each in root.iter() if each.tag.endswith("}text") for text in each.itertext()}
    for bar in (bar for chart in charts_of(study()) for bar in chart.bars):
        assert set(bar.label.split("\n")) <= texts
        assert figure(bar.entry.fps.mean) in {text.removesuffix(" *") for text in texts}


def test_nothing_is_folded_in_print(page: str) -> None:
    """The runs are open: what is closed is not printed."""
    assert page.count("<details") == page.count('<details open="open"') == 1


def test_the_page_has_every_row_and_every_cell(page: str) -> None:
    """Whatever a row shows is in the page, reasons and runs included, and what a box wrote is text and no markup."""
    text = " ".join(ET.fromstring(page.partition("\n")[2]).itertext())
    for entry in entries(study()):
        assert all(column.text(entry) in text for column in COLUMNS)
    assert all(reason in text for _entry, reason in reasons(study()))
    assert "no kernel for <Interpolate> & 'TopK'" in text
    assert text.count("other processes took 31 % of the processor") == 3
    for fact in (
        "Intel N100, 4 cores",
        "OpenVINO 2026.4.1",
        "vtest: 200 frames a run, 768 x 576",
        "runs 3; frames 200",
    ):
        assert fact in text


def test_every_figure_is_in_the_csv() -> None:
    """Read back, the CSV has every row and every run with every figure of the document, and nothing else."""
    document = json.loads(study().model_dump_json(by_alias=True))
    lines = list(csv.DictReader(io.StringIO(as_csv(study()))))
    assert len(lines) == sum(1 + len(row["runs"]) for row in document["rows"])
    for number, row in enumerate(document["rows"]):
        mine = [line for line in lines if line["row"] == str(number)]
        runs = row.pop("runs")
        expected = [flat("", row), *(flat("recipe", row["recipe"]) | flat("run", run) for run in runs)]
        assert [line["run"] for line in mine] == ["", *(str(order) for order in range(1, len(runs) + 1))]
        for line, figures in zip(mine, expected, strict=True):
            told = {name: text for name, text in line.items() if text and name not in {"row", "run", "name"}}
            assert told == {name: str(value) for name, value in figures.items() if value != ""}


def test_markdown_is_a_report_too() -> None:
    """Every row is a line of its table, the pictures are where they were written, nothing of a box's is markup."""
    text = as_markdown(study(), {"devices": "pictures/gym-devices.svg"})
    cells = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert all(entry.name in cells for entry in entries(study()))
    assert "](pictures/gym-devices.svg)" in text
    assert r"no kernel for \<Interpolate\> & 'TopK'" in text


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [("original", set()), ("MULTI", {"multi"}), ("HETERO", {"hetero"}), ("FP", {"precisions"}), ("", set())],
)
def test_a_chart_needs_rows(left_out: str, missing: set[str]) -> None:
    """A chart is there when rows were measured for it; those that failed are in none."""
    kept = tuple(
        row
        for row in rows()
        if not left_out or left_out not in f"{row.recipe.engine} {row.recipe.device} {row.recipe.precision}"
    )
    kept = tuple(row for row in kept if left_out != "FP" or row.recipe.engine == "openvino")
    found = charts_of(study(kept))
    assert {chart.name for chart in found} == {"devices", "multi", "precisions", "hetero"} - missing
    assert all(bar.entry.measured for chart in found for bar in chart.bars)


def test_what_the_charts_compare() -> None:
    """By device beside the original, by precision beside MULTI, by device in each precision, by affinity with costs."""
    devices, multi, precisions, hetero = charts_of(study())
    assert [bar.label for bar in devices.bars] == [
        "original model",
        "CPU",
        "SIMCPU",
        "MULTI:SIMCPU,CPU",
        "HETERO:SIMCPU,CPU fallback",
    ]
    assert [(group.title, len(group.bars)) for group in multi.groups] == [("FP32", 3), ("FP16", 3), ("INT8", 3)]
    assert [group.title for group in precisions.groups][:2] == ["CPU", "SIMCPU"]
    assert {bar.label for bar in precisions.bars} == {"FP32", "FP16", "INT8"}
    assert hetero.groups[0].title == "HETERO:SIMCPU,CPU FP32"
    assert "convolutions\n74 submodels, 14.68 MB moved" in {bar.label for bar in hetero.bars}


def test_a_detector_elsewhere_is_said() -> None:
    """Of two stages a row's name says where the first runs if not where the second does, in table, charts and CSV."""
    recipes = [recipe("GPU", "FP32"), recipe("GPU", "FP32", detector="CPU"), recipe("CPU", "FP32")]
    found = study(tuple(measured(each, Told(40.0 + place, 20.0)) for place, each in enumerate(recipes)))
    names = [entry.name for entry in entries(found)]
    assert names == ["GPU FP32", "GPU FP32 detector on CPU", "CPU FP32"]
    (devices,) = charts_of(found)
    assert [bar.label for bar in devices.bars] == ["GPU", "GPU detector on CPU", "CPU"]
    line = next(csv.DictReader(io.StringIO(as_csv(study((measured(recipes[1], Told(40.0, 20.0)),))))))
    assert (line["name"], line["recipe.detector"]) == ("GPU FP32 detector on CPU", "CPU")
    assert "detector" not in recipes[0].model_dump_json()


def test_a_chart_is_drawn_the_same_again() -> None:
    """The same study is the same picture, byte by byte; a name that is long, or mathematics to Matplotlib, is text."""
    odd = (
        measured(recipe("$x^$", "FP32"), Told(10.0, 9.0, runs=1)),
        measured(recipe("AUTO:" + ",".join(f"GPU.{number}" for number in range(40)), "FP32"), Told(0.01, 1e5)),
    )
    (chart,) = charts_of(study(odd))
    first = charts.svg(chart)
    assert first == charts.svg(chart)
    assert ET.fromstring(first).tag.endswith("svg")


def test_without_the_library_of_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed it is told which extra brings it."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ControllerError) as told:
        charts.svg(charts_of(study())[0])
    assert "matplotlib is not installed" in str(told.value)
    assert told.value.hint == "in the clone: pip install '.[report]'"


def test_report_writes_what_is_asked(tmp_path: Path) -> None:
    """Several forms at once, none over an existing file unasked, and no broker is looked for."""
    file = write(tmp_path, study((measured(ORIGINAL, Told(12.0, 83.0)), measured(recipe("CPU", "FP32"), Told(70, 28)))))
    words = ["report", str(file), *(f"--{kind}={tmp_path / 'out' / f'a.{kind}'}" for kind in ("html", "csv", "md"))]
    pictures = f"--svg={tmp_path / 'pictures'}"
    done = controller(*words, pictures, EDGEPOSE_BROKER="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.html", "a.csv", "a.md"}
    assert "](../pictures/gym-01-devices.svg)" in (tmp_path / "out/a.md").read_text(encoding="utf-8")
    assert (tmp_path / "pictures/gym-01-devices.svg").stat().st_size > 1000
    code, told = run_inside(*words)
    assert (code, "replace it with --force" in told) == (2, True)
    assert run_inside("report", str(file), f"--csv={tmp_path / 'a.xls'}")[0] == 2


def test_report_on_the_terminal(tmp_path: Path) -> None:
    """Without an option the table and the conclusion are printed, one line for each row; a slip says what is wrong."""
    shown = controller("report", str(write(tmp_path, study())))
    assert shown.returncode == 0
    lines = [line.split("  ")[0].strip() for line in shown.stdout.splitlines()]
    assert all(entry.name in lines for entry in entries(study()))
    assert "SIMCPU INT8: 139.1 frames a second (95 % interval 136.3 to 141.9)" in shown.stdout
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": "edgepose.study/2"}', encoding="utf-8")
    code, told = run_inside("report", str(broken))
    assert (code, "broken.json is no study: schema" in told) == (1, True)


def test_the_published_schema_is_that_of_the_document() -> None:
    """docs/study.schema.json is what the type says; `python -m tests.controller.test_report` writes both anew."""
    assert json.loads((ROOT / "docs/study.schema.json").read_text(encoding="utf-8")) == schema()


def test_the_page_of_the_study_explains_every_column() -> None:
    """docs/study.md has each column of the table with its meaning."""
    text = (ROOT / "docs/study.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"| {column.heading} | {column.meaning} |" in text


def test_an_empty_study_is_a_report(tmp_path: Path) -> None:
    """A study that was ended before its first row, and one that could measure nothing, are told as such."""
    for number, found in enumerate(((), (unmeasured(recipe("GPU", "FP32"), "unavailable", "no GPU here"),))):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = write(folder, study(found, finished_at=None))
        done = controller("report", str(file), "--html", str(folder / "a.html"), "--csv", str(folder / "a.csv"))
        assert done.returncode == 0, done.stderr
        assert "Nothing measured" in controller("report", str(file)).stdout
        assert "<img" not in (folder / "a.html").read_text(encoding="utf-8")


def schema() -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Study.model_json_schema(mode="serialization")


if __name__ == "__main__":
    (ROOT / "docs/study.schema.json").write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
    shapes.write()  # it holds the same models


def test_studies_of_several_boxes_stand_side_by_side(tmp_path: Path) -> None:
    """A line for each configuration, a column for each box; what a box has not measured is a dash, and ids are told."""
    mine, other = study(), study(device_id="gym-2")
    other = other.model_copy(update={"rows": other.rows[1:], "best_throughput": None, "best_latency": None})
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, each in zip(files, (mine, other), strict=True):
        file.write_text(each.model_dump_json(by_alias=True))
    printed = controller("report", *map(str, files))
    lines = [re.split(r"\s{2,}", line.strip()) for line in printed.stdout.splitlines()]
    assert lines[0] == ["configuration", mine.device_id, "gym-2"]
    assert lines[1][2] == "-", "the other has no such row"
    best = [line for line in lines if any(cell.endswith(", best") for cell in line)]
    assert [[cell.endswith(", best") for cell in line] for line in best] == [[False, True, False]]
    assert sum(line[0].startswith(("gym-2: ", f"{mine.device_id}: ")) for line in lines) == 2
    for option, name in (("--md", "both.md"), ("--csv", "both.csv")):
        assert controller("report", *map(str, files), option, str(tmp_path / name)).returncode == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "both.csv").read_text())))
    assert len(rows) == len(mine.rows) + len(other.rows)
    assert "| configuration |" in (tmp_path / "both.md").read_text()
    assert controller("report", *map(str, files), "--html", str(tmp_path / "x.html")).returncode == 2


def test_two_studies_of_one_box_are_told_by_their_files() -> None:
    """An id that comes twice names no column."""
    assert side_by_side([("before", study()), ("after", study())]).boxes == ("before", "after")
