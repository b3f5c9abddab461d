"""What stands below the prefixes of the versions: each route says in which of them."""

from __future__ import annotations

from dataclasses import replace

from blueprints import (
    auth,
    docs,
    documents,
    keys,
    openai,
    probe,
    query,
    query_socket,
    search,
    usage,
)
from gateway.domain.versions import VERSIONS
from gateway.edge.http.mounting import Api

API = Api(
    VERSIONS,
    (
        auth.blueprint,
        keys.blueprint,
        documents.blueprint,
        query.blueprint,
        query_socket.blueprint,
        search.blueprint,
        openai.blueprint,
        usage.blueprint,
        probe.blueprint,
        docs.versioned_blueprint,
    ),
)


def with_browsers(api: Api) -> Api:
    """With the routes by which browsers sign in; nothing of them is loaded before."""
    from blueprints import sign_in

    return replace(api, groups=(*api.groups, sign_in.blueprint))
