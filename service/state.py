"""The parts of the running service, and the way from a request to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from fastapi import Request

from service.atlases import Atlases
from service.cache import AnswerCache
from service.collections import Collections
from service.encoders import Encoders
from service.files import FileWork
from service.jobs import Jobs
from service.pool import SearchPool
from service.redis_link import RedisLink
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """What the addresses work with; ``app.state.service`` while the application runs.

    Attributes
    ----------
    redis:
        Links to the Redis that are configured, by what they are called.
    cache:
        None: answers are not kept.
    """

    settings: Settings
    collections: Collections
    pool: SearchPool
    files: FileWork
    jobs: Jobs
    redis: dict[str, RedisLink] = field(default_factory=dict)
    cache: AnswerCache | None = None
    atlases: Atlases = field(default_factory=Atlases)
    encoders: Encoders = field(default_factory=Encoders)


def service_of(request: Request) -> Service:
    """The running service."""
    return cast("Service", request.app.state.service)
