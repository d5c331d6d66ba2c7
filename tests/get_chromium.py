"""Give this environment a Chromium for the tests of the pages, if the system has none: the headless one that npm holds.

It comes with the libraries that it takes, so that nothing of the system is needed. Only Linux has it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from browser import UNPACKED, chromium, program

PACKAGE = "@sparticuz/chromium@153.0.0"
# Python's standard library does not read Brotli; Node's does.
READ = "process.stdout.write(zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])))"
START = '#!/bin/sh\nexport LD_LIBRARY_PATH="{0}/lib" FONTCONFIG_PATH="{0}"\nexec "{0}/browser" "$@"\n'


def unpack(folder: Path) -> None:
    """Fill a folder with the browser, its libraries and fonts, and the script that starts it."""
    with tempfile.TemporaryDirectory() as place:
        command = [str(program("npm")), "pack", "--silent", "--pack-destination", place, PACKAGE]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(place).iterdir()
        with tarfile.open(archive) as package:
            package.extractall(place, filter="data")

        def read(name: str) -> bytes:
            file = Path(place) / "package" / "bin" / f"{name}.br"
            return subprocess.run([str(program("node")), "-e", READ, file], check=True, capture_output=True).stdout

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "browser").write_bytes(read("chromium"))
        for name in ("al2023.tar", "fonts.tar"):
            with tarfile.open(fileobj=io.BytesIO(read(name))) as files:
                files.extractall(folder, filter="data")
    fonts = folder / "fonts.conf"
    fonts.write_text(fonts.read_text().replace("/tmp/", f"{folder}/"))
    (folder / "browser").chmod(0o755)
    UNPACKED.write_text(START.format(folder))
    UNPACKED.chmod(0o755)


if chromium():
    print(f"Chromium for the tests: {chromium()}")
elif not sys.platform.startswith("linux"):
    print("Chromium is not installed, so the tests of the pages will be skipped")
else:
    unpack(UNPACKED.parent)
    print(f"Chromium for the tests: {PACKAGE} from npm, in {UNPACKED.parent}")
