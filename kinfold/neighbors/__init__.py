"""Nearest neighbours: of every gallery item (the self-join) and of a query."""

from kinfold.neighbors.cells import Cells, make_cells
from kinfold.neighbors.engine import ExactEngine, FaissEngine, KnnEngine, choose_engine
from kinfold.neighbors.lists import NeighborLists
from kinfold.neighbors.recall import estimate_recall
from kinfold.neighbors.scale import scaled_measure
from kinfold.neighbors.self_join import JoinKind, ambient_passes, choose_join, self_join

__all__ = [
    "Cells",
    "ExactEngine",
    "FaissEngine",
    "JoinKind",
    "KnnEngine",
    "NeighborLists",
    "ambient_passes",
    "choose_engine",
    "choose_join",
    "estimate_recall",
    "make_cells",
    "scaled_measure",
    "self_join",
]
