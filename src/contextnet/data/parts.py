"""Parts of a split by how its file names begin: ``SPLIT@PART``, so that one sequence can be left out and scored.

::

    train@0016E5           the samples whose file name begins with 0016E5
    train@0001TP+0006R0    those that begin with either
    train@-0001TP+0006R0   all others
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contextnet.data.pairs import Pair, PairedFiles
from contextnet.errors import DataError

MARK = "@"
"""What stands between a split and its part."""

_SHOWN = 10
_FIRST_WORD = re.compile(r"[^_\-. ]+")


@dataclass(frozen=True)
class Part:
    """Which samples are taken: those whose file name begins with one of ``beginnings``, or with ``others`` the rest."""

    beginnings: tuple[str, ...]
    others: bool = False

    def __str__(self) -> str:
        """Write the part as it is asked for."""
        return f"{'-' if self.others else ''}{'+'.join(self.beginnings)}"

    def takes(self, path: Path) -> bool:
        """Whether a file belongs to the part, by its name without its folder."""
        return path.name.startswith(self.beginnings) != self.others

    def of_pairs(self, pairs: Sequence[Pair], name: str) -> tuple[Pair, ...]:
        """Take the pairs of the part, in their order, by the names of their images; ``name`` is that of the split.

        Raises ``DataError`` for a beginning that no name has, also one that is left out, and when nothing is left.
        """
        names = [pair.image_path.name for pair in pairs]
        for beginning in self.beginnings:
            if not any(file.startswith(beginning) for file in names):
                raise DataError(
                    f"'{name}{MARK}{self}': no file name of '{name}' begins with '{beginning}'; "
                    f"the names begin with {_first_words(names)}"
                )
        taken = tuple(pair for pair in pairs if self.takes(pair.image_path))
        if not taken:
            raise DataError(
                f"'{name}{MARK}{self}': leaves none of the {len(pairs)} samples of '{name}'; leave out fewer of them"
            )
        return taken


def split_and_part(text: str, existing: Callable[[], Iterable[str]]) -> tuple[str, Part | None]:
    """Read ``SPLIT@PART``: the split, and the part of it or None where ``text`` is a whole split.

    ``existing`` names the splits that there are: one may have the mark in its own name. Raises ``DataError`` when the
    part, or one of several, is empty.
    """
    split, mark, words = text.partition(MARK)
    if not mark or text in existing():
        return text, None
    part = Part(tuple(words.removeprefix("-").split("+")), words.startswith("-"))
    if not all(part.beginnings):
        raise DataError(
            f"split '{text}': holds an empty part; expected SPLIT@PART or SPLIT@-PART, several parts joined by +, "
            "as in train@0001TP+0006R0"
        )
    return split, part


def take_part(data: PairedFiles, part: Part) -> PairedFiles:
    """Give the part of a split as a split of its own, whose name tells it; errors as ``Part.of_pairs`` has them.

    The masks that no image claims are those of the part as well.
    """
    orphans = tuple(path for path in data.orphans if part.takes(path))
    pairs = part.of_pairs(data.pairs, data.name)
    return replace(data, name=f"{data.name}{MARK}{part}", pairs=pairs, orphans=orphans)


def _first_words(names: Sequence[str]) -> str:
    """List what stands before the first separator of the names, each once, ten at most."""
    matches = ((_FIRST_WORD.match(name), name) for name in names)
    words = list(dict.fromkeys(match[0] if match else name for match, name in matches))
    more = f" and {len(words) - _SHOWN} others" if len(words) > _SHOWN else ""
    return f"{', '.join(words[:_SHOWN])}{more}"
