"""Encoders: pictures in, vectors out, by ONNX. Needs the extra `images`."""
