"""What can go wrong, each with a message that is complete for the person who reads it.

Every message names what was expected, what was found, and what to do about it, so that the
command line and the service can show it as it stands.
"""

from __future__ import annotations


class KinfoldError(Exception):
    """Base of every error that Kinfold raises on purpose."""


class InputError(KinfoldError, ValueError):
    """The caller's data or parameters cannot be used (wrong dimension, NaN, duplicate id, …)."""


class TakenNameError(InputError):
    """A collection of this name exists already."""


class LiveVersionError(InputError):
    """The live version of a collection cannot be removed."""


class UnknownNameError(KinfoldError, LookupError):
    """An id, a model or a collection was named that does not exist."""


class FormatError(KinfoldError):
    """A path does not hold an index that this version of Kinfold can read."""


class NewerFormatError(FormatError):
    """The index was written by a newer Kinfold."""


class CorruptIndexError(FormatError):
    """A file of the index is missing, truncated or altered."""


class StorageError(KinfoldError, OSError):
    """The disk is full, read-only, or refuses to write."""


class CapacityError(KinfoldError):
    """The work does not fit into this machine's memory or disk."""


class BusyError(KinfoldError):
    """Another process is already writing to this collection."""
