"""The core's own account at the store, made once ``gateway setup`` has made the buckets.

With versitygw that account may read, list and remove documents and nothing else: it has no access
to the bucket of API keys, as in production. moto checks no account at all.

``python -m devstack.buckets ENDPOINT CORE_ACCESS_KEY`` does the same as root (``ROOT_ACCESS_KEY``,
``ROOT_SECRET_KEY``), as often as one likes. It makes the account where it is given its secret
(``CORE_S3_SECRET_KEY``); without, the account must be there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from devstack.components import Found, S3Account
from devstack.environment import DOCUMENTS_BUCKET, Secrets
from devstack.processes import StartFailed
from devstack.store_accounts import ensure_account

_CORE_MAY = (
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
)


def admit_core(found: Found, endpoint: str, secrets: Secrets) -> None:
    """Makes the core's account and allows it to read the documents. Blocks: call it in a thread.

    Raises:
        StartFailed: the store refused, or did not answer.
    """
    if found.path is None:
        return
    ensure_account(endpoint, secrets.gateway_store, secrets.core_store)
    permit(endpoint, secrets.gateway_store, secrets.core_store.access_key)


def permit(endpoint: str, root: S3Account, core_access_key: str) -> None:
    """Sets the documents' bucket policy.

    Raises:
        StartFailed: the store refused, or did not answer.
    """
    s3 = client(endpoint, root)
    try:
        s3.put_bucket_policy(Bucket=DOCUMENTS_BUCKET, Policy=core_policy(core_access_key))
    except (ClientError, BotoCoreError) as exc:
        raise StartFailed(f"s3: the documents' bucket policy could not be set: {exc}") from exc
    finally:
        s3.close()


def client(endpoint: str, account: S3Account) -> Any:
    """A boto3 client that takes nothing from the user's own AWS configuration."""
    session = boto3.session.Session(
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret_key,
        region_name=account.region,
    )
    config = Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, read_timeout=10, proxies={}
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


def core_policy(access_key: str) -> str:
    """The bucket policy that gives the core access to the documents."""
    arn = f"arn:aws:s3:::{DOCUMENTS_BUCKET}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [access_key]},
        "Action": list(_CORE_MAY),
        "Resource": [arn, f"{arn}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Takes the endpoint and the core's access key; returns 0 when the policy is set."""
    endpoint, core_access_key = arguments
    root = S3Account(environ["ROOT_ACCESS_KEY"], environ["ROOT_SECRET_KEY"])
    core_secret_key = environ.get("CORE_S3_SECRET_KEY")
    try:
        if core_secret_key:
            ensure_account(endpoint, root, S3Account(core_access_key, core_secret_key))
        permit(endpoint, root, core_access_key)
    except StartFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
