"""What a client found about a router's TPM, as each answer carries it.

    answer = await client.create(model=..., messages=...)
    answer.attestation.verdict   # "absent", "invalid", "mismatch", "unpinned", "as-pinned" or "endorsed"
    answer.attestation.reasons   # for each check that failed or could not be made, why

No verdict says that the router is genuine. The key that signs is made for each request: unless a certificate vouches
for it, anybody can make one. And nothing binds the quote to the router's RSA key or to the answer: a quote of another
machine can be passed on. See docs/attestation.md.

It lies below the exchange, because an answer is judged before anything of it is handed out.

Modules, from the ground up; each imports only from those above it:

    found      Attestation: the outcome of each check, and the verdict
    policy     what an attestation is compared with: values, keys, roots, and the least verdict
    statement  the router's `tpm_attestation`, read strictly
    judge      judges the attestation of an answer
"""

from .found import CHECKS, MODES, VERDICTS, Attestation, AttestationMode, PolicySource

__all__ = ["CHECKS", "MODES", "VERDICTS", "Attestation", "AttestationMode", "PolicySource"]
