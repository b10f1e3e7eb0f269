"""Free memory: how much memory this process may still use."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_gib(cgroup: Path = CGROUP) -> float:
    """Return the free GiB of the machine, or of the container if that is less. Cached memory counts as free."""
    import psutil

    free_bytes = [psutil.virtual_memory().available]
    try:
        limit, used, stats = ((cgroup / name).read_text() for name in ("memory.max", "memory.current", "memory.stat"))
        cached = dict(line.split() for line in stats.splitlines())["inactive_file"]
        free_bytes.append(int(limit) - int(used) + int(cached))
    except (OSError, ValueError):
        pass  # no container, or one without a limit ("max")
    return float(max(min(free_bytes), 0)) / 2**30
