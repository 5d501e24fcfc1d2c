"""The view configuration of Vitessce (schema 1.0.17) and the page that opens it."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

VERSION = "1.0.17"  # of the schema
LIBRARY = "4.0.8"  # of Vitessce that the page loads; the configuration was looked at with it
REACT = "18.3.1"
_GENE, _TYPE = "gene", "cell type"


@dataclass(frozen=True)
class Source:
    """What the folder holds.

    Attributes
    ----------
    radius
        Of a location, in the unit of its position.
    groups
        Categorical columns of obs.
    shares, picture
        Whether there are shares of cell types, and an H&E.
    first_gene
        The gene that is shown at first.
    """

    name: str
    square: bool
    radius: float
    groups: list[str]
    shares: bool
    picture: bool
    first_gene: str | None


def view_config(source: Source) -> dict[str, Any]:
    """The configuration, with addresses relative to its own."""
    obs = "bin" if source.square else "spot"
    sets = [{"name": g.replace("_", " "), "path": f"obs/{g}"} for g in source.groups]
    files: list[dict[str, Any]] = [
        {
            "fileType": "anndata.zarr",
            "url": "data.zarr",
            "coordinationValues": {"obsType": obs, "featureType": _GENE, "featureValueType": "log1p CP10k, estimated"},
            "options": {
                "obsFeatureMatrix": {"path": "X"},
                "obsSpots": {"path": "obsm/spatial"},
                **({"obsSets": sets} if sets else {}),
            },
        }
    ]
    if source.shares:
        files.append(
            {
                "fileType": "anndata.zarr",
                "url": "shares.zarr",
                "coordinationValues": {"obsType": obs, "featureType": _TYPE, "featureValueType": "share"},
                "options": {"obsFeatureMatrix": {"path": "X"}},
            }
        )
    if source.picture:
        files.append(
            {"fileType": "image.ome-zarr", "url": "image.ome.zarr", "coordinationValues": {"fileUid": "picture"}}
        )
    space: dict[str, Any] = {
        "dataset": {"A": "A"},
        "obsType": {"A": obs},
        "featureType": {"A": _GENE, "B": _TYPE},
        "featureValueType": {"A": "log1p CP10k, estimated", "B": "share"},
        "featureSelection": {"A": [source.first_gene] if source.first_gene else None, "B": None},
        "obsColorEncoding": {"A": "cellSetSelection" if sets else "geneSelection"},
        "featureValueColormapRange": {"A": [0, 1]},
        "spatialSpotRadius": {"A": source.radius},
        "spatialLayerOpacity": {"A": 0.8},
        "spatialSpotFilled": {"A": True},
        "spotLayer": {"A": "__dummy__"},
    }
    # Layer → what is set for it → layer's scope → scope of the value.
    scopes: dict[str, Any] = {
        "spotLayer": {
            name: {"A": "A"}
            for name in (
                "obsType",
                "spatialSpotRadius",
                "spatialLayerOpacity",
                "spatialSpotFilled",
                "obsColorEncoding",
                "featureSelection",
                "featureValueColormapRange",
            )
        }
    }
    layers = {"spotLayer": ["A"]}
    if source.picture:
        space |= {
            "fileUid": {"A": "picture"},
            "imageLayer": {"A": "__dummy__"},
            "imageChannel": {c: "__dummy__" for c in "RGB"},
            "photometricInterpretation": {"A": "RGB"},
            "spatialTargetC": {"R": 0, "G": 1, "B": 2},
            "spatialChannelColor": {"R": [255, 0, 0], "G": [0, 255, 0], "B": [0, 0, 255]},
            "spatialChannelWindow": {c: [0, 255] for c in "RGB"},
            "spatialChannelVisible": {c: True for c in "RGB"},
            "spatialChannelOpacity": {c: 1.0 for c in "RGB"},
            "spatialLayerVisible": {"A": True},
        }
        space["spatialLayerOpacity"]["B"] = 1.0
        scopes["imageLayer"] = {
            "fileUid": {"A": "A"},
            "photometricInterpretation": {"A": "A"},
            "spatialLayerOpacity": {"A": "B"},
            "spatialLayerVisible": {"A": "A"},
            "imageChannel": {"A": list("RGB")},
        }
        scopes["imageChannel"] = {
            name: {c: c for c in "RGB"}
            for name in (
                "spatialTargetC",
                "spatialChannelColor",
                "spatialChannelWindow",
                "spatialChannelVisible",
                "spatialChannelOpacity",
            )
        }
        layers["imageLayer"] = ["A"]
    space["metaCoordinationScopes"] = {"A": {"obsType": "A", **layers}}
    space["metaCoordinationScopesBy"] = {"A": scopes}
    common = {
        "dataset": "A",
        "obsType": "A",
        "obsColorEncoding": "A",
        "featureSelection": "A",
        "featureType": "A",
        "featureValueType": "A",
        "featureValueColormapRange": "A",
    }
    meta = {"metaCoordinationScopes": ["A"], "metaCoordinationScopesBy": ["A"]}
    types = common | {"featureType": "B", "featureValueType": "B"}
    views = [_view("spatialBeta", common | meta, 0, 0, 8, 9), _view("layerControllerBeta", common | meta, 8, 0, 4, 4)]
    # No histogram of all genes: it would fetch the whole matrix.
    if sets:
        views.append(_view("featureList", common, 8, 4, 2, 5))
        views.append(_view("obsSets", common, 10, 4, 2, 5))
        views.append(_view("obsSetFeatureValueDistribution", common, 0, 9, 8, 3))
    else:
        views.append(_view("featureList", common, 8, 4, 4, 5))
    if source.shares:
        views.append(_view("featureList", types, 8, 9, 4, 3, {"title": "Cell types"}))
    return {
        "version": VERSION,
        "name": f"FOCUS: {source.name}",
        "description": "Values are estimates of FOCUS (log1p of counts per 10,000), not measurements.",
        "datasets": [{"uid": "A", "name": source.name, "files": files}],
        "coordinationSpace": space,
        "layout": views,
        "initStrategy": "auto",
    }


def _view(
    component: str, scopes: dict[str, Any], x: int, y: int, w: int, h: int, props: dict[str, Any] | None = None
) -> dict[str, Any]:
    view = {"component": component, "coordinationScopes": scopes, "x": x, "y": y, "w": w, "h": h}
    return view | ({"props": props} if props else {})


def page(name: str) -> str:
    """The page that opens ``config.json`` beside it; Vitessce itself comes from the network."""
    modules = {
        "react": f"https://esm.sh/react@{REACT}",
        "react/jsx-runtime": f"https://esm.sh/react@{REACT}/jsx-runtime",
        "react-dom": f"https://esm.sh/react-dom@{REACT}",
        "react-dom/client": f"https://esm.sh/react-dom@{REACT}/client",
        "vitessce": f"https://unpkg.com/vitessce@{LIBRARY}/dist/index.min.js",
    }
    return _PAGE.replace("@NAME@", html.escape(name)).replace("@MODULES@", json.dumps({"imports": modules}))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FOCUS: @NAME@</title>
<style>html, body { margin: 0; height: 100%; font: 15px system-ui, sans-serif; } p { padding: 1rem; }</style>
<script type="importmap">@MODULES@</script>
</head>
<body>
<div id="vitessce"><p>Loading. The data lie beside this page; Vitessce comes from the network. If nothing appears, serve
the folder (<code>python -m http.server</code>): a browser reads no data from a file on disk.</p></div>
<script type="module">
import React from "react";
import { createRoot } from "react-dom/client";
import { Vitessce } from "vitessce";
const config = await (await fetch("config.json")).json();
for (const dataset of config.datasets) {
  for (const file of dataset.files) { file.url = new URL(file.url, location.href).href; }
}
createRoot(document.getElementById("vitessce")).render(
  React.createElement(Vitessce, { config, height: Math.max(700, innerHeight - 10), theme: "light" })
);
</script>
</body>
</html>
"""
