"""From the affinity matrix S to the rows of the diffusion matrix C."""

from kinfold.diffusion.order import LocalOrder
from kinfold.diffusion.rows import Diffused, DiffusionReport, diffuse
from kinfold.diffusion.tasks import DiffuseGroups, DiffuseNearest, Solving, row_blocks

__all__ = [
    "DiffuseGroups",
    "DiffuseNearest",
    "Diffused",
    "DiffusionReport",
    "LocalOrder",
    "Solving",
    "diffuse",
    "row_blocks",
]
