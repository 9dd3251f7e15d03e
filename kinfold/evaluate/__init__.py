"""How good a ranking is: one protocol a module, all of them over gallery positions."""

from kinfold.evaluate.average_precision import (
    Rule,
    average_precision,
    average_precisions,
    mean_average_precision,
)
from kinfold.evaluate.bulls_eye import bulls_eye
from kinfold.evaluate.ground_truth import load_ground_truth
from kinfold.evaluate.labels import LabelScores, score_by_labels
from kinfold.evaluate.ranking import Rankings, check_rankings
from kinfold.evaluate.reid import ReidScores, reid
from kinfold.evaluate.revisited import ProtocolScores, revisited

__all__ = [
    "LabelScores",
    "ProtocolScores",
    "Rankings",
    "ReidScores",
    "Rule",
    "average_precision",
    "average_precisions",
    "bulls_eye",
    "check_rankings",
    "load_ground_truth",
    "mean_average_precision",
    "reid",
    "revisited",
    "score_by_labels",
]
