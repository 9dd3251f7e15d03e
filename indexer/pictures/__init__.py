"""Folders of pictures as a gallery: walked, embedded once, remembered."""

from indexer.pictures.labels import labels_from
from indexer.pictures.source import PictureSource, read_pictures
from indexer.pictures.walk import Skipped

__all__ = ["PictureSource", "Skipped", "labels_from", "read_pictures"]
