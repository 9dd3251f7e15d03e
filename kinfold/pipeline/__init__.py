"""From vectors to a published version, and from one version to the next."""

from kinfold.pipeline.build import build, plan_build, publish
from kinfold.pipeline.models import add_model, remove_model, set_default, take_model

__all__ = [
    "add_model",
    "build",
    "plan_build",
    "publish",
    "remove_model",
    "set_default",
    "take_model",
]
