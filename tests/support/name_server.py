"""Name resolution that a test defines, by a `getaddrinfo` of our own, loaded before the C library's.

libcurl looks names up in C, on threads of its own, so patching Python has no effect.
"""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import which
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: `NAMES` is `name=address;name=hang;name=none`. Other names are passed to the real function.
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    lookup theirs = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
    char *names = getenv("NAMES"), *copy = names ? strdup(names) : NULL, *rest = copy, *entry;
    char address[64] = "";
    while (name && rest && (entry = strsep(&rest, ";"))) {
        char *value = strchr(entry, '=');
        if (!value) continue;
        *value++ = 0;
        if (!strcmp(entry, name)) snprintf(address, sizeof address, "%s", value);
    }
    free(copy);
    if (!*address) return theirs(name, port, hints, found);
    fprintf(stderr, "asked %s\n", name);
    if (!strcmp(address, "hang")) { sleep(60); return EAI_AGAIN; }
    if (!strcmp(address, "none")) return EAI_NONAME;
    struct addrinfo plain = {0};
    if (hints) plain.ai_socktype = hints->ai_socktype;
    plain.ai_flags = AI_NUMERICHOST;
    return theirs(address, port, &plain, found);
}
"""


def run(folder: Path, program: str, *arguments: str, **names: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program for which `names` resolve as given; `_` in a name stands for a dot."""
    compiler = which("gcc") or which("cc")
    if compiler is None:
        pytest.skip("a C compiler, for the resolver, is not installed")
    source, library = folder / "names.c", folder / "names.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    known = ";".join(f"{name.replace('_', '.')}={address}" for name, address in names.items())
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "LD_PRELOAD": str(library), "NAMES": known},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
