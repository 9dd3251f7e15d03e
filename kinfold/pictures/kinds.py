"""Kinds of pictures that are read, by the endings of their files."""

from __future__ import annotations

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""As Pillow calls them. No others are tried: each decoder is one more that may have holes."""

KINDS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Endings, lower case. Which kind a file is of, its content says."""
