"""Items, small pictures, maps and searches by a picture, by both clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.dependability.processes import Service
from kinfold.client import AsyncClient, Client, NotFoundError, RefusedError
from kinfold.errors import InputError


def test_what_there_is(service: Service) -> None:
    with Client(service.url) as client:
        listed = client.list_items("zoo", limit=3, offset=1)
        assert [item.id for item in listed.items] == ["1.png", "10.png", "11.png"]
        assert listed.total == 12
        assert listed.items[0].payload["width"] == 20
        wanted = {"column": "camera", "eq": "camera 1"}
        some = client.list_items("photos", sample=1, filter=wanted)
        assert {item.payload["camera"] for item in some.items} == {"camera 1"}
        assert client.get_thumbnail("zoo", "4.png").startswith(b"\xff\xd8")
        with pytest.raises(NotFoundError):
            client.get_thumbnail("photos", 4)
        found = client.get_map("zoo")
        assert sorted(found.ids) == sorted(f"{number}.png" for number in range(12))
        assert len(found.x) == len(found.y) == 12
        assert client.describe_collection("zoo").pictures["encoder"]["name"] == "tiny"


def test_by_a_picture(service: Service, data: Path, tmp_path: Path) -> None:
    path = data.parent / "pictures" / "6.png"
    with Client(service.url) as client:
        answer = client.search_picture("zoo", path, k=2, options={"model": "knn"})
        assert answer.ids[0] == "6.png"
        assert answer.model == "knn"
        part = client.search_picture("zoo", path.read_bytes(), crop=(2, 2, 9, 9), k=1)
        assert len(part.hits) == 1
        with pytest.raises(RefusedError, match="begins with"):
            client.search_picture("zoo", b"<svg/>")
        with pytest.raises(RefusedError, match="built from vectors"):
            client.search_picture("photos", path)
        with pytest.raises(InputError, match="cannot be read"):
            client.search_picture("zoo", tmp_path / "none.png")


def test_awaited(service: Service, data: Path) -> None:
    async def ask() -> str:
        async with AsyncClient(service.url) as client:
            answer = await client.search_picture("zoo", data.parent / "pictures" / "2.png")
            return str(answer.ids[0])

    assert asyncio.run(ask()) == "2.png"
