"""Where a server is, and what may be sent there: the base URL, the key, the client, and the first knock.

The key is OPENAI_API_KEY. It goes over https and to this machine; over plain http to another one only with
``key_over_http``, because everybody on the way could read it. It is never printed: ``told`` takes it out of whatever a
server says. What the environment holds wrongly (proxies, certificates, the key) ends with a sentence that names the
variable.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpx2

from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.server.exchange import body_of, causes, is_exhausted, message_in

KEY = "OPENAI_API_KEY"
_KNOCK = 10.0  # seconds in which a server must say that it is there
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_SECRET = ("key", "token", "secret", "password", "sig", "auth")
_WRITE = "Write openai:MODEL@http://HOST:PORT/v1."


@dataclass(frozen=True)
class Endpoint:
    """The base URL, up to and with ``/v1``; its query goes with every request. ``key`` is None where none is sent.

    ``withheld`` says that there is a key and that it stays here.
    """

    url: httpx2.URL
    key: str | None = field(repr=False)
    withheld: bool = False

    @classmethod
    def of(cls, base_url: str, environment: Mapping[str, str], *, key_over_http: bool = False) -> Endpoint:
        """InputError for a URL that is none, for one with a secret in it, and for a key that no header can hold."""
        url = _checked(base_url)
        key = environment.get(KEY, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise InputError("holds characters that no key has", field=KEY, remedy="Copy the key once more.")
        safe = url.scheme == "https" or is_loopback(url) or key_over_http
        return cls(url, key if key and safe else None, bool(key) and not safe)

    def at(self, path: str) -> httpx2.URL:
        """``path`` under the base URL."""
        base, _, query = self.url.raw_path.partition(b"?")
        raw = base.rstrip(b"/") + b"/" + path.encode("ascii")
        return self.url.copy_with(raw_path=raw + b"?" + query if query else raw)

    def told(self, what: str) -> str:
        """``what`` a server or a library said, without the key."""
        return what.replace(self.key, "…") if self.key else what

    def client(self, connections: int) -> httpx2.AsyncClient:
        """A client for as many connections at a time. InputError naming the variable that it cannot be made with."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        try:
            # Deadlines are ours, and a proxy is for servers elsewhere.
            return httpx2.AsyncClient(
                headers=headers, limits=limits, timeout=None, verify=_trusted(), trust_env=not is_loopback(self.url)
            )
        except (ValueError, ImportError, httpx2.InvalidURL) as error:
            proxies = [name for name in _PROXIES if os.environ.get(name)]
            raise InputError(
                f"this proxy cannot be used ({error})",
                field=" or ".join(proxies) or None,
                remedy="Write http://HOST:PORT there, or unset it.",
            ) from None

    async def knock(self, client: httpx2.AsyncClient) -> None:
        """InputError where nobody answers at the URL at all, or the key is refused there. Costs no tokens.

        Whatever else is said is not read: a list of models may be endless, and a key may well be kept from it (403).
        """
        try:
            async with asyncio.timeout(_KNOCK), client.stream("GET", self.at("models")) as response:
                refusal = message_in(await body_of(response)) if response.status_code == 401 else None
        except TimeoutError:
            raise self._silent(f"no answer within {_KNOCK:g} s") from None
        except httpx2.HTTPError as error:
            trouble = self.trouble(error)
            raise trouble or self._silent(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        except OSError as error:
            raise self.trouble(error) or error from None
        if refusal is not None:
            raise self.refused(f"HTTP 401 {refusal}")

    def trouble(self, error: BaseException) -> InputError | WorkError | None:
        """What ends the run of it: this machine's or its environment's, whatever the server; None for anything else."""
        for each in causes(error):
            if isinstance(each, ssl.SSLCertVerificationError):
                return InputError(
                    f"its certificate is not trusted here ({each.verify_message})",
                    field=str(self.url),
                    remedy="Name the file of the authority that signed it in SSL_CERT_FILE.",
                )
            if isinstance(each, OSError) and is_exhausted(each):
                return exhausted(each)
            if isinstance(each, httpx2.ProxyError | httpx2.UnsupportedProtocol):
                return self._of_proxy(each)
        return None

    def refused(self, what: str) -> InputError:
        """For a status that says that the key is wrong, or missing."""
        remedy = f"Put a valid key into {KEY}."
        if self.withheld:
            remedy = (
                f"{KEY} is not sent over plain http: use https, or --key-over-http if you trust everybody on the way."
            )
        return InputError(self.told(what), field=str(self.url), remedy=remedy)

    def _silent(self, why: str) -> InputError:
        if not is_loopback(self.url) and (proxies := [name for name in _PROXIES if os.environ.get(name)]):
            why += f"; asked through {' or '.join(proxies)}"
        return InputError(
            f"no server answers there ({self.told(why)})",
            field=str(self.url),
            remedy="Start it, or mend the URL (for most servers it ends in /v1).",
        )

    def _of_proxy(self, error: Exception) -> InputError:
        proxies = [name for name in _PROXIES if os.environ.get(name)]
        return InputError(
            f"the proxy does not let us through ({error})",
            field=" or ".join(proxies) or str(self.url),
            remedy="Mend the proxy there, or name the host in NO_PROXY.",
        )


def is_loopback(url: httpx2.URL) -> bool:
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def exhausted(error: OSError) -> WorkError:
    return WorkError(
        f"this process may not open any more files ({error.strerror}). What was read is kept: run the same command again "
        "with a smaller --concurrency, or after `ulimit -n 4096`."
    )


def _trusted() -> ssl.SSLContext | bool:
    """Whose certificates are trusted: SSL_CERT_FILE's and SSL_CERT_DIR's where they are set, for this machine too."""
    file, directory = (os.environ.get(name) for name in _CERTIFICATES)
    if not (file or directory):
        return True
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:  # ssl.SSLError is one
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        what = f"no certificates can be read there ({error.strerror or error})"
        raise InputError(what, field=name, remedy="Name a PEM file, or unset it.") from None


def _checked(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
        if url.port is not None and not 0 < url.port < 65536:
            raise httpx2.InvalidURL(f"there is no port {url.port}")
    except (httpx2.InvalidURL, ValueError) as error:
        raise InputError(f"not a URL ({error})", field=_bare(text), remedy=_WRITE) from None
    if not url.host:
        raise InputError("this URL has no host", field=_bare(text), remedy=_WRITE)
    secret = [name for name in url.params if any(part in name.lower() for part in _SECRET)]
    if url.userinfo or secret:  # it would end up in run.json
        raise InputError(
            f"a URL with {f'`{secret[0]}`' if secret else 'a name or a password'} in it is written into every run",
            field=f"openai:…@{url.host}",
            remedy=f"Put the key into {KEY}.",
        )
    return url


def _bare(text: str) -> str:
    """A URL that is none, without what may be a password in it."""
    return f"openai:…@{text.partition('?')[0].rpartition('@')[2]}"
