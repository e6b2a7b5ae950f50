"""Evaluation of a split by all processes of a run together."""

from __future__ import annotations

from contextnet.data.sample import SegmentationData
from contextnet.errors import ContextNetError
from contextnet.evaluation.evaluator import Evaluation, Progress, evaluate_share, merge_shares
from contextnet.evaluation.predictor import Predictor
from contextnet.evaluation.share import Share
from contextnet.stop_signals import Stopped
from contextnet.training.messages import gather
from contextnet.training.ranks import Ranks


def evaluate_together(
    predictor: Predictor, data: SegmentationData, ranks: Ranks, progress: Progress | None = None
) -> Evaluation:
    """Evaluate a split with every rank predicting its share; each gets the scores that one process would, bit for bit.

    ``progress`` counts this rank's own images. An error of the data on one rank is raised on all of them, and so is
    ``Stopped``, by which ``progress`` may end the evaluation.
    """
    outcome: Share | ContextNetError | int
    try:
        outcome = evaluate_share(predictor, data, ranks.rank, ranks.world_size, progress)
    except ContextNetError as error:
        outcome = error
    except Stopped as stopped:
        outcome = stopped.signal_number
    shares: list[Share] = []
    for one in gather(outcome, ranks):
        if isinstance(one, ContextNetError):
            raise one
        if isinstance(one, int):
            raise Stopped(one)
        shares.append(one)
    return merge_shares(shares, data.labels)
