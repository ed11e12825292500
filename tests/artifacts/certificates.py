"""Certificates made for one test run with the openssl command."""

import subprocess
from pathlib import Path


def authority(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "ca.pem", folder / "ca.key"
    run = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test ca",
    ]
    subprocess.run([*run, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def signed(folder: Path, name: str, by: tuple[Path, Path]) -> tuple[Path, Path]:
    certificate, key, request, extension = (folder / f"{name}.{kind}" for kind in ("pem", "key", "csr", "ext"))
    extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    ask = [
        "openssl",
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        f"/CN={name}",
        "-out",
        request,
        "-keyout",
        key,
    ]
    subprocess.run(ask, check=True, capture_output=True)
    sign = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        by[0],
        "-CAkey",
        by[1],
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        extension,
    ]
    subprocess.run([*sign, "-out", certificate], check=True, capture_output=True)
    return certificate, key
