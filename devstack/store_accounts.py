"""Accounts at versitygw, by its admin API: what ``versitygw admin`` does, with no command line.

A command line can be read by every process of the machine, and a container of the store's own image
would fail where the account is there already.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session

from devstack.components import S3Account
from devstack.processes import StartFailed

CALL_S = 15
_EXISTS = b"XAdminUserExists"


def ensure_account(endpoint: str, root: S3Account, account: S3Account) -> None:
    """Makes ``account`` with no rights of its own; one that is there gets this secret. Blocks.

    Raises:
        StartFailed: the store refused, or did not answer.
    """
    access, secret = escape(account.access_key), escape(account.secret_key)
    user = f"<Account><Access>{access}</Access><Secret>{secret}</Secret><Role>user</Role></Account>"
    answer = _patch(endpoint, root, "create-user", user)
    if answer.status_code == 409 and _EXISTS in answer.content:
        change = f"<MutableProps><Secret>{secret}</Secret></MutableProps>"
        answer = _patch(endpoint, root, "update-user", change, access=account.access_key)
    if not 200 <= answer.status_code < 300:
        said = answer.content.decode("utf-8", "replace")[:300]
        raise StartFailed(f"s3: the core's account could not be made: {answer.status_code} {said}")


def _patch(endpoint: str, root: S3Account, what: str, body: str, **query: str) -> AWSResponse:
    request = AWSRequest("PATCH", f"{endpoint}/{what}", data=body.encode(), params=query)
    credentials = Credentials(root.access_key, root.secret_key)
    S3SigV4Auth(credentials, "s3", root.region).add_auth(request)
    # No proxy of the user's shell: the store is on this machine, or in the same network.
    session = URLLib3Session(proxies={}, timeout=CALL_S)
    try:
        return session.send(request.prepare())
    except BotoCoreError as exc:
        raise StartFailed(f"s3: no answer while the core's account was made: {exc}") from exc
    finally:
        session.close()
