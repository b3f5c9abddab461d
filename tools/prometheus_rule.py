"""``python -m tools.prometheus_rule``: writes the operator's object from ``alerts.yaml``.

promtool reads plain rules files, the Prometheus operator the same groups inside an object of its
own, and kustomize can put no file into an object. A test compares the two.
"""

from __future__ import annotations

from pathlib import Path

MONITORING = Path(__file__).parents[1] / "k8s" / "monitoring"
HEAD = """\
# Written by `python -m tools.prometheus_rule` from alerts.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gateway
spec:
"""


def wrapped(rules: str) -> str:
    """A rules file as the operator's object, without the comments at its top."""
    lines = rules[rules.index("groups:") :].splitlines()
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    text = (MONITORING / "alerts.yaml").read_text("utf-8")
    (MONITORING / "prometheus-rule.yaml").write_text(wrapped(text), "utf-8")
