"""The peer of `benchmarks.http`: the same search as a service of one file, written the plain way.

FastAPI, a pydantic body, a flat faiss index, and S·C as a product of SciPy's sparse matrices. The
endpoint is a plain function, which FastAPI runs in its thread pool; faiss and SciPy use a thread a
request. It answers what Kinfold answers.

HTTP_PLAIN=folder uvicorn benchmarks.http_plain:app
"""

import os
from pathlib import Path

import faiss
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from scipy import sparse

FOLDER = Path(os.environ["HTTP_PLAIN"])
K_Q = 10

vectors = np.load(FOLDER / "vectors.npy")
matrix = sparse.load_npz(FOLDER / "rows.npz")
gamma = float(np.load(FOLDER / "gamma.npy"))
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
faiss.omp_set_num_threads(1)

app = FastAPI()


class Query(BaseModel):
    """A search."""

    vector: list[float]
    k: int = 10
    model: str = "default"


@app.post("/search")
def search(query: Query) -> dict:
    """The k best items of one query."""
    vector = np.array([query.vector], dtype=np.float32)
    vector /= np.linalg.norm(vector)
    similarities, neighbors = index.search(vector, max(query.k, K_Q))
    if query.model == "knn":
        found, scores = neighbors[0][: query.k], similarities[0][: query.k]
        return _answer(found, scores, scores)
    weights = np.maximum(similarities[0][:K_Q], 0) ** gamma
    seeds = sparse.csr_matrix((weights, ([0] * K_Q, neighbors[0][:K_Q])), (1, len(vectors)))
    row = seeds @ matrix
    best = np.argsort(-row.data, kind="stable")[: query.k]
    found, scores = row.indices[best], row.data[best]
    if len(found) < query.k:
        rest = [item for item in neighbors[0] if item not in set(found)]
        missing = query.k - len(found)
        found = np.concatenate([found, rest[:missing]]).astype(int)
        scores = np.concatenate([scores, np.zeros(missing)])
    return _answer(found, scores, vectors[found] @ vector[0])


def _answer(found: np.ndarray, scores: np.ndarray, similarities: np.ndarray) -> dict:
    hits = [
        {"id": item, "score": score, "similarity": similarity}
        for item, score, similarity in zip(
            found.tolist(), scores.tolist(), similarities.tolist(), strict=True
        )
    ]
    return {"hits": hits}
