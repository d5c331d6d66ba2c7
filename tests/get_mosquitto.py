"""Give this environment a mosquitto for the tests of alerts, if the system has none: Debian's package, without root.

The package and what it takes that the system lacks are unpacked into the environment. Only systems with apt have it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from brokers import UNPACKED, mosquitto

PACKAGE = "mosquitto"
START = '#!/bin/sh\nexport LD_LIBRARY_PATH="{1}"\nexec "{0}/usr/sbin/mosquitto" "$@"\n'


def unpack(folder: Path) -> None:
    """Fill a folder with the broker, the libraries that the system lacks, and the script that starts it."""
    simulated = ["apt-get", "--simulate", "--no-install-recommends", "install", PACKAGE]
    planned = subprocess.run(simulated, check=True, capture_output=True, text=True).stdout
    wanted = {PACKAGE, *re.findall(r"^Inst (\S+)", planned, re.M)}
    with tempfile.TemporaryDirectory() as place:
        download = ["apt-get", "--quiet", "download", *sorted(wanted)]
        subprocess.run(download, check=True, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for package in sorted(Path(place).glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    libraries = {str(path.parent) for path in folder.rglob("*.so*")}
    UNPACKED.write_text(START.format(folder, ":".join(sorted(libraries))))
    UNPACKED.chmod(0o755)


if mosquitto():
    print(f"mosquitto for the tests: {mosquitto()}")
elif not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
    print("mosquitto is not installed, so the tests of MQTT will be skipped")
else:
    UNPACKED.parent.mkdir(parents=True, exist_ok=True)
    try:
        unpack(UNPACKED.parent)
        print(f"mosquitto for the tests: Debian's package, in {UNPACKED.parent}")
    except subprocess.CalledProcessError as error:  # no lists of packages, or no network
        print(f"mosquitto cannot be had ({' '.join(map(str, error.cmd[:3]))} failed): its tests will be skipped")
