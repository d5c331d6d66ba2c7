"""Alerts as HTTP requests, signed if there is a secret, and redirects that are followed with care."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from audioinceptionnext.alerts.delivery import Item, Target, Undelivered, Warn
from audioinceptionnext.alerts.rules import Webhook
from audioinceptionnext.errors import printable

SIGNATURE = "X-Ainext-Signature"  # sha256= and the HMAC of the body in hexadecimal digits
MAX_REDIRECTS = 5
_REPEATED = (301, 302, 307, 308)  # redirects that take the same request elsewhere
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # addresses that end in one of IPv4
_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")  # the same within one network; older Pythons take it for public
_BUSY = (408, 425, 429)  # refusals that may pass; so may all of the server's own errors


class WebhookTarget(Target):
    """Posts alerts to a URL. An attempt that fails is repeated unless the server's answer says that this is useless."""

    def __init__(self, webhook: Webhook, warn: Warn) -> None:
        self._webhook = webhook
        super().__init__(f"webhook {printable(webhook.server)}", warn, webhook.retry_for)

    def deliver(self, item: Item) -> None:
        body = json.dumps(item.alert.as_dict(), ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json", "User-Agent": "ainext"}
        if self._webhook.secret:
            headers[SIGNATURE] = signature(self._webhook.secret, body)
        url, redirected = self._webhook.url, False
        for _ in range(MAX_REDIRECTS + 1):
            status, location = self._post(url, body, headers, redirected)
            if status in _REPEATED and location:
                url, redirected = _joined(url, location), True
                continue
            if 200 <= status < 300 or status == 303:
                return
            raise Undelivered(f"answers with status {status}", again=status >= 500 or status in _BUSY)
        raise Undelivered(f"redirects more than {MAX_REDIRECTS} times; give the URL that it leads to", again=False)

    def _post(self, url: str, body: bytes, headers: dict[str, str], redirected: bool) -> tuple[int, str | None]:
        """Send one request. Returns the answer's status, and where it leads."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host, port, parts = "", 0, urlsplit("")
        if parts.scheme not in ("http", "https") or not host:
            raise Undelivered("redirects to what is no URL of http or https", again=False)
        if self._webhook.token and parts[:2] == urlsplit(self._webhook.url)[:2]:  # of no other server
            headers = {**headers, "Authorization": f"Bearer {self._webhook.token}"}
        timeout = self._webhook.timeout
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=timeout)
        # A timeout of the socket starts anew with each byte, so that a server could keep the thread for ever.
        late = threading.Event()

        def give_up() -> None:
            late.set()
            if (sock := connection.sock) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(timeout, give_up)
        timer.daemon = True
        try:
            connection.sock = self._connect(host, port, redirected)
            timer.start()
            if parts.scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=host)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location")
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"its certificate is not accepted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if isinstance(error, TimeoutError) or late.is_set():
                raise Undelivered(f"gives no answer within {timeout:g} s") from error
            raise Undelivered(f"cannot be reached: {_reason(error)}") from error
        finally:
            timer.cancel()
            connection.close()

    def _connect(self, host: str, port: int, redirected: bool) -> socket.socket:
        """A connection to the host. That of a redirect has to be public, and the address that is used is checked."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"there is no address of {host}")
        for family, kind, protocol, _, address in found:
            if redirected and not self._webhook.allow_private and not is_public(str(address[0])):
                reason = f"redirects to the private address {address[0]}, which is refused; allow_private: true lets it"
                raise Undelivered(reason, again=False)
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._webhook.timeout)
                sock.connect(address)
                return sock
            except OSError as error:
                failure = error
                sock.close()
        raise failure


def signature(secret: str, body: bytes) -> str:
    """The value of the header `SIGNATURE`, by which a receiver knows that a body comes from who has the secret.

    >>> signature("secret", b"{}")[:20]
    'sha256=77325902caca8'
    """
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def is_public(address: str) -> bool:
    """Whether an address is one of the internet at large, rather than of this machine or network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    if found in _TRANSLATED:
        inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    local = found.is_multicast or getattr(found, "is_site_local", False) or found in _LOCAL
    return found.is_global and not local and (inner is None or inner.is_global)


def _joined(url: str, location: str) -> str:
    with suppress(ValueError):
        return urljoin(url, location)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)):
        return "it closed the connection"
    if isinstance(error, http.client.HTTPException):
        return "what answers is no HTTP server"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
