"""From measured peaks to the coefficients of `focus_cli.core.resources.costs`, and the tables of both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from focus_cli.core.resources.costs import COSTS
from focus_cli.core.resources.estimates import FLOOR_MB, MARGIN

LEAST = {"nonzero": 8.0, "training_nonzero": 8.0}  # bytes: CSR of float32 with 32-bit columns


def fit(
    records: list[dict], stage: str, quantity: Callable[[dict], float], least: dict[str, float]
) -> dict[str, float]:
    """Coefficients ≥ 0 (and ≥ `least`) whose line lies above all records, least in relative excess."""
    from scipy.optimize import linprog

    rows = [r for r in records if r["stage"] == stage]
    units = [u for u in COSTS[stage] if any(r["work"].get(u, 0.0) for r in rows)]
    amounts = np.array([[r["work"].get(u, 0.0) for u in units] for r in rows], float)
    values = np.array([quantity(r) for r in rows])
    # Both sides near 1, as the solver's tolerances want it.
    scale = np.median(values) / amounts.max(axis=0)
    relative = amounts * scale / values[:, None]
    bounds = [(least.get(u, 0.0) / s, None) for u, s in zip(units, scale)]
    found = linprog(relative.sum(axis=0), A_ub=-relative, b_ub=-np.ones(len(rows)), bounds=bounds)
    return dict(zip(units, found.x * scale)) if found.success else {}


def tables(records: list[dict]) -> str:
    """Coefficients of every stage, then each measurement beside what is asked for."""
    lines = []
    for stage in COSTS:
        if not any(r["stage"] == stage for r in records):
            continue
        memory = fit(records, stage, lambda r: r["peak_bytes"], LEAST)
        seconds = fit(records, stage, lambda r: r["cpu_seconds"], {})
        lines += [f"\n{stage}", "| unit | bytes | seconds |", "|---|---|---|"]
        lines += [f"| {u} | {memory.get(u, 0):.3g} | {seconds.get(u, 0):.3g} |" for u in COSTS[stage]]
    head = ("stage", "sample", "locations", "entries", "peak MB", "requested MB", "requested / peak", "s")
    lines += ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for r in sorted(records, key=lambda r: (r["stage"], r["work"]["nonzero"])):
        peak, amounts = r["peak_bytes"] / 1e6, r["work"]
        asked = max(MARGIN * sum(amounts.get(u, 0.0) * c.bytes for u, c in COSTS[r["stage"]].items()) / 1e6, FLOOR_MB)
        lines.append(
            f"| {r['stage']} | {r['name']} | {amounts['location']:,.0f} | {amounts['nonzero']:,.0f} | {peak:,.0f} "
            f"| {asked:,.0f} | {asked / peak:.2f} | {r['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"
