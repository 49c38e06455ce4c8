from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from trueground.cli.consolidate import consolidate, read_answers
from trueground.consolidation import consolidate_frame
from trueground.errors import InputError

app = typer.Typer()
app.command()(consolidate)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


ANSWERS = """worker,note,task,label
ann,x,01,NA
ben,x,01,NA
eve,x,01,nan
ann,x,1,007
ben,x,1,007
eve,x,1,NA
"""


def test_ids_and_labels_stay_the_strings_they_were(tmp_path: Path) -> None:
    out = tmp_path / "new" / "labels.csv"
    result = CliRunner().invoke(app, [str(write(tmp_path / "a.csv", ANSWERS)), "--out", str(out)])
    assert result.exit_code == 0, result.output
    labels = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert labels.columns.tolist() == ["task", "label", "confidence"]
    assert labels[["task", "label"]].to_numpy().tolist() == [["01", "NA"], ["1", "007"]]
    assert all(0 < float(value) <= 1 for value in labels["confidence"])


def test_the_summary_counts_and_names_the_least_reliable_worker_first(tmp_path: Path) -> None:
    rows = [f"{t},{w},{'x' if w == 'eve' else t % 2}" for t in range(20) for w in ("ann", "ben", "eve")]
    source = write(tmp_path / "a.csv", "task,worker,label\n" + "\n".join(rows))
    result = CliRunner().invoke(app, [str(source), "--out", str(tmp_path / "o.csv")])
    assert "20 objects, 3 workers, 60 answers" in result.output
    lines = result.output.splitlines()
    worst = lines[next(i for i, line in enumerate(lines) if line.startswith("least reliable")) + 1]
    assert worst.startswith("  eve:") and worst.endswith("of 20")


def test_the_table_is_what_the_library_makes_of_it(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", ANSWERS)
    for method in ("ensemble", "majority"):
        result = CliRunner().invoke(app, [str(source), "--out", str(tmp_path / "o.csv"), "--method", method])
        assert result.exit_code == 0
        expected = consolidate_frame(read_answers(source), method=method)
        pd.testing.assert_frame_equal(
            pd.read_csv(tmp_path / "o.csv", dtype={"task": str, "label": str}, keep_default_na=False),
            expected,
            check_dtype=False,
        )


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("", 1, "task"),
        ("task,worker\n1,2\n", 1, "label"),
        ("task,worker,label,label\n1,2,3,4\n", 1, "label"),
        ("task,worker,label\n", 2, None),
        ("task,worker,label\na,b,c\na,,c\n", 3, "worker"),
        ("task,worker,label\na,b,c\n\na,d, \n", 4, "label"),
        ('task,worker,label\n"two\nlines",b,c\na,b\n', 4, None),
        ("task,worker,label\na,b,c,d\n", 2, None),
    ],
)
def test_bad_tables_are_refused_with_file_line_and_field(
    tmp_path: Path, text: str, line: int, field: str | None
) -> None:
    source = write(tmp_path / "a.csv", text)
    out = tmp_path / "o.csv"
    result = CliRunner().invoke(app, [str(source), "--out", str(out)])
    assert isinstance(result.exception, InputError)
    assert (result.exception.file, result.exception.line, result.exception.field) == (str(source), line, field)
    assert not out.exists()


def test_a_missing_file_and_an_unknown_method_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"task,worker,label\n1,2,caf\xe9\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_answers(tmp_path / "latin.csv")
    source = write(tmp_path / "a.csv", ANSWERS)
    result = CliRunner().invoke(app, [str(source), "--out", str(tmp_path / "o.csv"), "--method", "guess"])
    assert isinstance(result.exception, InputError) and result.exception.field == "method"
