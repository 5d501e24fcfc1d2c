"""Analysis results to an enhanced file with known values, written as the verbs after enhancement write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile

RECORD = {"command": "test", "focus_version": "0", "settings": {}, "inputs": {}, "seed": 1}
DOMAINS = ("D1", "D2", "D10")
TYPES = ("epithelium", "stroma", "B cell")


def write_all(enhanced: Path, folder: Path, seed: int = 0) -> dict[str, Path]:
    """One analysis result of every kind, by kind; what is left of the middle is D1, what is right of it D2 and D10."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = {}
    with SpatialFile(enhanced) as file:
        n, index, genes = len(file.obs), file.obs.index, list(file.var.index)
        right = file.xy[:, 0] > np.median(file.xy[:, 0])
        low = file.xy[:, 1] > np.median(file.xy[:, 1])

        def write(kind: str, **parts: object) -> None:
            paths[kind] = folder / f"{kind}.h5ad"
            write_analysis_result(paths[kind], file, kind, RECORD | {"command": kind}, **parts)

        domain = np.where(~right, DOMAINS[0], np.where(low, DOMAINS[2], DOMAINS[1]))
        confidence = np.clip(rng.normal(0.8, 0.1, n), 0, 1)
        obs = pd.DataFrame({"domain": pd.Categorical(domain, categories=DOMAINS)}, index=index)
        obs["domain_confidence"], obs["domain_boundary"] = confidence, confidence < 0.65
        write("domains", obs=obs, facts={"resolution": 0.6, "stability": 0.91, "warnings": ["only two samples"]})

        share = rng.dirichlet([6, 3, 1], n).astype(np.float32)
        share[right] = share[right][:, [1, 0, 2]]
        tables = {
            "cell_type_proportions": share,
            "cell_type_proportions_low": np.clip(share - 0.1, 0, 1),
            "cell_type_proportions_high": np.clip(share + 0.1, 0, 1),
        }
        obsm = {k: pd.DataFrame(v, index=index, columns=list(TYPES)) for k, v in tables.items()}
        obs = pd.DataFrame({"cell_type": pd.Categorical(np.array(TYPES)[share.argmax(1)])}, index=index)
        obs["cell_type_confidence"] = share.max(1)
        write("celltypes", obs=obs, obsm=obsm)

        var = pd.DataFrame(index=pd.Index(genes[:8]))
        var["measured"], var["statistic"] = True, np.linspace(0.8, 0.0, 8)
        var["p"] = np.geomspace(1e-12, 0.9, 8)
        var["q"] = np.minimum(1, 8 * var["p"])
        obs = pd.DataFrame({"niche": pd.Categorical(np.where(low, "N1", "N2"))}, index=index)
        write("patterns", obs=obs, var=var)

        pairs = [f"{genes[0]}^{genes[1]}_{genes[2]}", f"{genes[3]}^{genes[4]}"]
        var = pd.DataFrame(index=pd.Index(pairs))
        var["ligand"], var["receptor"] = zip(*(p.split("^") for p in pairs))
        var["pathway"], var["statistic"], var["p"], var["q"] = "test", [2.0, 0.1], [0.001, 0.6], [0.002, 0.6]
        x = np.stack([right, low], axis=1).astype(np.float32) * rng.uniform(0.5, 1, (n, 2)).astype(np.float32)
        write("interactions", var=var, x=x)

        p = np.clip(np.where(right, 0.9, 0.1) + rng.normal(0, 0.05, n), 0, 1)
        label = pd.Series(np.where(p > 0.5, "invasive cancer", "rest"), index=index, dtype=object)
        label[:5] = None  # the classifier abstains
        obs = pd.DataFrame({"annotation": pd.Categorical(label)}, index=index)
        obs["annotation_confidence"] = np.maximum(p, 1 - p)
        table = pd.DataFrame(np.stack([p, 1 - p], 1), index=index, columns=["invasive cancer", "rest"])
        write("annotation", obs=obs, obsm={"annotation_probability": table})

        var = pd.DataFrame(index=pd.Index(genes[:2]))
        sizes = (("image", 1.0), ("neighbours", 0.5), ("prior", 0.1))
        parts = {k: rng.normal(0, s, (n, 2)).astype(np.float32) for k, s in sizes}
        write("why", var=var, x=sum(parts.values()), layers=parts)

        write("outcome", obs=pd.DataFrame({"attention": rng.dirichlet(np.ones(n))}, index=index))

        obsm = {"focus_location": rng.normal(size=(n, 5)).astype(np.float32)}
        obsm["focus_neighbourhood"] = np.c_[right, low, rng.normal(size=n)].astype(np.float32)
        write("embedding", obsm=obsm, facts={"space": "test"}, uns={"focus_slide": np.zeros(5, np.float32)})
    return paths
