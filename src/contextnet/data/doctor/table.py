"""Proposed label sets for the terminal, and as the YAML that is written."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from contextnet.data.doctor.diagnosis import Diagnosis
from contextnet.data.doctor.proposal import Proposal
from contextnet.data.label_yaml import label_file_yaml
from contextnet.data.mask_colors import as_color

_SHOWN_CLASSES = 40


def diagnosis_table(diagnosis: Diagnosis, chosen: str | None = None) -> Group:
    """Draw a diagnosis: what is to be said, then the proposals by name.

    The one called ``chosen`` is shown class by class, the first where none is.
    """
    parts: list[Text | Table] = [Text(f"note: {remark}", style="yellow") for remark in diagnosis.remarks]
    names = [proposal.name for proposal in diagnosis.proposals]
    shown = chosen if chosen in names else next(iter(names), None)
    for number, proposal in enumerate(diagnosis.proposals):
        parts.append(Text(f"{'proposal' if number == 0 else 'or'} '{proposal.name}': {proposal.detail}"))
        if proposal.name == shown:
            parts.append(_class_table(proposal))
    return Group(*parts)


def proposal_yaml(proposal: Proposal) -> str:
    """Write a proposal as the label-set YAML that reads its masks, each class with its share of the pixels."""
    head = ["Proposed by contextnet data check.", *proposal.detail.split("; ")]
    notes = [f"{100 * n / max(proposal.pixels, 1):.2f} % of the pixels" for n in proposal.class_pixels]
    return label_file_yaml(proposal.file, head, notes)


def _class_table(proposal: Proposal) -> Table:
    colors = proposal.file.colors
    by = "mask ids" if colors is None else "mask colours"
    table = Table("id", "class", by, "share %")
    table.columns[0].justify = table.columns[3].justify = "right"
    labels = proposal.file.labels
    for train_id, label in enumerate(labels.classes[:_SHOWN_CLASSES]):
        values = label.file_ids if colors is None else [list(as_color(c)) for c in colors.by_class[train_id]]
        share = f"{100 * proposal.class_pixels[train_id] / max(proposal.pixels, 1):.2f}"
        table.add_row(str(train_id), Text(label.name), Text(", ".join(str(v) for v in values)), share)
    hidden = labels.num_classes - _SHOWN_CLASSES
    if hidden > 0:
        table.add_row("", f"and {hidden} more classes", "", "")
    void = labels.void_ids if colors is None else [list(as_color(c)) for c in colors.void]
    share = f"{100 * proposal.void_pixels / max(proposal.pixels, 1):.2f}"
    table.add_row("", "void", Text(", ".join(str(v) for v in void)), share)
    return table
