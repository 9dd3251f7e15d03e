"""Parameters that choose themselves: from the gallery alone, or by a few labelled queries."""

from kinfold.tuning.auto import automatic
from kinfold.tuning.report import TuningReport
from kinfold.tuning.run import tune

__all__ = ["TuningReport", "automatic", "tune"]
