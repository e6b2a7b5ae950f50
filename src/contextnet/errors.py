"""The faults that a user can mend, each with a message that says what was found and what to do."""

from __future__ import annotations

from typing import Self


class ContextNetError(ValueError):
    """Base of every fault that the user's input causes; the command line prints it and exits with code 2.

    The message is one or two plain sentences: the file or field, what was found, what was expected, the remedy.
    ``file``, ``detail`` and ``remedy`` hold the parts of a message that ``at`` made; they are empty otherwise.
    """

    file: str = ""
    detail: str = ""
    remedy: str = ""

    @classmethod
    def at(cls, file: object, detail: str, remedy: str) -> Self:
        """Make the error whose message is ``FILE: DETAIL; REMEDY``, and keep its parts."""
        error = cls(f"{file}: {detail}; {remedy}")
        error.file, error.detail, error.remedy = str(file), detail, remedy
        return error


class DataError(ContextNetError):
    """An image, a mask, a split or a label set cannot be used as it is."""


class ImageError(DataError):
    """An image file cannot be read: damaged, empty, not an image, or larger than the limit."""


class WeightsError(ContextNetError):
    """A weights file is damaged, unsafe, foreign, or belongs to another network."""


class DamagedError(WeightsError):
    """A file's bytes are not those that were written: it was cut off, altered or overwritten."""


class ModelFileError(ContextNetError):
    """A model file is foreign, unsafe, or not what an engine can run."""


class ExportError(ContextNetError):
    """An exported network does not compute what its source computes."""


class CompressionError(ContextNetError):
    """A network cannot be made smaller in the way that is asked for."""


class StreamError(ContextNetError):
    """A source of frames cannot be read, or a sink of results cannot take them."""


class RecipeError(ContextNetError):
    """A training recipe has an unknown key, a wrong type or a value out of range."""


class RunError(ContextNetError):
    """A run folder cannot be used: it already holds a run, or holds none to resume."""


class TrainingError(ContextNetError):
    """Training cannot go on: the loss is not finite, or too many samples cannot be read."""


class MissingDependencyError(ContextNetError):
    """A feature needs a package that is not installed; the message names the extra that brings it."""
