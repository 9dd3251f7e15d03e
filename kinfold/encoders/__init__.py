"""Encoders: pictures in, vectors out, by ONNX. Needs the extra `images`."""

from kinfold.encoders.encoder import Encoder, open_encoder
from kinfold.encoders.load import DEFAULT_ENCODER, default_encoder_file, load_encoder
from kinfold.encoders.many import Done, embed_many
from kinfold.encoders.spec import EncoderSpec, read_spec

__all__ = [
    "DEFAULT_ENCODER",
    "Done",
    "Encoder",
    "EncoderSpec",
    "default_encoder_file",
    "embed_many",
    "load_encoder",
    "open_encoder",
    "read_spec",
]
