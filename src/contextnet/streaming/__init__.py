"""Streams: frames from cameras and videos, labelled in order and without lag. No PyTorch."""

from contextnet.streaming.figures import StageFigure, StreamFigures
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks.choice import open_sink
from contextnet.streaming.sinks.sink import Sink
from contextnet.streaming.sources.choice import SourceWishes, open_source
from contextnet.streaming.sources.source import Source, SourceCounts, SourceInfo
from contextnet.streaming.stream import LabelStream, StreamOptions

__all__ = [
    "Frame",
    "LabelStream",
    "Sink",
    "Source",
    "SourceCounts",
    "SourceInfo",
    "SourceWishes",
    "StageFigure",
    "StreamFigures",
    "StreamOptions",
    "open_sink",
    "open_source",
]
