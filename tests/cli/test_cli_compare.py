"""`kinfold compare`: its figures, what it writes, and what it refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse as sp

import kinfold as library
from cli.compare_measure import held_bytes
from cli.compare_plot import HEIGHT, LEFT, WIDTH, Point, place_labels, plot_svg
from cli.compare_tables import figure
from kinfold.errors import InputError
from kinfold.evaluate import score_by_labels
from kinfold.evaluate.baselines import Baseline, Prepared, registry, resolve
from kinfold.validate import normalised

ITEMS, QUERIES = 90, 18
FEW = ["--methods", "knn,aqe,knn-reranking", "--models", "default"]


def arrays(seed=0):
    """Six overlapping classes; every sixth row and a bit is a query."""
    generator = np.random.default_rng(seed)
    rows = ITEMS + QUERIES
    labels = np.arange(rows) % 6
    centres = generator.normal(size=(6, 7))
    asked = np.zeros(rows, dtype=bool)
    asked[generator.permutation(rows)[:QUERIES]] = True
    vectors = (centres[labels] + generator.normal(size=(rows, 7))).astype(np.float32)
    return {"X": vectors, "y": labels, "is_query": asked}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "six.npz", **arrays())
    return tmp_path


class PreparedTogether(Prepared):
    def __init__(self, gallery, asked):
        self._gallery, self._asked = gallery, asked

    def scores(self, queries):
        self._asked.append(len(queries))
        block = np.ones(3_000_000, dtype=np.uint8)
        return (queries @ self._gallery.T) * np.float32(block[0])


@pytest.fixture
def together(monkeypatch):
    """A transductive method that is registered for one test; the list says who asked."""
    asked = []

    class Together(Baseline):
        name = "together"
        title = "Together <&>"
        source = "nobody"
        transductive = True

        def prepare(self, gallery):
            return PreparedTogether(gallery, asked)

    monkeypatch.setitem(registry._BASELINES, "together", Together)
    return asked


@pytest.fixture
def refusing(monkeypatch):
    class Refusing(Baseline):
        name = "refusing"
        title = "Refusing"
        source = "nobody"
        transductive = False

        def prepare(self, gallery):
            raise InputError("too many items")

    monkeypatch.setattr(registry, "_BASELINES", {"knn": type(resolve("knn")), "refusing": Refusing})


def plain_precision():
    """mAP and P@1 of cosine similarity, without anything that is tested here."""
    values = arrays()
    unit = values["X"] / np.linalg.norm(values["X"], axis=1, keepdims=True)
    asked = values["is_query"]
    rankings = np.argsort(-(unit[asked] @ unit[~asked].T), axis=1, kind="stable")
    scores = score_by_labels(rankings, values["y"][asked], values["y"][~asked], ks=(1,))
    return scores.mean_average_precision, scores.precision_at[1]


def test_figures(kinfold, here):
    outcome = kinfold("compare", "six.npz", *FEW, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    (one,) = outcome.json["sets"]
    assert (one["name"], one["items"], one["queries"], one["dimension"]) == ("six", 90, 18, 7)
    assert one["left_out"] == {}
    found = {method["name"]: method for method in one["methods"]}
    assert set(found) == {"kinfold:default", "kinfold:knn", "knn", "aqe", "knn-reranking"}
    order = [method["mAP"] for method in one["methods"]]
    assert order == sorted(order, reverse=True)
    precision, first = plain_precision()
    for name in ("knn", "kinfold:knn"):
        assert found[name]["mAP"] == pytest.approx(precision, abs=1e-9)
        assert found[name]["P@1"] == pytest.approx(first)
    values = arrays()
    asked = values["is_query"]
    index = library.build(values["X"][~asked], here / "index")
    positions = index.search(values["X"][asked], ITEMS).positions.astype(np.int64)
    scores = score_by_labels(positions, values["y"][asked], values["y"][~asked])
    assert found["kinfold:default"]["mAP"] == pytest.approx(scores.mean_average_precision)
    assert found["kinfold:default"]["mAP"] != pytest.approx(precision, abs=1e-4)
    for method in found.values():
        assert 0 < method["ms_per_query"] < 1000
        assert method["memory_bytes"] >= ITEMS * 7 * 4
        assert method["timed"] == "single queries"
        assert not method["transductive"]
        assert method["source"]
    assert found["aqe"]["parameters"] == {"n": 10}
    assert found["kinfold:default"]["parameters"]["k_d"] == library.BuildConfig().k_d
    assert found["kinfold:default"]["preparation_seconds"] > 0
    assert found["kinfold:knn"]["preparation_seconds"] is None


def test_transductive_methods_get_all_queries_and_a_mark(kinfold, here, together):
    command = ("compare", "six.npz", "--methods", "knn,together", "--models", "none")
    outcome = kinfold(*command, "--output", "out")
    assert outcome.code == 0
    # The first were to warm up.
    assert set(together[1:]) == {QUERIES}
    lines = outcome.out.splitlines()
    assert any(line.startswith("Together <&> †") for line in lines)
    assert any(re.match(r"kNN +\d", line) for line in lines)
    assert "† transductive: all queries are in the graph at once" in outcome.out
    (one,) = json.loads((here / "out" / "compare.json").read_text())["sets"]
    method = next(method for method in one["methods"] if method["name"] == "together")
    assert (method["transductive"], method["timed"]) == (True, "batch")
    # The gallery, the block, and the scores of all queries, twice.
    least = 3_000_000 + ITEMS * 7 * 4 + 2 * QUERIES * ITEMS * 4
    assert least <= method["memory_bytes"] < least + 100_000
    page = (here / "out" / "compare.html").read_text()
    assert "Together &lt;&amp;&gt; †" in page
    assert page.count("<circle class='transductive'") == 2  # one is the caption's
    assert "| Together <&> † |" in (here / "out" / "compare.md").read_text()


def test_a_table_without_transductive_methods_needs_no_legend(kinfold, here):
    assert "†" not in kinfold("compare", "six.npz", *FEW).out


class Elements(HTMLParser):
    """Which elements a page has, and where they lead."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.targets, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.targets += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "link", "line", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "circle", "line"):
            assert self.open.pop() == tag


def test_files(kinfold, here):
    outcome = kinfold("compare", "six.npz", *FEW, "--output", "a/b", "--json")
    folder = here / "a" / "b"
    files = sorted(file.name for file in folder.iterdir())
    assert files == ["compare.html", "compare.json", "compare.md"]
    assert json.loads((folder / "compare.json").read_text()) == outcome.json
    text = (folder / "compare.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5
    assert len({line.count("|") for line in lines}) == 1
    assert sum(line.startswith("| **Kinfold") for line in lines) == 2
    precision, first = plain_precision()
    assert f"| kNN | {100 * precision:.1f} | {100 * first:.1f} |" in text
    page = (folder / "compare.html").read_text()
    elements = Elements(page)
    assert elements.open == []
    assert elements.targets == ["data:,"]
    assert not {"script", "img", "iframe"} & set(elements.tags)
    assert not re.search(r"https?:|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<path class='kinfold'") == 2 + 1
    assert page.count("<circle class='method'") == 3 + 1


def test_several_sets_stand_side_by_side(kinfold, here):
    np.savez(here / "other.npz", **arrays(seed=1))
    outcome = kinfold("compare", "six.npz", "other.npz", *FEW, "--output", "out")
    assert outcome.code == 0
    assert re.search(r"six +other", outcome.out)
    assert re.search(r"method +mAP +ms +mAP +ms", outcome.out)
    sets = json.loads((here / "out" / "compare.json").read_text())["sets"]
    assert [one["name"] for one in sets] == ["six", "other"]
    means = {}
    for title in (method["title"] for method in sets[0]["methods"]):
        rows = [next(m for m in one["methods"] if m["title"] == title) for one in sets]
        means[title] = float(np.mean([row["mAP"] for row in rows]))
        shown = " +".join(f"{100 * row['mAP']:.1f} +\\S+" for row in rows)
        assert re.search(rf"{re.escape(title)} +{shown}", outcome.out)
    lines = [re.sub(r" +\d.*", "", line) for line in outcome.out.splitlines()]
    falling = [means[line] for line in lines if line in means]
    assert len(falling) == 5
    assert falling == sorted(falling, reverse=True)


def test_files_of_one_name_are_told_apart(kinfold, here):
    (here / "b").mkdir()
    np.savez(here / "b" / "six.npz", **arrays(seed=1))
    command = ("compare", "six.npz", "b/six.npz", "--methods", "knn", "--models", "none", "--json")
    assert [one["name"] for one in kinfold(*command).json["sets"]] == ["six.npz", "b/six.npz"]


def test_a_method_that_refuses_is_left_out_only_if_nobody_asked_for_it(kinfold, here, refusing):
    outcome = kinfold("compare", "six.npz", "--models", "none", "--output", "out")
    assert outcome.code == 0
    assert "left out: Refusing: too many items" in outcome.out
    for name in ("compare.md", "compare.html"):
        assert "Left out: Refusing: too many items" in (here / "out" / name).read_text()
    command = ("compare", "six.npz", "--models", "none", "--methods", "refusing")
    assert kinfold(*command).error() == "too many items"


def test_chains_are_built_once_each(kinfold, here):
    command = ("compare", "six.npz", "--methods", "none")
    chains = ["--models", "alpha-qe", "--models", "cosine+alpha-qe, cosine,cosine"]
    methods = kinfold(*command, *chains, "--json").json["sets"][0]["methods"]
    names = {method["name"]: method["title"] for method in methods}
    assert names.pop("kinfold:knn")
    assert names == {
        "kinfold:alpha-qe": "Kinfold, alpha-qe",
        "kinfold:cosine+alpha-qe": "Kinfold, cosine + alpha-qe",
        "kinfold:cosine": "Kinfold, cosine",
    }


def test_digits_need_no_file(kinfold, here):
    command = ("compare", "digits", "--methods", "knn,aqe-wd", "--models", "none", "--json")
    (one,) = kinfold(*command).json["sets"]
    assert (one["items"], one["queries"]) == (1438, 359)
    found = {method["name"]: method["mAP"] for method in one["methods"]}
    assert found["knn"] == pytest.approx(0.656, abs=0.001)
    assert found["aqe-wd"] == pytest.approx(0.701, abs=0.002)


def changed(**replaced):
    values = arrays() | replaced
    return {name: value for name, value in values.items() if value is not None}


def with_row(row, value):
    vectors = arrays()["X"]
    vectors[row] = value
    return vectors


DAMAGED = {
    "no vectors": (changed(X=None), r"six.npz: no array 'X'; it has: y .*, is_query"),
    "no labels": (changed(y=None), r"six.npz: no .*'y'; it has: is_query"),
    "no mask": (changed(is_query=None), r"six.npz: no .*'is_query'; it has: y"),
    "flat vectors": (changed(X=np.ones(108)), r"six.npz.*expected a matrix"),
    "few labels": (changed(y=np.zeros(5, int)), r"'y': expected shape \(108,\).*found \(5,\)"),
    "long mask": (changed(is_query=np.ones((108, 2))), r"'is_query': expected shape \(108,\)"),
    "mask of threes": (changed(is_query=np.full(108, 3)), r"'is_query': expected true and false"),
    "NaN": (changed(X=with_row(17, np.nan)), r"six.npz: expected finite.* found nan in row 17"),
    "zero row": (changed(X=with_row(19, 0)), r"six.npz: row 19 is all zeros"),
    "text vectors": (changed(X=np.full((108, 3), "a")), r"six.npz: expected numbers"),
    "labels with halves": (changed(y=np.ones(108) / 2), r"six.npz: y: expected integers or str"),
    "no queries": (changed(is_query=np.zeros(108, bool)), r"expected at least one query, .*108"),
    "only queries": (changed(is_query=np.ones(108, bool)), r"at least 2 items .*found 0 of 108"),
    "all labels differ": (changed(y=np.arange(108)), r"queries whose label is in the gallery"),
    "objects": (changed(y=np.array([None] * 108)), r"'y': .*never unpickled"),
}


@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED)
def test_data_that_cannot_be_compared_on(kinfold, here, case):
    values, says = case
    np.savez(here / "six.npz", **values)
    assert re.search(says, kinfold("compare", "six.npz", *FEW).error())


def test_a_truncated_file(kinfold, here):
    file = here / "six.npz"
    file.write_bytes(file.read_bytes()[:-200])
    assert "truncated, damaged or of another kind" in kinfold("compare", "six.npz", *FEW).error()


REFUSED = [
    (["none.npz", *FEW], r"none.npz: expected a file, found nothing of this name"),
    (["six.npy", *FEW], r"six.npy: expected 'digits', or an .npz file with the arrays X"),
    (["text.npz", *FEW], r"text.npz: expected an .npz file, found one that is"),
    (["six.npz", "six.npz", *FEW], r"six.npz: expected every set once"),
    (["six.npz", "--methods", "knn,aqee"], r"unknown method 'aqee'; known are: .*aqe,"),
    (["six.npz", "--methods", ","], r"expected names separated by commas"),
    (["six.npz", "--methods", "none,knn"], r"expected none alone"),
    (["six.npz", "--methods", "none", "--models", "none"], r"found none of both"),
    (["six.npz", *FEW[:2], "--models", "cass"], r"unknown similarity model 'cass'; known are"),
    (["six.npz", *FEW, "--output", "text.npz/x"], r"--output text.npz/x: cannot be written"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_is_refused(kinfold, here, arguments, says):
    (here / "text.npz").write_text("not an archive")
    assert re.search(says, kinfold("compare", *arguments).error())


def test_errors_for_machines(kinfold, here):
    outcome = kinfold("compare", "none.npz", "--json")
    assert outcome.json["error"]["type"] == "InputError"


def crowd(seed, count):
    generator = np.random.default_rng(seed)
    return [
        Point(
            "method " + "x" * int(generator.integers(0, 15)),
            float(10 ** generator.normal(0, 1)),
            float(np.clip(0.8 + 0.04 * generator.normal(), 0, 1)),
            ("kinfold", "method", "transductive")[number % 3],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_labels_cover_neither_each_other_nor_points(seed):
    placed = place_labels(crowd(seed, 20))
    for one in placed:
        assert one.box.x0 >= LEFT
        assert one.box.x1 <= WIDTH
        assert one.box.y0 >= 0
        assert one.box.y1 <= HEIGHT
        for other in placed:
            inside = one.box.x0 < other.x < one.box.x1 and one.box.y0 < other.y < one.box.y1
            assert not inside
            if other is not one:
                assert one.box.overlap(other.box) == 0


@pytest.mark.parametrize("count", [1, 2, 7])
def test_points_in_one_place_still_make_a_picture(count):
    points = [Point(f"<m{number}>", 0.5, 1.0, "method") for number in range(count)]
    picture = plot_svg(points, "a & b")
    assert "nan" not in picture
    assert picture.count("<circle") == count
    assert "&lt;m0&gt;: mAP 100.0 %, 0.5 ms a query" in picture
    placed = place_labels(points)
    assert all(a.box.overlap(b.box) == 0 for a in placed for b in placed if a is not b)


def test_faster_is_left_and_better_is_up():
    points = [Point("slow", 100.0, 0.5, "method"), Point("fast", 0.01, 0.9, "kinfold")]
    placed = {one.point.label: one for one in place_labels(points)}
    assert placed["fast"].x < placed["slow"].x
    assert placed["fast"].y < placed["slow"].y


def test_held_bytes_count_every_array_once():
    base = np.zeros((10, 10), dtype=np.float32)
    sparse = sp.csr_array(np.eye(4))

    class Holder:
        def __init__(self):
            self.all, self.view, self.again = base, base[2:, :3], [base.T, {"x": base}]
            self.sparse, self.other = sparse, self

    own = sparse.data.nbytes + sparse.indices.nbytes + sparse.indptr.nbytes
    assert held_bytes(Holder()) == base.nbytes + own
    assert held_bytes(resolve("knn").prepare(normalised(base + 1, "x", 0))) == 400


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.01234, "0.012"),
        (0.5, "0.50"),
        (12.345, "12.3"),
        (9.999, "10.0"),
        (99.99, "100"),
        (1234.5, "1,234"),
    ],
)
def test_figures_have_three_digits(value, shown):
    assert figure(value) == shown
