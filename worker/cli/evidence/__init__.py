"""`ekyc evidence`: the keys of evidence, and what becomes of it after the decision.

Each command has a module, which is imported when the command runs.
"""

from __future__ import annotations

from typing import Final

import click

from worker.cli.commands import LazyGroup

#: The commands, each as `module:attribute`, in the order of the help.
COMMANDS: Final = {
    "list": "worker.cli.evidence.listing:list_",
    "show": "worker.cli.evidence.showing:show",
    "export": "worker.cli.evidence.exporting:export",
    "keygen": "worker.cli.evidence.keygen:keygen",
    "rotate": "worker.cli.evidence.rotate:rotate",
    "verify": "worker.cli.evidence.verify:verify",
    "sequence": "worker.cli.evidence.sequence:sequence",
    "hold": "worker.cli.evidence.legal_hold:hold",
    "release": "worker.cli.evidence.legal_hold:release",
    "retain": "worker.cli.evidence.retain:retain",
    "erase": "worker.cli.evidence.erase:erase",
    "certificate": "worker.cli.evidence.certificate:certificate",
}

#: The line of each command in `ekyc evidence --help`: the first sentence of its own help, which a test compares.
SHORT_HELP: Final = {
    "list": "List the verifications whose evidence the store has.",
    "show": "Show what the store has of one verification.",
    "export": "Export evidence as one archive that a third party can verify without this software.",
    "keygen": "Make a key for EKYC_EVIDENCE_KEYS_FILE, or for the log.",
    "rotate": "Bring evidence under the current key, and encrypt what was stored without keys.",
    "verify": "Compare evidence with its log, and the log with the ledger.",
    "sequence": "Add to the log all evidence of ended verifications that it does not have.",
    "hold": "Place a legal hold: the evidence is neither swept nor erased.",
    "release": "Release all legal holds: retention and erasure apply again.",
    "retain": "Show until when evidence is kept, or erase what is over age.",
    "erase": "Erase a verification everywhere, for good, and certify it.",
    "certificate": "Print the certificate of an erasure again, and the key that verifies it.",
}


@click.group(cls=LazyGroup, lazy_subcommands=COMMANDS, short_help_lines=SHORT_HELP, entry_point_group="")
def evidence() -> None:
    """List, show, verify, export and erase evidence; make its keys."""
