"""Proposals as they are shown and written."""

from __future__ import annotations

from rich.console import Console

from contextnet.data.doctor.diagnosis import Diagnosis
from contextnet.data.doctor.proposal import Proposal
from contextnet.data.doctor.table import diagnosis_table, proposal_yaml
from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors
from contextnet.labels import LabelClass, LabelSet


def _proposal(name: str, classes: int = 2) -> Proposal:
    labels = LabelSet("yard", tuple(LabelClass(f"[/x] {name} {i}", (i, 0, 1), "x", (i,)) for i in range(classes)))
    colors = MaskColors(tuple(((i, 0, 1),) for i in range(classes)), ((7, 7, 7),)) if name == "colors" else None
    return Proposal(name, f"taken for {name}; as [bold] is", LabelFile(labels, colors), (3, *([0] * (classes - 1))), 1)


def _printed(diagnosis: Diagnosis, chosen: str | None = None) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(diagnosis_table(diagnosis, chosen))
    return captured.get()


def test_the_first_or_the_chosen_proposal_is_shown_class_by_class() -> None:
    diagnosis = Diagnosis((_proposal("ids"), _proposal("colors")), ("masks of [red] two kinds",))
    text = _printed(diagnosis)
    assert "note: masks of [red] two kinds" in text
    assert "proposal 'ids': taken for ids; as [bold] is" in text
    assert "or 'colors': taken for colors" in text
    assert "[/x] ids 1" in text
    assert "[/x] colors 1" not in text
    assert "75.00" in text
    text = _printed(diagnosis, "colors")
    assert "[/x] ids 1" not in text
    assert "[/x] colors 1" in text
    assert "[1, 0, 1]" in text
    assert "[7, 7, 7]" in text
    assert "[/x] ids 1" in _printed(diagnosis, "unheard of")


def test_long_lists_are_cut_and_nothing_is_drawn_of_nothing() -> None:
    text = _printed(Diagnosis((_proposal("ids", 45),), ()))
    assert "ids 39" in text
    assert "ids 40" not in text
    assert "and 5 more classes" in text
    assert not _printed(Diagnosis((), ())).strip()


def test_yaml_says_where_it_comes_from_and_how_much_each_class_holds() -> None:
    assert proposal_yaml(_proposal("colors")) == (
        "# Proposed by contextnet data check.\n"
        "# taken for colors\n"
        "# as [bold] is\n"
        "name: yard\n"
        "encoding: color\n"
        "classes:\n"
        '  - {name: "[/x] colors 0", color: [0, 0, 1], category: x}  # 75.00 % of the pixels\n'
        '  - {name: "[/x] colors 1", color: [1, 0, 1], category: x}  # 0.00 % of the pixels\n'
        "void_colors: [[7, 7, 7]]\n"
    )
