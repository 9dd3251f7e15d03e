"""Logging of service and workers: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import logging.config
from datetime import UTC, datetime

import orjson

access_log = logging.getLogger("kinfold.access")
service_log = logging.getLogger("kinfold.service")
worker_log = logging.getLogger("kinfold.worker")

FIELDS = "fields"
"""The attribute of a log record that holds further members of its line."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Send the logs of the service and of the server to standard error."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonLines}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {
                "kinfold": {"level": level.upper()},
                "uvicorn": {"level": level.upper()},
            },
        }
    )
