"""A stand-in of the HTTP interface of the Hugging Face hub, with what its real client needs to upload and download."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_stand_in"
LARGE = (".onnx", ".safetensors")  # stored in LFS, as by the hub's .gitattributes


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files by the name of the commit, oldest first

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main" and self.commits:
            return list(self.commits.items())[-1]
        return (revision, self.commits[revision]) if revision in self.commits else None

    def commit(self, changes: dict[str, bytes | None]) -> str:
        """Add files, and remove those that are None."""
        before = list(self.commits.values())[-1] if self.commits else {}
        files = {name: content for name, content in (before | changes).items() if content is not None}
        name = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[name] = files
        return name


@dataclass
class Hub:
    """A running stand-in.

    Attributes:
        address: its URL.
        repositories: by ``user/name``.
        large: the content of the files in LFS, by sha256.
        requests: the requests so far, each as ``METHOD /path``.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self._parts()
        if self.path == "/api/whoami-v2":
            return self._respond(200, {"name": "me", "type": "user", "auth": {}}) if self._known() else self._refuse()
        if len(parts) == 5 and parts[2] == "resolve":
            return self._resolve("/".join(parts[:2]), parts[3], parts[4])
        return self._respond(404, {"error": f"the stand-in has no {self.path}"})

    def do_POST(self) -> None:
        body = self._body()
        parts = self._parts()
        if self.path == "/api/validate-yaml":
            return self._respond(200, {"errors": [], "warnings": []})
        if not self._known():
            return self._refuse()
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if parts[:2] == ["api", "models"] and parts[4] == "preupload":
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self._respond(200, {"files": files})
        if parts[-3:] == ["lfs", "objects", "batch"]:
            objects = [
                one | {"actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._respond(200, {"transfer": "basic", "objects": objects})
        if parts[:2] == ["api", "models"] and parts[4] == "commit":
            return self._commit("/".join(parts[2:4]), body)
        return self._respond(404, {"error": f"the stand-in has no {self.path}"})

    def do_PUT(self) -> None:
        content = self._body()
        if hashlib.sha256(content).hexdigest() != self._parts()[-1]:
            return self._respond(400, {"error": "the content has another sha256"})
        self.hub.large[self._parts()[-1]] = content
        return self._respond(200, {})

    def _create(self, request: dict[str, Any]) -> None:
        name = f"{request['organization']}/{request['name']}"
        if request["organization"] != "me":
            return self._respond(403, {"error": f"You don't have the rights to create a model under {name}"})
        exists = name in self.hub.repositories
        private = request.get("private") is True or request.get("visibility") == "private"
        self.hub.repositories.setdefault(name, Repository(private))
        return self._respond(409 if exists else 200, {"url": f"{self.hub.address}/{name}", "name": name})

    def _commit(self, name: str, body: bytes) -> None:
        changes: dict[str, bytes | None] = {}
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                changes[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                changes[value["path"]] = None
        oid = self.hub.repositories[name].commit(changes)
        self._respond(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/{name}/commit/{oid}"})

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._known()):
            if not self._known():  # without a login, the hub does not say which it is
                return self._refuse()
            return self._respond(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if repository.gated:
            return self._respond(403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        found = repository.at(revision)
        if found is None:
            return self._respond(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        if file not in files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
            return self._respond(404, {"error": "Entry not found"}, headers)
        etag = hashlib.sha256(files[file]).hexdigest()
        return self._send(200, files[file], {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    def _refuse(self) -> None:
        headers = {"X-Error-Message": "Invalid username or password."}
        if "authorization" in self.headers:
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
        self._respond(401, {"error": headers["X-Error-Message"]}, headers)

    def _known(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _respond(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
