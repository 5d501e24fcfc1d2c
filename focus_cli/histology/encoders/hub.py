"""Files from the Hugging Face hub, or from its cache where the machine is offline."""

from __future__ import annotations

from pathlib import Path

from focus_cli.core.errors import FocusError, MissingResourceError
from focus_cli.histology.encoders.libraries import require


def fetch(repository: str, files: tuple[str, ...], name: str) -> Path:
    """Return a local copy of the first of `files` that the repository has.

    Raises
    ------
    MissingResourceError
        If access is gated, the hub cannot be reached, or it has none of them.
    """
    hub = require("huggingface_hub", f"encoder {name}")
    for file in files:
        try:
            return Path(hub.hf_hub_download(repository, file))
        except Exception as error:
            # A file that is not in the cache of an offline machine is one of these too.
            if file != files[-1] and _causes(error) & {"EntryNotFoundError", "RemoteEntryNotFoundError"}:
                continue
            raise hub_refusal(error, repository, name) from error
    raise MissingResourceError(f"{repository} has none of {', '.join(files)}")


def hub_refusal(error: BaseException, repository: str, name: str) -> FocusError:
    """Turn whatever the hub's client raises into one line with a hint."""
    causes, text = _causes(error), str(error).lower()
    offline = causes & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}
    if "GatedRepoError" in causes or "gated repo" in text or "401 client" in text or "403 client" in text:
        return MissingResourceError(
            f"encoder {name}: access to {repository} is gated, and this machine is not logged in or was not granted it",
            hint=f"request access at https://huggingface.co/{repository}, then run `hf auth login` (or set HF_TOKEN)",
        )
    if "RepositoryNotFoundError" in causes or "is not a local folder" in text:
        return MissingResourceError(
            f"encoder {name}: there is no {repository} on the hub, or it is private",
            hint="check the name; private ones need `hf auth login`",
        )
    if not offline and causes & {"EntryNotFoundError", "RemoteEntryNotFoundError"}:
        return MissingResourceError(
            f"encoder {name}: {repository} holds no weights that can be read without running code",
            hint="convert them to safetensors, and give the file with --weights",
        )
    return MissingResourceError(
        f"encoder {name}: {repository} not available from the hub: {(str(error).splitlines() or ['no response'])[0]}",
        hint="download it where there is a network, and give the file with --weights or the folder as hf:FOLDER",
    )


def _causes(error: BaseException | None) -> set[str]:
    """Names of the classes of an exception and of what caused it."""
    names: set[str] = set()
    while error is not None:
        names |= {cls.__name__ for cls in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return names
