#!/usr/bin/env python3
"""A Hugging Face hub on the loopback address, for tests: the paths, headers, redirects and errors of the real one, and its bad days.

usage: hub_server.py ROOT [--fault NAME=VALUE]... [--log FILE] [--run COMMAND...]

ROOT/owner/name/...   the files of a repository at its one commit; `main` and `v1` stand at it
With --run it serves while COMMAND runs, which finds the hub's address in HF_ENDPOINT, and ends with that command's exit code. Otherwise it prints
two addresses, its own and that of the host where large files lie, and serves until its standard input ends. The log has one JSON object a request:
host ("hub" or "cdn"), method, path, range, token.

Like the hub: /api/models/ID/revision/REV and /api/models/ID/tree/REV list; /ID/resolve/REV/FILE redirects, a small file to a relative address on the same
host, a large one to another host, and says commit, hash and length in X-Repo-Commit, X-Linked-ETag and X-Linked-Size.

Faults (VALUE in brackets):
  drop=[BYTES]          large files: the connection breaks after so many bytes of each answer
  drops=[N]             ... of the first N answers only (without it: always)
  stall=[SECONDS]       ... and instead of breaking, it falls silent for so long
  no-range=1            large files: Range is ignored
  wrong-range=1         large files: a part that was not asked for
  no-such-range=1       large files: 416 for every part
  busy=[N], retry-after=[TEXT]   the first N requests get 503, with this Retry-After
  limited=[N]           the first N requests for large files get 429
  forbidden=[N]         ... or 403, as where a signed address has run out
  vast=[FILE]           X-Linked-Size says that it has 2^60 bytes
  damage=[FILE]         one byte of the file is another, its hash is not
  longer=[FILE], shorter=[FILE]  more or fewer bytes come than X-Linked-Size says
  no-hash=[FILE]        neither X-Linked-ETag nor an ETag that is a hash
  gated=1               listed for everybody; files only with the token `hf_let_me_in`
  private=1             nothing without that token
  escape=[NAME]         the listing has this file, too
  commit=[TEXT]         what the listing gives as the commit
  listing=[TEXT]        what the listing is, instead of JSON
  loop=1                large files: redirects that never end
  to=[URL]              large files: redirects there
  interrupt=1           with --run: half of the first large file comes; when some of it shows in HF_HUB_CACHE the command gets Ctrl-C, and no more comes
"""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 64 << 10  # what the hub keeps as a large file; safetensors always are
TOKEN = "hf_let_me_in"


class Repository:
    def __init__(self, folder):
        self.files = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
        self.hashes = {name: self.hash(path) for name, path in self.files.items()}
        self.commit = hashlib.sha1(json.dumps(sorted(self.hashes.items())).encode()).hexdigest()

    @staticmethod
    def is_large(path):
        return path.suffix == ".safetensors" or path.stat().st_size >= LARGE

    def hash(self, path):
        size = path.stat().st_size
        digest = hashlib.sha256() if self.is_large(path) else hashlib.sha1(b"blob %d\0" % size)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


class Hub:
    def __init__(self, root, faults, log):
        self.repositories = {}
        for config in sorted(root.glob("*/*/")):
            self.repositories[str(config.relative_to(root))] = Repository(config)
        self.faults, self.log, self.lock, self.counts = faults, log, threading.Lock(), {}
        self.command = None  # what --run started

    def fault(self, name):
        return self.faults.get(name)

    def first(self, name):
        """True for the first so many that ask, by the number that the fault has."""
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            return self.counts[name] <= int(self.faults.get(name, 0))

    def find(self, repo):
        return self.repositories.get(repo)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None  # the Hub; set below
    place = ""  # "hub" or "cdn"
    cdn = ""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.serve()

    def do_GET(self):
        self.serve()

    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def serve(self):
        if self.hub.log:
            line = {"host": self.place, "method": self.command, "path": self.path, "range": self.headers.get("Range", ""), "token": self.token()}
            with self.hub.lock, open(self.hub.log, "a") as log:
                log.write(json.dumps(line) + "\n")
        path = urllib.parse.urlsplit(self.path).path
        try:
            if self.hub.first("busy"):
                wait = self.hub.fault("retry-after")
                return self.answer(503, b"", {"Retry-After": wait} if wait else {})
            if self.place == "cdn":
                return self.large(path)
            self.hub_path(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # --- the hub's own host

    def hub_path(self, path):
        parts = [urllib.parse.unquote(p) for p in path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) >= 6 and parts[4] in ("revision", "tree"):
            return self.with_repository("/".join(parts[2:4]), parts[5], lambda repo: self.listing(repo, parts[4], "/".join(parts[2:4])))
        if parts[:2] == ["api", "models"] and len(parts) == 4:
            return self.with_repository("/".join(parts[2:4]), "main", lambda repo: self.listing(repo, "revision", "/".join(parts[2:4])))
        if parts[:3] == ["api", "resolve-cache", "models"] and len(parts) >= 7:
            return self.with_repository("/".join(parts[3:5]), parts[5], lambda repo: self.small(repo, "/".join(parts[6:])))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.with_repository("/".join(parts[:2]), parts[3], lambda repo: self.resolve(repo, "/".join(parts[:2]), "/".join(parts[4:])))
        self.error(404, "", "Sorry, we can't find the page you are looking for.")

    def with_repository(self, name, revision, then):
        repo = self.hub.find(name)
        if self.token() not in ("", TOKEN):
            return self.error(401, "", "Invalid credentials in Authorization header")
        if repo is None or (self.hub.fault("private") and self.token() != TOKEN):
            # Who is nobody does not learn whether there is one.
            return self.error(404 if self.token() else 401, "RepoNotFound", "Repository not found")
        if revision not in ("main", "v1", "refs/pr/1", repo.commit):
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        then(repo)

    def listing(self, repo, kind, name):
        if self.hub.fault("listing") is not None:
            return self.answer(200, self.hub.fault("listing").encode(), {"Content-Type": "application/json"})
        names = list(repo.files) + ([self.hub.fault("escape")] if self.hub.fault("escape") else [])
        entries = []
        for file in names:
            path = repo.files.get(file)
            size = path.stat().st_size if path else 5
            large = path is not None and repo.is_large(path)
            entry = {"rfilename": file, "size": size, "blobId": "0" * 40} if kind == "revision" else {"type": "file", "path": file, "size": size, "oid": "0" * 40}
            if path is not None and not large:
                entry["blobId" if kind == "revision" else "oid"] = repo.hashes[file]
            if large:
                entry["lfs"] = {"sha256" if kind == "revision" else "oid": repo.hashes[file], "size": size, "pointerSize": 134}
            entries.append(entry)
        commit = self.hub.fault("commit") if self.hub.fault("commit") is not None else repo.commit
        body = entries if kind == "tree" else {
            "_id": "1", "id": name, "modelId": name, "private": bool(self.hub.fault("private")),
            "gated": "manual" if self.hub.fault("gated") else False, "disabled": False, "sha": commit, "siblings": entries, "tags": [], "downloads": 0, "likes": 0}
        self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def resolve(self, repo, name, file):
        if self.hub.fault("gated") and self.token() != TOKEN:
            return self.error(401 if not self.token() else 403, "GatedRepo", "Access to this model is restricted. You must have access to it and be authenticated to access it.")
        path = repo.files.get(file)
        if path is None:
            return self.error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
        headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes", "X-Linked-Size": str(path.stat().st_size), "X-Linked-ETag": f'"{repo.hashes[file]}"'}
        if self.hub.fault("vast") == file:
            headers["X-Linked-Size"] = str(1 << 60)
        if self.hub.fault("no-hash") == file:
            del headers["X-Linked-ETag"]
        if not repo.is_large(path):
            headers["Location"] = f"/api/resolve-cache/models/{name}/{repo.commit}/{urllib.parse.quote(file)}?etag=1"
            return self.answer(307, b"Temporary Redirect", headers)
        headers["Location"] = self.hub.fault("to") or f"{self.cdn}/{'loop' if self.hub.fault('loop') else 'large'}/{name}/{urllib.parse.quote(file)}?Signature=s3cret"
        self.answer(302, b"Found", headers)

    def small(self, repo, file):
        data = repo.files[file].read_bytes()
        etag = '"weak-and-no-hash"' if self.hub.fault("no-hash") == file else f'"{repo.hashes[file]}"'
        self.answer(200, self.spoilt(file, data), {"ETag": etag, "X-Repo-Commit": repo.commit, "Content-Type": "text/plain; charset=utf-8"})

    def spoilt(self, file, data):
        if self.hub.fault("damage") == file:
            return data[:-1] + bytes([data[-1] ^ 1])
        if self.hub.fault("longer") == file:
            return data + b"and more"
        if self.hub.fault("shorter") == file:
            return data[: len(data) // 2]
        return data

    # --- the host of large files

    def large(self, path):
        parts = [urllib.parse.unquote(p) for p in path.strip("/").split("/")]
        if parts[0] == "loop":
            return self.answer(302, b"", {"Location": self.path + "a"})
        repo, file = self.hub.find("/".join(parts[1:3])), "/".join(parts[3:])
        if self.token():  # a signed address takes no second way to say who one is
            return self.answer(400, b"Only one auth mechanism allowed", {})
        if self.hub.first("limited"):
            return self.answer(429, b"", {})
        if self.hub.first("forbidden"):
            return self.answer(403, b"<Error><Code>AccessDenied</Code></Error>", {})
        source = repo.files[file]
        spoilt = [self.hub.fault(name) for name in ("damage", "longer", "shorter")]
        data = self.spoilt(file, source.read_bytes()) if file in spoilt else None
        size = len(data) if data is not None else source.stat().st_size
        first, status, headers = 0, 200, {"ETag": '"of-the-store-and-no-hash"', "Content-Type": "binary/octet-stream"}
        asked = self.headers.get("Range")
        if asked and self.hub.fault("no-such-range"):
            return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
        if asked and not self.hub.fault("no-range"):
            first = int(asked.removeprefix("bytes=").split("-")[0])
            if first >= size:
                return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
            if self.hub.fault("wrong-range"):
                first = max(first - 7, 0)
            status = 206
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self.send(status, headers, size - first)
        if self.command == "GET":
            self.send_large(source, data, first, size)

    def send_large(self, source, data, first, size):
        drop = self.hub.fault("drop")
        drops = drop is not None and (self.hub.fault("drops") is None or self.hub.first("drops"))
        last = min(size, first + int(drop)) if drops else size
        if data is not None:
            self.wfile.write(data[first:last])
        elif self.hub.first("interrupt"):
            self.wfile.write(source.read_bytes()[first : (first + size) // 2])
            self.interrupt_when_it_shows(hashlib.sha256(source.read_bytes()).hexdigest() + ".incomplete")
        else:
            self.wfile.flush()
            with source.open("rb") as file:
                while first < last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last - first)
        if not drops or last == size:
            return
        self.wfile.flush()
        if self.hub.fault("stall"):
            time.sleep(float(self.hub.fault("stall")))
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def interrupt_when_it_shows(self, name):
        cache = pathlib.Path(os.environ["HF_HUB_CACHE"])
        while self.hub.command is None or not any(part.stat().st_size for part in cache.rglob(name)):
            time.sleep(0.01)
        self.hub.command.send_signal(signal.SIGINT)
        self.hub.command.wait()

    # --- answers

    def send(self, status, headers, length):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status, body, headers):
        self.send(status, headers, len(body))
        if self.command == "GET":
            self.wfile.write(body)

    def error(self, status, code, message, headers=None):
        more = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | (headers or {})
        self.answer(status, json.dumps({"error": message}).encode(), more)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Who is tested goes away in the middle of things."""


def serve(hub, place, cdn=""):
    handler = type(place, (Handler,), {"hub": hub, "place": place, "cdn": cdn})
    server = QuietServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--log", default="")
    parser.add_argument("--run", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    hub = Hub(arguments.root, dict(fault.split("=", 1) for fault in arguments.fault), arguments.log)
    cdn = serve(hub, "cdn")
    address = serve(hub, "hub", cdn)
    if arguments.run:
        # A command's Ctrl-C is its own.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen(arguments.run, env=os.environ | {"HF_ENDPOINT": address}, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        hub.command = child
        code = child.wait()
        os._exit(code if code >= 0 else 128 - code)  # threads that still serve are not waited for
    print(address, cdn, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
