"""Embeddings, tables and folders of heads: what does not fit is refused in one line."""

import json

import numpy as np
import pytest
from embedding_files import write_embedding

from focus_cli.analysis.heads.embeddings import read_cohort, read_embedding
from focus_cli.analysis.heads.folder import HeadDocument, read_head, write_head
from focus_cli.analysis.heads.ood import fit_ood_support, spread_over
from focus_cli.analysis.heads.tables import donor_of, one_donor_each, read_table
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError


def test_an_embedding_is_location_beside_neighbourhood(tmp_path):
    location, neighbourhood = np.arange(8.0).reshape(4, 2), np.ones((4, 3))
    read = read_embedding(write_embedding(tmp_path / "a.h5ad", "A", location, neighbourhood))
    assert np.array_equal(read.features, np.concatenate([location, neighbourhood], axis=1)) and read.sample == "A"
    assert read.widths == {"focus_location": 2, "focus_neighbourhood": 3} and read.in_tissue.all()
    assert read.xy[1].tolist() == [0, 100]  # µm


def test_embeddings_that_do_not_go_together(tmp_path):
    values = np.ones((4, 2))
    a = write_embedding(tmp_path / "a.h5ad", "A", values)
    with pytest.raises(BadInputError, match="different spaces: 'other' and 'model/expression'"):
        list(read_cohort([a, write_embedding(tmp_path / "b.h5ad", "B", values, space="other")]))
    with pytest.raises(BadInputError, match="both of sample A"):
        list(read_cohort([a, write_embedding(tmp_path / "c.h5ad", "A", values)]))
    with pytest.raises(BadInputError, match="'domains', not 'embedding'"):
        list(read_cohort([write_embedding(tmp_path / "d.h5ad", "D", values, kind="domains")]))
    with pytest.raises(BadInputError, match="not finite"):
        list(read_cohort([write_embedding(tmp_path / "e.h5ad", "E", np.full((4, 2), np.nan))]))
    with pytest.raises(UsageError, match="no embeddings"):
        list(read_cohort([]))
    with pytest.raises(MissingResourceError):
        list(read_cohort([tmp_path / "none.h5ad"]))


def test_tables_are_read_by_tab_or_comma(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffsample,donor,age\n A ,D1, 50\n\nB,,60\n", encoding="utf-8")
    table = read_table(path, ("sample", "age"))
    assert table["age"].tolist() == ["50", "60"] and donor_of(table).tolist() == ["D1", "B"]
    assert list(table.index) == [2, 4] and one_donor_each(table, path) == {"A": "D1", "B": "B"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'sample'"),
        ("sample\tlabel\n", "has no rows"),
        ("sample\tlabel\nA\n", "line 2: 1 fields, the header has 2"),
        ("sample\tsample\nA\tB\n", "two columns of one name"),
        ("name\tlabel\nA\tB\n", "has no column 'sample'; its columns are name, label"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(BadInputError, match=message):
        read_table(tmp_path / "t.tsv", ("sample",))


def test_bytes_are_no_table(tmp_path):
    (tmp_path / "t.tsv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(BadInputError, match="not UTF-8 text"):
        read_table(tmp_path / "t.tsv", ("sample",))
    with pytest.raises(MissingResourceError, match="no such file"):
        read_table(tmp_path / "none.tsv", ("sample",))


def test_a_head_comes_back_and_a_damaged_one_is_refused(tmp_path):
    class Wanted(HeadDocument):
        y: int

    content = {"space": "s", "widths": {"a": 3}, "border": 1.0, "x": 1}
    write_head(tmp_path / "h", "annotate", content, {"a": np.arange(3.0)})
    told, arrays = read_head(tmp_path / "h", "annotate", HeadDocument)
    assert told["x"] == 1 and arrays["a"].tolist() == [0, 1, 2]
    with pytest.raises(BadInputError, match="head of focus annotate, not of focus outcome"):
        read_head(tmp_path / "h", "outcome", HeadDocument)
    with pytest.raises(BadInputError, match="damaged: y"):
        read_head(tmp_path / "h", "annotate", Wanted)
    text = json.loads((tmp_path / "h/head.json").read_text())
    (tmp_path / "h/head.json").write_text(json.dumps(text | {"schema_version": 99}))
    with pytest.raises(BadInputError, match="schema version 99"):
        read_head(tmp_path / "h", "annotate", HeadDocument)
    (tmp_path / "h/head.json").write_text(json.dumps(text))
    (tmp_path / "h/head.safetensors").write_bytes(b"12")
    with pytest.raises(BadInputError, match="damaged"):
        read_head(tmp_path / "h", "annotate", HeadDocument)
    with pytest.raises(MissingResourceError, match="no such head"):
        read_head(tmp_path / "none", "annotate", HeadDocument)


def test_what_is_like_training_is_within_the_border_and_what_is_not_is_beyond():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 200)
    ood = fit_ood_support(rng.normal(size=(800, 5)).astype(np.float32), groups, 0)
    assert (ood.score(rng.normal(size=(2000, 5))) > 1).mean() < 0.03
    assert (ood.score(rng.normal(size=(100, 5)) + 8) > 1).all()


def test_rows_are_kept_evenly_over_groups():
    groups = np.array(["a"] * 90 + ["b"] * 10 + ["c"] * 2)
    kept = groups[spread_over(groups, 15, np.random.default_rng(0))]
    assert {g: int((kept == g).sum()) for g in "abc"} == {"a": 7, "b": 6, "c": 2}
    assert len(spread_over(groups, 1000, np.random.default_rng(0))) == 102
