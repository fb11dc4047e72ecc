"""Reads a repository of the Hub at one commit: what it is, and its files as quantizations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from workbench.errors import HubError, UserError
from workbench.hub.client import HubClient
from workbench.hub.quantizations import is_safe_name, sort_files
from workbench.hub.repository import RepoFile, Repository
from workbench.hub.search import count, is_repo_id, summary_of

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_repository(client: HubClient, repo_id: str, revision: str | None = None) -> Repository:
    """The repository at `revision` (branch, tag or commit; None: its main branch); blocks. `revision` of the result
    is always the full commit, so what is downloaded later is what was shown.

    A renamed repository comes back under its present id. File names that would leave a folder are left out.
    Raises UserError for what is no id, and what `HubClient.ask` raises.
    """
    if not is_repo_id(repo_id):
        raise UserError(f"{repo_id[:200]!r} is no repository id; one looks like author/name.", code="hub_id_invalid")
    # Bytes of a command line that are no UTF-8 arrive as lone surrogates.
    named = quote((revision or "").encode("utf-8", "surrogateescape"), safe="")
    path = f"api/models/{repo_id}" + (f"/revision/{named}" if named else "")
    record = next(client.pages(path, {}, repo_id))
    summary = summary_of(record)
    commit = record.get("sha") if isinstance(record, Mapping) else None
    if summary is None or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _strange(client, repo_id)
    tree = f"api/models/{summary.repo_id}/tree/{commit}"
    files: list[RepoFile] = []
    for page in client.pages(tree, {"recursive": "true"}, summary.repo_id):
        if not isinstance(page, list):
            raise _strange(client, repo_id)
        files += [file for file in map(_file, page) if file is not None]
    sorted_files = sort_files(files, summary.parameters)
    return Repository(summary, commit, sorted_files.quantizations, sorted_files.projectors, sorted_files.others)


def _file(entry: Any) -> RepoFile | None:
    """A file of the tree; None for folders and for what nobody could store."""
    if not isinstance(entry, Mapping) or entry.get("type") != "file":
        return None
    name, size = entry.get("path"), count(entry.get("size"))
    if not isinstance(name, str) or not is_safe_name(name) or size is None:
        return None
    lfs = entry.get("lfs")
    lfs = lfs if isinstance(lfs, Mapping) else {}
    sha256 = lfs.get("oid")
    is_hash = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
    return RepoFile(name, size, sha256 if is_hash else None, isinstance(entry.get("xetHash"), str))


def _strange(client: HubClient, repo_id: str) -> HubError:
    return HubError(
        f"{client.endpoint} described {repo_id} in a way that this program does not know. Check HF_ENDPOINT.",
        code="hub_not_a_hub",
    )
