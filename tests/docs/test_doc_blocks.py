"""How pages are followed: what counts as shown, what stops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers.doc_blocks import Reader, blocks, matches, world


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("rows 10\n", "rows 10\n", True),
        ("rows 10\n", "rows 11\n", False),
        ("rows …\n", "rows 11\n", True),
        ("rows …, eval 5\n", "rows 11, eval 6\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("…\nc\n", "a\nb\nc\n", True),
        ("…\nc\n", "c\n", True),
        ("a\n…\nc\n", "a\nb\n", False),
        ("a (b) [c]\n", "a (b) [c]  \n", True),
        ("RUN   WHEN\n", "RUN WHEN\n", True),
        ("RUN   WHEN\n", "RUNWHEN\n", False),
        ("", "", True),
    ],
)
def test_what_is_printed_must_be_what_is_shown(shown, printed, same):
    assert matches(shown, printed) is same


PAGE = """
```toml title="flows/mine/config.toml"
name = "mine"
```

```sh
cat flows/mine/config.toml
echo "2026-12-01 01:32:35.103 [1/end/8 (pid 7)] done"
```

```text
name = "…"
done
```

<!-- test: not run, as it would end the world -->
```sh
exit 1
```

<!-- test: fails -->
```sh
echo no >&2; exit 3
```

```text
no
```

```python
number = 7
```

```python
print(number + 1)
```

```text
8
```

<!-- test: example -->
```text
nothing prints this
```
"""


@pytest.fixture
def reader(tmp_path):
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    return Reader(project, world())


def page(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "page.md"
    file.write_text(text)
    return file


def test_a_page_is_followed(tmp_path, reader):
    reader.follow(blocks(page(tmp_path, PAGE)))
    assert (reader.project / "flows/mine/config.toml").read_text() == 'name = "mine"\n'


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('name = "…"\ndone', 'name = "…"', "line 6 shows"),
        ("```text\n8\n", "```text\n9\n", "line 34 shows\n9\n\nbut this is printed\n8"),
        ("exit 3", "exit 0", "line 22: exit code 0"),
        ("number = 7", "number = nought", "line 30: .*NameError"),
        ("<!-- test: example -->\n", "", "line 42: shows output of no block"),
        ("test: fails", "test: fials", "line 21: unknown mark <!-- test: fials -->"),
        ("```python\nprint", "```pascal\nprint", "line 34: nobody knows how to run 'pascal'"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(tmp_path, reader, right, wrong, told):
    assert PAGE.count(right) == 1
    with pytest.raises(AssertionError, match=f"(?s){told}"):
        reader.follow(blocks(page(tmp_path, PAGE.replace(right, wrong))))


def test_a_server_runs_until_the_page_ends(tmp_path, reader):
    text = """
<!-- test: server -->
```sh
sh -c 'echo ready; echo $$ > pid; sleep 600'
```

```text
ready
```

```sh
kill -0 $(cat pid)
```
"""
    reader.follow(blocks(page(tmp_path, text)))
    assert reader.servers[0].poll() is not None
