"""Evaluation: confusion matrix, IoU and iIoU as Cityscapes defines them, test-server submission."""

from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.evaluator import Evaluation, ImageScore, Progress, evaluate, evaluate_share, merge_shares
from contextnet.evaluation.instances import InstanceStatistics
from contextnet.evaluation.predictor import Predictor
from contextnet.evaluation.robustness import ConditionScores, Robustness, measure_robustness
from contextnet.evaluation.scores import Scores, compute_scores
from contextnet.evaluation.scoring import Scoring
from contextnet.evaluation.share import Share
from contextnet.evaluation.submission import submission_name, write_submission
from contextnet.evaluation.table import scores_table

__all__ = [
    "ConditionScores",
    "ConfusionMatrix",
    "Evaluation",
    "ImageScore",
    "InstanceStatistics",
    "Predictor",
    "Progress",
    "Robustness",
    "Scores",
    "Scoring",
    "Share",
    "compute_scores",
    "evaluate",
    "evaluate_share",
    "measure_robustness",
    "merge_shares",
    "scores_table",
    "submission_name",
    "write_submission",
]
