"""What both clients can do, each method described once."""

from __future__ import annotations

from kinfold.client.methods.builds import Builds
from kinfold.client.methods.collections import Collections
from kinfold.client.methods.items import Items
from kinfold.client.methods.operation import Operation
from kinfold.client.methods.search import Search
from kinfold.client.methods.snapshots import Snapshots
from kinfold.client.methods.uploads import Uploads


class Methods(Search, Items, Collections, Snapshots, Uploads, Builds, Operation):
    """All methods of a client."""
