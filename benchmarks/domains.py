"""Spatial domains against labels: raw, smoothed, enhanced, FOCUS and published methods, with as many domains each.

    python benchmarks/domains.py --out results/domains --peers banksy=VENV/bin/python --peers spagcn=… --peers graphst=…

Sections: E1, G2, H1 of st_her2_breast (pathologist), the mouse cortex of osmFISH (the authors' regions), and simulated
Visium sections, as measured and with 3 % of the molecules. Every method is told how many labels a section has;
locations without a label, or "undetermined", are clustered and not scored. Intervals: 300 resamples of spatial
blocks. What was made is kept in --out and not made again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from focus_cli.analysis.domains.section import Section, beside, tissue_vectors
from focus_cli.analysis.embedding.neighbourhood import neighbourhoods
from focus_cli.core.h5ad.spatial_file import plain

PEERS = Path(__file__).parent / "peers" / "run_domains.py"
STEPS = "400"
SHALLOW = 0.03
BLOCKS = 6  # per side
RESAMPLES = 300


@dataclass(frozen=True)
class Case:
    """A section with labels, its stored sample, and files made of it by name."""

    name: str
    sample: Path
    labels: pd.Series
    embeddings: dict[str, Path]
    enhanced: Path


def focus(*words: object) -> None:
    """Run a verb; its progress is not of interest."""
    done = subprocess.run([sys.executable, "-m", "focus_cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"focus {' '.join(map(str, words))}\n{done.stderr[-2000:]}")


def once(out: Path, *words: object) -> Path:
    """Run a verb whose --out is `out`, unless it is there."""
    if not out.exists():
        focus(*words, "--out", out)
    return out


def breast(data: Path, work: Path) -> list[Case]:
    """E1, G2, H1 under a model of C3–C5, another patient, and under focus-nano, which saw their counts but no label."""
    folder = data / "st_her2_breast"
    samples = {}
    for name in ("C3", "C4", "C5", "E1", "G2", "H1"):
        image = next(iter(sorted((folder / "ST-imgs" / name[0] / name).glob("*.jpg"))), None)
        extra = [] if image is None else ["--image", image]
        raw = folder / "ST-cnts" / f"{name}.tsv.gz"
        samples[name] = once(work / "samples" / name, "preprocess", raw, "--sample", name, "--organ", "breast", *extra)
    trained = [samples[name] for name in ("C3", "C4", "C5")]
    model = once(work / "models" / "breast", "train", *trained, "--max-steps", STEPS)
    cases = []
    for name in ("E1", "G2", "H1"):
        table = pd.read_csv(folder / "ST-pat" / "lbl" / f"{name}_labeled_coordinates.tsv", sep="\t").dropna(
            subset=["x"]
        )
        index = [f"{round(x)}x{round(y)}" for x, y in zip(table["x"], table["y"])]
        labels = pd.Series(table["label"].to_numpy(), index=index)
        cases.append(_case(name, samples[name], labels[labels != "undetermined"], work, model, nano=True))
    return cases


def osmfish(data: Path, work: Path) -> list[Case]:
    """The cortex under a model trained on itself, without its labels."""
    table = work / "osmfish.h5ad"
    if not table.exists():
        script = Path(__file__).with_name("osmfish.py")
        subprocess.run([sys.executable, script, "--out", table, "--data", data], check=True)
    sample = once(work / "samples" / "osmFISH", "preprocess", table, "--sample", "osmFISH")
    model = once(work / "models" / "osmfish", "train", sample, "--max-steps", STEPS)
    labels = anndata.read_h5ad(table, backed="r").obs["region"].astype(str)
    return [_case("osmFISH", sample, labels, work, model)]


def simulated(work: Path) -> list[Case]:
    """Two Visium sections under a model of two others, as measured and shallow."""
    study = work / "study"
    if not study.exists():
        focus("simulate", study, "--sections", 4, "--seed", 21, "--mpp", 2)
    samples = {}
    for name in ("S1", "S2", "S3", "S4"):
        samples[name] = once(work / "samples" / name, "preprocess", study / "sections" / name, "--sample", name)
    model = once(work / "models" / "simulated", "train", samples["S3"], samples["S4"], "--max-steps", STEPS)
    cases = []
    for name in ("S1", "S2"):
        labels = anndata.read_h5ad(study / "truth" / f"{name}.h5ad", backed="r").obs["domain"].astype(str)
        cases.append(_case(name, samples[name], labels, work, model, modes=("joint", "expression", "histology")))
        shallow = work / "samples" / f"{name}-shallow"
        if not shallow.exists():
            _thinned(samples[name], shallow)
        cases.append(_case(shallow.name, shallow, labels, work, model, modes=("joint", "expression")))
    return cases


def _thinned(sample: Path, out: Path) -> None:
    shutil.copytree(sample, out)
    adata = anndata.read_h5ad(out / "counts.h5ad")
    counts = sparse.csr_matrix(adata.X)
    counts.data = np.random.default_rng(1).binomial(counts.data.astype(int), SHALLOW).astype(np.float32)
    counts.eliminate_zeros()
    adata.X = counts
    adata.obs["total_counts"] = np.asarray(counts.sum(axis=1)).ravel()
    adata.write_h5ad(out / "counts.h5ad")


def _case(name, sample, labels, work: Path, model: Path, modes=("expression",), *, nano: bool = False) -> Case:
    embeddings = {
        mode: once(
            work / "embeddings" / f"{name}.{mode}.h5ad",
            *("embed", sample, "--model", model, "--mode", mode, "--samples", 4),
        )
        for mode in modes
    }
    if nano:
        out = work / "embeddings" / f"{name}.nano.h5ad"
        embeddings["focus-nano"] = once(out, "embed", sample, "--mode", "expression", "--samples", 4)
    words = ("enhance", sample, "--model", model, "--genes", "measured", "--layers", "", "--samples", 4)
    if len(modes) > 1:  # sections with an H&E: the row of enhanced expression is one of counts alone
        words += ("--ablate", "image=drop")
    return Case(name, sample, labels, embeddings, once(work / "enhanced" / f"{name}.h5ad", *words))


def components(values: np.ndarray, n: int = 30) -> np.ndarray:
    """Leading principal components, at most as many as there are genes."""
    return PCA(min(n, *values.shape), random_state=0).fit_transform(np.asarray(values, np.float64))


def smoothed(vectors: np.ndarray, xy_um: np.ndarray, n: int = 7) -> np.ndarray:
    """Mean of a location and its six nearest neighbours."""
    _, near = cKDTree(xy_um).query(xy_um, k=n)
    return vectors[near].mean(axis=1)


def representations(case: Case) -> tuple[anndata.AnnData, dict[str, np.ndarray]]:
    """Raw counts, and what Leiden and the mixture are asked to cluster."""
    adata = anndata.read_h5ad(case.sample / "counts.h5ad")
    counts = sparse.csr_matrix(adata.X)
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    logged = np.log1p(sparse.diags(1e4 / total) @ counts).toarray()
    if logged.shape[1] > 2000:  # the most variable, as every published method here takes
        logged = logged[:, np.argsort(-logged.var(axis=0), kind="stable")[:2000]]
    enhanced = anndata.read_h5ad(case.enhanced)
    x = np.asarray(enhanced[adata.obs_names, enhanced.var["measured"].to_numpy()].X)
    xy = np.asarray(adata.obsm["spatial_um"])
    raw = components(logged)
    return adata, {
        "raw PCs": raw,
        "raw PCs, smoothed": smoothed(raw, xy),
        "enhanced PCs": components(x - x.mean(axis=0)),
        "enhanced PCs, smoothed": smoothed(components(x), xy),
    }


def _plain_section(adata: anndata.AnnData, vectors: np.ndarray, kernels: tuple) -> Section:
    """What the verb would make of vectors that no model has a part in."""
    widths, footprint = kernels
    return Section(
        name="section",
        path=Path(),
        usable=np.ones(adata.n_obs, bool),
        xy_um=np.asarray(adata.obsm["spatial_um"]),
        pitch_um=0.0,
        footprint_um=footprint,
        space="",
        widths_um=widths,
        vectors=vectors.astype(np.float32),
        draws=[],
        total_counts=np.asarray(adata.X.sum(axis=1), np.float64).ravel(),
    )


def scores(labels: pd.Series, found: pd.Series, xy_um: np.ndarray, seed: int = 0) -> dict[str, tuple]:
    """ARI and NMI, each with the middle 95 % over resamples of spatial blocks."""
    truth = labels.astype("category").cat.codes.to_numpy()
    answer = found.astype("category").cat.codes.to_numpy()
    span = np.ptp(xy_um, axis=0).max() / BLOCKS + 1e-9
    block = np.unique(((xy_um - xy_um.min(axis=0)) // span).astype(int) @ [1000, 1], return_inverse=True)[1].ravel()
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn = [
        np.concatenate([members[b] for b in rng.integers(len(members), size=len(members))]) for _ in range(RESAMPLES)
    ]
    result = {}
    for name, measure in (("ARI", adjusted_rand_score), ("NMI", normalized_mutual_info_score)):
        low, high = np.quantile([measure(truth[d], answer[d]) for d in drawn], [0.025, 0.975])
        result[name] = (measure(truth, answer), low, high)
    return result


def by_peer(python: str, method: str, adata: anndata.AnnData, n_domains: int, out: Path) -> pd.Series | None:
    """Labels of a published method; None where it fails, with its last words."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        prepared = out.with_suffix(".h5ad")
        adata.write_h5ad(prepared)
        words = [python, PEERS, method, "--sample", prepared, "--n-domains", n_domains, "--out", out]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
        prepared.unlink()
        if done.returncode:
            print(f"{out.stem}: failed: {done.stderr.strip().splitlines()[-1][:200]}", file=sys.stderr)
            return None
    table = pd.read_csv(out, sep="\t", comment="#", dtype={"location": str})
    return table.set_index("location")["domain"]


def of_focus(file: Path, out: Path, n_domains: int | None, *flags: str) -> pd.DataFrame:
    """Domains of one section and their confidence, by the verb."""
    words = ("domains", file, *flags) + (() if n_domains is None else ("--n-domains", n_domains))
    once(out, *words)
    return anndata.read_h5ad(next(iter(sorted(out.glob("*.h5ad"))))).obs


def seen_by_focus(embedding: Path, names: pd.Index) -> np.ndarray:
    """The vectors that the verb divides (but for the depth), on their leading axes."""
    adata = anndata.read_h5ad(embedding)[names]
    told = plain(dict(adata.uns["focus"]))
    blocks = tissue_vectors(
        adata.obsm["focus_location"], adata.obsm["focus_neighbourhood"], told["widths_um"], told["footprint_um"]
    )
    return components(blocks, 15)


def calibration(labels: pd.Series, answer: pd.DataFrame) -> dict[str, float]:
    """Mean confidence and the share that is correct; each domain is assigned at most one label.

    `off` is the mean distance of the two over fifths of the locations by confidence.
    """
    table = pd.crosstab(answer["domain"].astype(str), labels)
    domain, label = linear_sum_assignment(table.to_numpy(), maximize=True)
    stands_for = dict(zip(table.index[domain], table.columns[label]))
    right = (answer["domain"].astype(str).map(stands_for) == labels).to_numpy(float)
    confidence = answer["domain_confidence"].to_numpy(float)
    fifths = np.array_split(np.argsort(confidence, kind="stable"), 5)
    off = sum(len(f) * abs(right[f].mean() - confidence[f].mean()) for f in fifths) / len(right)
    return {"right": right.mean(), "confidence": confidence.mean(), "off": off}


def evaluate(case: Case, work: Path, peers: dict[str, str]) -> list[dict]:
    """One row for each method."""
    adata, vectors = representations(case)
    labels = case.labels.reindex(adata.obs_names).dropna()
    number = labels.nunique()
    xy = pd.DataFrame(np.asarray(adata.obsm["spatial_um"]), index=adata.obs_names).loc[labels.index].to_numpy()
    bare = anndata.AnnData(adata.X, obs=adata.obs[[]], var=adata.var[[]], obsm={"spatial_um": adata.obsm["spatial_um"]})
    found: dict[str, pd.Series | None] = {}
    mixture = GaussianMixture(number, covariance_type="tied", n_init=5, random_state=0)
    found["raw PCs, smoothed: mixture"] = pd.Series(
        mixture.fit_predict(vectors["raw PCs, smoothed"][:, :15]), index=adata.obs_names
    )
    # The verb's kernels and its mixture on plain components: what is owed to the model, and what to the rest.
    told = plain(dict(anndata.read_h5ad(next(iter(case.embeddings.values())), backed="r").uns["focus"]))
    around = neighbourhoods(
        np.asarray(adata.obsm["spatial_um"]), vectors["raw PCs"], np.ones(adata.n_obs), tuple(told["widths_um"])
    )
    kernels = tuple(told["widths_um"]), told["footprint_um"]
    same = components(tissue_vectors(vectors["raw PCs"], around, *kernels), 15)
    found["raw PCs, FOCUS kernels: mixture"] = pd.Series(mixture.fit_predict(same), index=adata.obs_names)
    with_depth = beside([_plain_section(adata, tissue_vectors(vectors["raw PCs"], around, *kernels), kernels)])[0]
    found["raw PCs, FOCUS kernels, depth: mixture"] = pd.Series(
        mixture.fit_predict(components(with_depth.vectors, 15)), index=adata.obs_names
    )
    leiden = peers.get("leiden") or next(iter(peers.values()), None)
    if leiden:
        for name, values in vectors.items():
            bare.obsm["vectors"] = values
            out = work / "peers" / f"{case.name}.leiden.{name.replace(' ', '_').replace(',', '')}.tsv"
            found[f"{name}: Leiden"] = by_peer(leiden, "leiden", bare, number, out)
        bare.obsm.pop("vectors", None)
    for method in ("spagcn", "graphst", "banksy"):
        if method in peers:
            found[method] = by_peer(peers[method], method, bare, number, work / "peers" / f"{case.name}.{method}.tsv")
    sure = {}
    for mode, file in {**case.embeddings, "enhanced": case.enhanced}.items():
        told = work / "domains" / f"{case.name}.{mode}"
        for name, folder, asked, flags in (
            (f"FOCUS {mode}", told, number, ()),
            (f"FOCUS {mode}, number by stability", Path(f"{told}.auto"), None, ()),
            (f"FOCUS {mode}, without depth", Path(f"{told}.shares"), number, ("--ignore-depth",)),
        ):
            answer = of_focus(file, folder, asked, *flags)
            found[name] = answer["domain"].astype(str)
            if asked is not None and not flags:
                sure[name] = calibration(labels, answer.loc[labels.index])
        if (
            leiden and mode in case.embeddings
        ):  # the same vectors under the clusterer of the baselines: what is owed to which
            bare.obsm["vectors"] = seen_by_focus(file, adata.obs_names)
            out = work / "peers" / f"{case.name}.leiden.FOCUS_{mode}.tsv"
            found[f"FOCUS {mode} vectors: Leiden"] = by_peer(leiden, "leiden", bare, number, out)
            del bare.obsm["vectors"]
    rows = []
    for method, domains in found.items():
        if domains is None:
            rows.append({"section": case.name, "method": method, "domains": 0})
            continue
        row = {"section": case.name, "method": method, "domains": domains.nunique()} | sure.get(method, {})
        for measure, value in scores(labels, domains.reindex(labels.index), xy).items():
            row |= dict(zip((measure, f"{measure}_low", f"{measure}_high"), value))
        rows.append(row)
    return rows


def markdown(rows: pd.DataFrame) -> str:
    """Methods × sections, ARI with its interval; then the same of NMI."""
    text = []
    for measure in ("ARI", "NMI"):
        sections = list(dict.fromkeys(rows["section"]))
        text.append(f"**{measure}**\n\n| method | " + " | ".join(sections) + " |\n|---|" + "---:|" * len(sections))
        for method in dict.fromkeys(rows["method"]):
            cells = []
            for section in sections:
                row = rows[(rows["section"] == section) & (rows["method"] == method)]
                if row.empty or pd.isna(row.iloc[0].get(measure)):
                    cells.append("–" if row.empty else "failed")
                    continue
                r = row.iloc[0]
                number = f" ({int(r['domains'])})" if "stability" in method else ""
                cells.append(f"{r[measure]:.2f} [{r[f'{measure}_low']:.2f}, {r[f'{measure}_high']:.2f}]{number}")
            text.append(f"| {method} | " + " | ".join(cells) + " |")
        text.append("")
    if "confidence" in rows:
        text.append("**Confidence**\n\n| section | method | mean | correct | off |\n|---|---|---:|---:|---:|")
        for r in rows.dropna(subset=["confidence"]).itertuples():
            text.append(f"| {r.section} | {r.method} | {r.confidence:.2f} | {r.right:.2f} | {r.off:.2f} |")
        text.append("")
    return "\n".join(text).replace("0.", ".")


def main() -> None:
    """Make what is missing, evaluate, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    parser.add_argument("--peers", action="append", default=[], metavar="METHOD=PYTHON", help="leiden: any of them")
    parser.add_argument("--sections", help="only these, by comma")
    parser.add_argument("--quick", action="store_true", help="the simulated sections alone")
    options = parser.parse_args()
    peers = dict(text.split("=", 1) for text in options.peers)
    work = options.out
    makers = {"S1 S2 S1-shallow S2-shallow": lambda: simulated(work)}
    if not options.quick:
        makers = {
            "E1 G2 H1": lambda: breast(options.data, work),
            "osmFISH": lambda: osmfish(options.data, work),
        } | makers
    wanted = set(options.sections.split(",")) if options.sections else None
    rows = []
    for names, make in makers.items():
        if wanted is None or wanted & set(names.split()):
            rows += [
                row for case in make() if wanted is None or case.name in wanted for row in evaluate(case, work, peers)
            ]
    table = pd.DataFrame(rows)
    table.to_csv(
        work / ("domains.tsv" if wanted is None else f"domains.{'.'.join(sorted(wanted))}.tsv"), sep="\t", index=False
    )
    print(markdown(table))


if __name__ == "__main__":
    main()
