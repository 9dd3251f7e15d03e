"""Prometheus metrics: what is counted as it happens, and what is looked up when asked for."""

from service.metrics.names import note_request, note_search, note_swap
from service.metrics.page import CONTENT_TYPE, Looked, metrics_page

__all__ = [
    "CONTENT_TYPE",
    "Looked",
    "metrics_page",
    "note_request",
    "note_search",
    "note_swap",
]
