"""Folders of pictures as a gallery: walked, embedded once, remembered."""

from indexer.pictures.encoders import encoder_for_build
from indexer.pictures.source import PictureSource, read_pictures
from indexer.pictures.walk import Skipped

__all__ = ["PictureSource", "Skipped", "encoder_for_build", "read_pictures"]
