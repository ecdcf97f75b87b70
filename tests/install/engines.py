"""What builds images and runs them on this machine.

`podman run` needs more than root on some machines (limits that may be raised, control groups of one
version); `buildah run` with chroot isolation, which is Debian's package beside podman, needs less.
"""

import os
import shutil
import signal
import subprocess

import psutil
import pytest

from tests.install.objects import container, rendered


def run(*command, check=True):
    """Return what a command printed; with `check` it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def succeeds(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Containers:
    """Runs images with docker or podman."""

    def __init__(self, engine):
        self.engine = engine

    def command(self, image, name, *arguments, options=()):
        """Return the command that runs an image in the foreground."""
        common = ("run", "--rm", f"--name={name}", "--network=host", "--read-only")
        return [self.engine, *common, *options, image, *arguments]

    def hardened(self, *, folder):
        """The Deployment's security context as options; with its /tmp, or with none."""
        context = security_context()
        yield f"--user={context['runAsUser']}:{context['runAsGroup']}"
        yield from (f"--cap-drop={name}" for name in context["capabilities"]["drop"])
        yield "--security-opt=no-new-privileges"
        if self.engine == "podman":
            yield "--read-only-tmpfs=false"
        if folder:
            yield "--tmpfs=/tmp:rw,size=8m"

    def stop(self, name, process):
        """Ask a container to end, as the kubelet does."""
        del process
        run(self.engine, "stop", "-t", "45", name)

    def remove(self, name):
        """Remove a container, should it still be there."""
        run(self.engine, "rm", "--force", name, check=False)


class Chroot:
    """Runs images with buildah in a changed root, as another user; nothing but /tmp is writable."""

    def command(self, image, name, *arguments, options=()):
        run("buildah", "from", f"--name={name}", "--pull-never", image)
        config = run(
            "buildah", "inspect", "--type=image", "--format={{.OCIv1.Config.Entrypoint}}", image
        )
        entrypoint = config.strip().strip("[]").split()
        common = ("run", "--isolation=chroot")
        return ["buildah", *common, *options, name, "--", *entrypoint, *arguments]

    def hardened(self, *, folder):
        if not folder:
            pytest.skip("buildah cannot take /tmp away")
        context = security_context()
        yield f"--user={context['runAsUser']}:{context['runAsGroup']}"
        yield "--cap-drop=all"

    def stop(self, name, process):
        """Signal the program itself: buildah would kill it."""
        del name
        psutil.Process(process.pid).children(recursive=True)[-1].send_signal(signal.SIGTERM)

    def remove(self, name):
        run("buildah", "rm", name, check=False)


def security_context():
    context = container(rendered("default"))["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    return context


def builder():
    """Name the engine that answers."""
    for name in filter(shutil.which, ("docker", "podman")):
        if succeeds(name, "info"):
            return name
    pytest.skip("neither docker nor podman answers")


def runner(engine, base):
    """Return what runs images on this machine; `base` is one that the engine has."""
    if succeeds(engine, "run", "--rm", "--network=none", base, "python3", "--version"):
        return Containers(engine)
    if engine == "podman" and shutil.which("buildah"):
        return Chroot()
    pytest.skip(f"{engine} builds images here, but does not run them")


def build_arguments():
    """Without a network, but for chroot isolation, which has that of the machine."""
    isolated = os.environ.get("BUILDAH_ISOLATION") == "chroot"
    return "" if isolated else "--network=none"
