"""Every code block of the README runs as written, alone; the gallery is complete."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
GALLERY = README.parent / "examples" / "README.md"
PAGES = sorted(GALLERY.parent.glob("*.py"))


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_readme_begins_with_the_two_commands() -> None:
    install_and_run, install_and_test = blocks("bash")[:2]
    assert install_and_run.rstrip().endswith("python examples/01_quickstart.py")
    assert install_and_test.rstrip().endswith("python -m pytest")


EXPECTED = {
    "make_pipeline(elmo": "['spam' 'ham']\n",
    "make_column_transformer": "['title_elmo_layer2_mean_0', 'price']\n",
    "GridSearchCV": "18 candidates, each text read once\n",
    "ElmoTagger": None,
}


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block[:40])
def test_readme_block_runs_alone(block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=None,
    )
    assert finished.returncode == 0, finished.stderr
    (expected,) = (text for part, text in EXPECTED.items() if part in block)
    assert expected is None or finished.stdout == expected


@pytest.mark.parametrize("file", [README, GALLERY], ids=["README", "gallery"])
def test_links_and_pictures_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert targets
    assert [t for t in targets if not (file.parent / t).exists()] == []


def test_contents_of_the_gallery_name_its_headings() -> None:
    text = GALLERY.read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    anchors = [heading.lower().replace(" ", "-") for heading in headings]
    assert sorted(re.findall(r"\]\(#([^)]+)\)", text)) == sorted(anchors)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_has_its_own_picture_and_a_sentence_in_the_gallery(page: Path) -> None:
    text = GALLERY.read_text(encoding="utf-8")
    (section,) = (
        section
        for section in re.split(r"^#+ ", text, flags=re.MULTILINE)
        if f"]({page.name})" in section
    )
    assert re.search(rf"\]\({page.name}\): \w.*\.$", section, re.DOTALL | re.MULTILINE)
    assert re.search(rf"!\[\w[^]]+\]\(images/{page.stem}\.png\)", section)
    # The page draws it; the picture is small.
    assert f'"{page.stem}.png"' in page.read_text(encoding="utf-8")
    picture = (page.parent / "images" / f"{page.stem}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= 60_000


def test_every_picture_belongs_to_a_page() -> None:
    pictures = (GALLERY.parent / "images").iterdir()
    assert sorted(p.stem for p in pictures) == [page.stem for page in PAGES]


def test_training_in_the_readme_names_real_parameters() -> None:
    """Its block trains for an hour, so it is compiled and its call checked."""
    from sklearn_elmo import ElmoPretrainer

    (block,) = blocks("py")
    compile(block, "README.md", "exec")
    called = re.findall(r"(\w+)=", block.split("ElmoPretrainer(")[1].split(")")[0])
    assert set(called) <= set(ElmoPretrainer().get_params())
