"""One connection to the fake Hub: which question gets which answer."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.fakes.hub_body import Body, Request, Wire
from tests.fakes.hub_chunks import reconstruction, stored_block
from tests.fakes.hub_content import HeldContent, HubFile, HubRepo
from tests.fakes.hub_trouble import IgnoreRange, Stall, Status, Trouble

if TYPE_CHECKING:
    from tests.fakes.hub_server import HubServer

SORTS = {"downloads": "downloads", "likes": "likes", "lastModified": "lastModified", "createdAt": "createdAt",
         "trendingScore": "trendingScore"}  # fmt: skip
_OPTIONAL = {"baseModels", "downloadsAllTime", "inference", "mask_token", "model-index", "safetensors",
             "transformersInfo", "widgetData", "xetEnabled", "resourceGroup", "evalResults"}  # fmt: skip
_GONE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    hub: HubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, _GONE):
            self.hub.errors.append(error)


class _Refused(Exception):
    """The answer is an error of the Hub."""

    def __init__(self, status: int, error_code: str | None, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.error_code, self.message, self.headers = status, error_code, message, headers


class Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def setup(self) -> None:
        super().setup()
        self.hub = self.server.hub

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the log is `HubServer.requests`."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_GET

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked = Request(self.command, unquote(parts.path), parse_qs(parts.query), headers)
        self.hub.note(self.asked)
        length = int(headers.get("content-length") or 0)
        self.sent_in = self.rfile.read(length) if length else b""
        try:
            self._route()
        except _Refused as refused:
            self._send_refusal(refused)
        except _GONE:
            self.close_connection = True

    def _route(self) -> None:
        path = self.asked.path
        for trouble in self.hub.troubles_for(self.command, path, sends_content=False):
            self._suffer(trouble)
        if path.startswith("/cdn/"):
            return self._send_linked(path)
        if path.startswith("/cas/"):
            return self._send_chunks(path.removeprefix("/cas/").split("/"))
        self._check_token()
        if path == "/api/whoami-v2":
            return self._send_user()
        if path == "/api/models":
            return self._send_list()
        if path.startswith("/api/models/"):
            return self._send_model(path.removeprefix("/api/models/"))
        if path.startswith("/api/telemetry/"):
            return self._send_json({})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._send_resolved(*found.groups())
        raise _Refused(404, None, f"No such page: {path}")

    def _suffer(self, trouble: Trouble) -> None:
        if isinstance(trouble, Stall):
            self.hub.closing.wait(trouble.seconds)
        elif isinstance(trouble, Status):
            extra = {"Retry-After": trouble.retry_after} if trouble.retry_after is not None else {}
            raise _Refused(trouble.code, trouble.error_code, trouble.message, **dict(trouble.headers), **extra)

    # Who asks, and what they may see

    @property
    def _token(self) -> str | None:
        return self.asked.headers.get("authorization", "").removeprefix("Bearer ") or None

    def _check_token(self) -> None:
        if self._token is not None and self._token not in self.hub.tokens:
            raise _Refused(401, None, "Invalid credentials in Authorization header")

    def _is_member(self, repo: HubRepo) -> bool:
        return self._token is not None and self._token in repo.members

    def _repo(self, repo_id: str) -> HubRepo:
        repo = self.hub.repos.get(repo_id)
        if repo is None or (repo.private and not self._is_member(repo)):
            # The Hub does not tell a stranger whether a private repository exists.
            status, message = (404, "Repository not found") if self._token else (401, "Invalid username or password.")
            raise _Refused(status, "RepoNotFound", message)
        return repo

    def _files(self, repo: HubRepo, revision: str) -> tuple[str, dict[str, HubFile]]:
        found = repo.files(revision)
        if found is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _check_gate(self, repo: HubRepo) -> None:
        if not repo.gated or self._is_member(repo):
            return
        if self._token is None:
            reason = "You must have access to it and be authenticated to access it. Please log in."
            raise _Refused(401, "GatedRepo", f"Access to model {repo.repo_id} is restricted. {reason}")
        page = f"https://huggingface.co/{repo.repo_id}"
        message = f"Access to model {repo.repo_id} is restricted and you are not in the authorized list. Visit {page}"
        raise _Refused(403, "GatedRepo", f"{message} to ask for access.")

    # The API

    def _send_user(self) -> None:
        if self._token is None:
            raise _Refused(401, None, "Invalid username or password.")
        access = {"displayName": "test", "role": "read"}
        user = self.hub.tokens[self._token]
        body = {"type": "user", "id": "1", "name": user, "fullname": user, "orgs": []}
        self._send_json(body | {"auth": {"type": "access_token", "accessToken": access}})

    def _send_list(self) -> None:
        query = self.asked.query
        found = [repo for repo in self.hub.repos.values() if self._is_wanted(repo)]
        sort = query.get("sort", ["trendingScore"])[0]
        if sort not in SORTS:
            raise _Refused(400, None, f'"sort" must be one of [{", ".join(SORTS)}]')
        found.sort(key=lambda repo: repo.facts(repo.head)[SORTS[sort]], reverse=query.get("direction") != ["1"])
        size = min(int(query.get("limit", ["1000"])[0]), self.hub.page_size)
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + size < len(found):
            more = urlencode({**query, "cursor": [str(start + size)]}, doseq=True)
            headers["Link"] = f'<{self.hub.url}/api/models?{more}>; rel="next"'
        self._send_json([self._listed(repo) for repo in found[start : start + size]], headers)

    def _is_wanted(self, repo: HubRepo) -> bool:
        query = self.asked.query
        words = query.get("search", [""])[0].casefold().split()
        author = query.get("author", [None])[0]
        filters = [tag for value in query.get("filter", []) for tag in value.split(",")]
        gated = query.get("gated", [None])[0]
        return (
            (not repo.private or self._is_member(repo))
            and all(word in repo.repo_id.casefold() for word in words)
            and (author is None or repo.repo_id.split("/")[0].casefold() == author.casefold())
            and all(tag in repo.all_tags for tag in filters)
            and (gated is None or bool(repo.gated) == (gated == "true"))
            and self._is_in_bounds(repo)
        )

    def _is_in_bounds(self, repo: HubRepo) -> bool:
        bounds = self.asked.query.get("num_parameters", [""])[0]
        total = (repo.gguf or {}).get("total")
        for name, number, unit in re.findall(r"(min|max):([\d.]+)([KMBT]?)", bounds):
            limit = float(number) * {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[unit]
            if total is None or (total < limit if name == "min" else total > limit):
                return False
        return True

    def _listed(self, repo: HubRepo) -> dict[str, Any]:
        facts = repo.facts(repo.head)
        query = self.asked.query
        if "expand" in query:
            return self._expanded(facts, query["expand"])
        names = ["_id", "id", "modelId", "likes", "trendingScore", "private", "downloads", "tags", "pipeline_tag",
                 "library_name", "createdAt"]  # fmt: skip
        if query.get("full") == ["true"]:
            names += ["author", "gated", "disabled", "lastModified", "sha", "siblings"]
        names += ["cardData"] if query.get("cardData") == ["true"] else []
        return {name: facts[name] for name in names}

    def _expanded(self, facts: dict[str, Any], asked: list[str]) -> dict[str, Any]:
        names = [name for value in asked for name in value.split(",")]
        unknown = [name for name in names if name not in facts and name not in _OPTIONAL]
        if unknown:
            raise _Refused(400, None, f'"expand" does not know {", ".join(unknown)}')
        return {"_id": facts["_id"], "id": facts["id"]} | {n: facts[n] for n in names if facts.get(n) is not None}

    def _send_model(self, rest: str) -> None:
        owner, name, *more = rest.split("/")
        repo = self._repo(f"{owner}/{name}")
        match more:
            case [] | ["revision", _]:
                self._send_facts(repo, more[1] if more else "main")
            case ["tree", revision, *folder]:
                self._send_tree(repo, revision, "/".join(folder))
            case ["paths-info", revision]:
                self._send_paths(repo, revision)
            case ["refs"]:
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
                self._send_json({"branches": [branch], "converts": [], "tags": []})
            case ["xet-read-token", _]:
                cas = {"casUrl": f"{self.hub.url}/cas", "accessToken": "xet", "exp": 4_000_000_000}
                headers = {"X-Xet-Cas-Url": cas["casUrl"], "X-Xet-Access-Token": "xet",
                           "X-Xet-Token-Expiration": "4000000000"}  # fmt: skip
                self._send_json(cas, headers)
            case _:
                raise _Refused(404, None, "Sorry, we can't find the page you are looking for.")

    def _send_facts(self, repo: HubRepo, revision: str) -> None:
        commit, files = self._files(repo, revision)
        facts, query = repo.facts(commit), self.asked.query
        if "expand" in query:
            return self._send_json(self._expanded(facts, query["expand"]))
        if query.get("blobs") == ["true"]:
            facts["siblings"] = [file.sibling(name) for name, file in files.items()]
        if query.get("securityStatus") == ["true"]:
            facts["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        self._send_json({name: value for name, value in facts.items() if value is not None})

    def _send_tree(self, repo: HubRepo, revision: str, folder: str) -> None:
        _, files = self._files(repo, revision)
        start = folder + "/" if folder else ""
        inside = {name: file for name, file in files.items() if name.startswith(start)}
        if folder and not inside:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        if self.asked.query.get("recursive", ["false"])[0].casefold() == "true":
            return self._send_json([file.tree_entry(name) for name, file in inside.items()])
        here = [file.tree_entry(name) for name, file in inside.items() if "/" not in name.removeprefix(start)]
        deeper = {start + name.removeprefix(start).split("/")[0] for name in inside if "/" in name.removeprefix(start)}
        folders = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(deeper)]
        self._send_json(folders + here)

    def _send_paths(self, repo: HubRepo, revision: str) -> None:
        _, files = self._files(repo, revision)
        text = self.sent_in.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        self._send_json([files[name].tree_entry(name) for name in asked if name in files])

    # Files

    def _send_resolved(self, repo_id: str, revision: str, name: str) -> None:
        repo = self._repo(repo_id)
        commit, files = self._files(repo, revision)
        self._check_gate(repo)
        file = files.get(name)
        if file is None:
            raise _Refused(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if file.is_lfs:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.etag}"'}
        if file.is_xet:
            token_url = f"{self.hub.url}/api/models/{repo_id}/xet-read-token/{commit}"
            headers |= {"X-Xet-Hash": file.xet_hash, "Link": f'<{token_url}>; rel="xet-auth"'}
        if not file.is_lfs or self.hub.redirect is None:
            return self._send_file(file, headers)
        target = self.hub.link(repo_id, commit, name)
        if self.hub.redirect == "relative":
            target = "/cdn/" + target.split("/cdn/", 1)[1]
        self._send_bytes(302, b"Found. Redirecting", {**headers, "Location": target, "ETag": f'"{file.git_oid}"'})

    def _send_linked(self, path: str) -> None:
        owner, name, commit, file_name = path.removeprefix("/cdn/").split("/", 3)
        signature = self.asked.query.get("Signature", [""])[0]
        file = self.hub.repos[f"{owner}/{name}"].commits[commit].get(file_name)
        if not self.hub.is_link_good(signature):
            raise _Refused(403, None, "Request has expired")
        if file is None:
            raise _Refused(404, None, "The specified key does not exist.")
        # What a bucket answers: no word of commits; the hash only in its own header and ETag.
        headers = {"Accept-Ranges": "bytes"}
        if self.hub.redirect == "relative":
            headers |= {"X-Repo-Commit": commit, "X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.etag}"'}
        self._send_file(file, headers)

    def _send_file(self, file: HubFile, headers: dict[str, str]) -> None:
        sends_content = self.command == "GET"
        troubles = self.hub.troubles_for(self.command, self.asked.path, sends_content=True) if sends_content else []
        etag = f'"{file.etag}"'
        ignore = any(isinstance(t, IgnoreRange) for t in troubles)
        part = None if ignore else self._part(file.size, etag)
        start, count = part or (0, file.size)
        headers = {**headers, "ETag": etag, "Content-Type": "application/octet-stream"}
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{file.size}"
        wire = Wire(self.connection, self.wfile, self.asked, self.hub.closing, self.hub.chance)
        body = Body(wire, file.content, start, count, troubles)
        self._send_head(206 if part is not None else 200, {**headers, "Content-Length": str(body.claimed)})
        if self.command == "GET":
            body.send()
            self.close_connection = self.close_connection or body.is_cut

    def _part(self, size: int, etag: str) -> tuple[int, int] | None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.asked.headers.get("range", ""))
        if asked is None or self.asked.headers.get("if-range", etag) != etag:
            return None
        first, last = asked.groups()
        start = int(first) if first else max(0, size - int(last or 0))
        end = min(int(last) + 1, size) if first and last else size
        if start >= size or end <= start:
            raise _Refused(416, None, "Range not satisfiable", **{"Content-Range": f"bytes */{size}"})
        return start, end - start

    def _send_chunks(self, parts: list[str]) -> None:
        """The chunk storage: first which chunks make up a file, then the blocks that hold them."""
        found = {f.xet_hash: f for r in self.hub.repos.values() for f in r.commits[r.head].values() if f.is_xet}
        match parts:
            case ["v1", "reconstructions", name] if name in found:
                start, count = self._part(found[name].size, "") or (0, found[name].size)
                body = reconstruction(found[name].content, name, f"{self.hub.url}/cas/blocks", start, start + count)
                self._send_json(body)
            case ["blocks", name, number] if name in found:
                self._send_file(HubFile(HeldContent(stored_block(found[name].content, int(number))), True), {})
            case _:
                raise _Refused(404, None, "Not found")

    # The wire

    def _send_json(self, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send_bytes(200, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send_refusal(self, refused: _Refused) -> None:
        headers = {"Content-Type": "application/json", "X-Error-Message": refused.message, **refused.headers}
        if refused.error_code is not None:
            headers["X-Error-Code"] = refused.error_code
        self._send_bytes(refused.status, json.dumps({"error": refused.message}).encode(), headers)

    def _send_bytes(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._send_head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
