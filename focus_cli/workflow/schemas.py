"""The JSON schemas that Snakemake validates, made from the pydantic models."""

from __future__ import annotations

import json
from pathlib import Path

from focus_cli.workflow.config import RunConfig, SampleRow

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS = {"config.schema.json": RunConfig, "samples.schema.json": SampleRow}


def schema_text(name: str) -> str:
    """The text of one schema file."""
    schema = {"$schema": DIALECT, **MODELS[name].model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder`."""
    for name in MODELS:
        (Path(folder) / name).write_text(schema_text(name), encoding="utf-8")
