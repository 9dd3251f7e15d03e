"""What is wrong with a picture."""

from __future__ import annotations

from kinfold.errors import InputError


class PictureError(InputError):
    """A picture that cannot be used."""
