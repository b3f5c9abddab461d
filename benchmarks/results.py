"""The results of a run: ``results/<scenario>.json``, plots, and a table on the terminal."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.digest import MEASURED, code_digest
from benchmarks.summary import Row, medians, ratios, table

FOLDER = Path(__file__).with_name("results")

# scenario → the measurement that ratios are made of, and the table's columns.
SHOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "relay": ("cpu_us_per_event", ("failed", "cpu_us_per_event", "added_p50_ms", "added_p99_ms")),
    "shapes": ("cpu_us_per_event", ("failed", "cpu_us_per_event", "of_first")),
    "cores": ("cpu_us_per_event", ("failed", "cpu_us_per_event")),
    "memory": (
        "rss_kib_per_stream",
        ("failed", "rss_kib_per_stream", "pss_kib_per_stream", "rest_kib", "kept_kib"),
    ),
    "many": (
        "rss_kib_per_stream",
        ("failed", "rss_kib_per_stream", "pss_kib_per_stream", "rest_kib", "kept_kib"),
    ),
    "unary": (
        "requests_per_s",
        ("failed", "requests_per_s", "cpu_us_per_request", "p50_ms", "p99_ms"),
    ),
    "storm": (
        "first_byte_max_ms",
        (
            *("failed", "first_byte_p50_ms", "first_byte_p99_ms", "first_byte_max_ms"),
            *("open_cpu_us", "leave_cpu_us"),
        ),
    ),
    "churn": (
        "cpu_us_per_stream",
        (
            "failed",
            "core_unseen",
            "core_later_than_1s",
            "leave_seen_p99_ms",
            "leave_seen_max_ms",
            "kept_kib",
            "kept_files",
            "cpu_us_per_stream",
        ),
    ),
    "rest": (
        "pss_mib",
        (
            "idle_millicores",
            "import_cpu_s",
            "pss_mib",
            "supervisor_pss_mib",
            "worker_pss_mib",
            "login_pss_mib",
            "login_worker_pss_mib",
        ),
    ),
    "doors": ("cpu_us_per_event", ("failed", "cpu_us_per_event", "p50_ms", "p99_ms")),
    "grpc": ("cpu_us_per_event", ("failed", "cpu_us_per_event", "p50_ms", "p99_ms")),
    "workers": (
        "cpu_us_per_event",
        (
            *("failed", "cpu_us_per_event", "open_cpu_us", "most_of_fair", "least_of_fair"),
            *("others_p50_ms", "others_p99_ms", "by_slow"),
        ),
    ),
    "limits": (
        "cpu_us_per_request",
        (
            *("failed", "cpu_us_per_request", "cpu_us_per_request_alone"),
            *("open_cpu_us", "leave_cpu_us", "cpu_us_per_event"),
        ),
    ),
    "quotas": (
        "cpu_us_per_answer",
        ("failed", "cpu_us_per_answer", "cpu_us_per_answer_alone", "cpu_us_per_event"),
    ),
    "kept": ("cpu_us_per_answer", ("failed", "kept", "cpu_us_per_answer")),
    "tls": (
        "cpu_us_per_event",
        ("failed", "cpu_us_per_event", "rss_kib_per_stream", "open_cpu_us"),
    ),
    "soak": ("rss_kib_per_h", ("failed", "rss_kib_per_h", "files_per_h", "tasks_per_h")),
    "slow": (
        "grown_kib_per_stream",
        ("grown_kib_per_stream", "idle_kib_per_stream", "ended_early", "kib_taken"),
    ),
}


def machine() -> dict[str, Any]:
    """The machine that was measured on."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_mib": _memory_mib(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")


def _memory_mib() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        return 0


def document(
    scenario: str,
    rows: Sequence[Row],
    *,
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    conditions: Mapping[str, Any],
    direct: Sequence[Row] = (),
) -> dict[str, Any]:
    """The whole of a result file; ``rows`` are single measurements, ``summary`` their medians."""
    summary = medians(row for row in rows if "broken" not in row)
    return {
        "scenario": scenario,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": dict(machine),
        "versions": dict(versions),
        "conditions": dict(conditions),
        "code": {"of": list(MEASURED), "sha256": code_digest()},
        "rows": list(rows),
        "summary": summary,
        "ratios": ratios(summary, SHOWN[scenario][0]),
        "direct": list(direct),
    }


def write(scenario: str, result: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scenario}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def printed(scenario: str, result: Mapping[str, Any]) -> str:
    """The medians with their ratios, as a table."""
    rows = [
        {**row, **ratio} for row, ratio in zip(result["summary"], result["ratios"], strict=True)
    ]
    loads = list(dict.fromkeys(row.get("load") for row in rows))
    rows.sort(key=lambda row: (row["streams"], loads.index(row.get("load"))))
    load = ("load",) if loads != [None] else ()
    columns = ("system", *load, "streams", *SHOWN[scenario][1], "of_go-reverseproxy", "of_nginx")
    return table(rows, columns)


def stale(folder: Path = FOLDER, digest: str | None = None) -> list[str]:
    """The scenarios whose results are of other code than the present one, or cannot be read."""
    now = code_digest() if digest is None else digest
    return [path.stem for path in sorted(folder.glob("*.json")) if _digest_in(path) != now]


def _digest_in(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text("utf-8"))["code"]["sha256"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
