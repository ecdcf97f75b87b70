"""`python -m tests.fuzz.worker TARGET SECONDS`: runs one target until an input fails.

With atheris inputs are chosen by the code that they reach; where it is not installed they are
random changes of the seeds.
"""

import contextlib
import importlib.util
import random
import sys
import time
from hashlib import sha256

from tests.support.mutations import mutated_bytes
from tests.support.paths import ROOT

FINDINGS = ROOT / "tests" / "fuzz" / "findings"
CORPUS = ROOT / ".fuzz"  # inputs that reached new code, kept from run to run
LONGEST = 10  # seconds that one input may take
RESIDENT = 2048  # MiB that the process may take


def guided(name, seconds):
    """Run one target with atheris; does not return."""
    import atheris

    with atheris.instrument_imports(include=["metricsapi"]):
        from tests.fuzz.targets import TARGETS
    target = _named(TARGETS, name)
    corpus, findings = CORPUS / name, FINDINGS / name
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
    options = (
        f"-max_total_time={seconds:.0f}",
        f"-timeout={LONGEST}",
        f"-rss_limit_mb={RESIDENT}",
        f"-artifact_prefix={findings}/",
        "-max_len=65536",
        "-verbosity=0",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def unguided(name, seconds):
    """Run one target with random changes of its seeds; return how many, and what raised first."""
    from tests.fuzz.targets import TARGETS

    target, rng = _named(TARGETS, name), random.Random()
    seeds, count, until = target.seeds(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutated_bytes(rng, rng.choice(seeds))
        count += 1
        kept = FINDINGS / name / f"crash-{sha256(data).hexdigest()[:16]}"
        with contextlib.ExitStack() as stack:
            stack.callback(_keep, kept, data)
            target.run(data)
            stack.pop_all()
    print(f"{count} inputs, none of which is a finding; without atheris, not guided by coverage")


def _keep(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"kept as {path}")


def _named(targets, name):
    return next(target for target in targets if target.name == name)


if __name__ == "__main__":
    run = guided if importlib.util.find_spec("atheris") else unguided
    run(sys.argv[1], float(sys.argv[2]))
