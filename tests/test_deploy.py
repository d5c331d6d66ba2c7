"""The configuration in docs/deploy.md works with a real nginx."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync import client as websockets

from tests.served import serving

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "examples" / "kitchen-scene.flac"
NGINX, OPENSSL = shutil.which("nginx"), shutil.which("openssl")
HOST = "sounds.example.org"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx that has the documented configuration, with ports and a certificate of the test."""
    folder = tmp_path_factory.mktemp("nginx")
    names = ("-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", f"/CN={HOST}")
    subprocess.run([OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], check=True, capture_output=True)
    with serving(models=("kitchen20-small",), hosts=(HOST,)) as server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        for name, ours in (("fullchain", "cert"), ("privkey", "key")):
            text = text.replace(f"/etc/letsencrypt/live/{HOST}/{name}.pem", str(folder / f"{ours}.pem"))
        (folder / "nginx.conf").write_text(
            f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
            f"{text}\n}}\n"
        )
        process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.PIPE)
        try:
            for _ in range(100):
                try:
                    httpx.get(f"https://127.0.0.1:{port}/", verify=False, headers={"host": HOST})
                    break
                except httpx.TransportError:
                    assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.needs("nginx")
def test_the_page_the_api_and_the_stream_through_a_proxy(proxy: int) -> None:
    headers = {"host": HOST, "origin": f"https://{HOST}"}
    with httpx.Client(base_url=f"https://127.0.0.1:{proxy}", verify=False, headers=headers, timeout=60) as client:
        assert "AudioInceptionNeXt" in client.get("/").text
        result = client.post("/v1/predict", files={"file": ("a.flac", SCENE.read_bytes())}).json()
        assert len(result["segments"]) >= 3
        assert client.post("/v1/predict", content=b"notes").status_code == 415
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"wss://{HOST}:{proxy}/v1/listen?rate=24000"
    raw = socket.create_connection(("127.0.0.1", proxy))
    with websockets.connect(url, sock=raw, ssl=context, origin=f"https://{HOST}:{proxy}") as stream:
        stream.send(bytes(2 * 24_000 * 8))
        assert json.loads(stream.recv(timeout=60))["label"] is None  # digital silence


def test_the_image_copies_files_that_exist() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists() and name in kept
    assert "\nUSER ainext\n" in (ROOT / "Dockerfile").read_text()


def test_the_image_checks_the_server_at_any_port() -> None:
    text = (ROOT / "Dockerfile").read_text()
    commands = {
        name: json.loads(words) for name, words in re.findall(r"^(?:.* )?(CMD|ENTRYPOINT) (\[.*\])$", text, re.M)
    }
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.M)
    assert json.loads(check) == ["ainext", "serve", "--check"]  # test_serving.py runs it
    assert commands["ENTRYPOINT"] == ["ainext"] and "--port" not in commands["CMD"]
