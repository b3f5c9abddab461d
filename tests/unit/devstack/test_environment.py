"""What the stack's processes are told, and what they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

import devstack
from devstack.environment import Secrets, core_env, gateway_env, inherited
from gateway.settings import Settings

SECRETS = Secrets()


def settings_for(opa: str | None = None, redis: str | None = None) -> dict[str, str]:
    return gateway_env(
        SECRETS,
        port=1,
        admin_port=2,
        workers=3,
        core="http://127.0.0.1:4",
        s3="http://127.0.0.1:5",
        temporal="127.0.0.1:6",
        opa=opa,
        redis=redis,
        policy_dir=None,
    )


@pytest.mark.parametrize("opa", [None, "http://127.0.0.1:7"])
def test_gateway_accepts_its_settings(opa: str | None) -> None:
    """Every name is known and every value valid; no OPA means the embedded engine."""
    settings = Settings.load(settings_for(opa))
    assert settings.services_opa == opa
    assert settings.server_workers == 3


@pytest.mark.parametrize("redis", [None, "127.0.0.1:8"])
def test_gateway_counts_in_redis_where_there_is_one(redis: str | None) -> None:
    """Without one it is told of none."""
    url = Settings.load(settings_for(redis=redis)).redis_url
    assert (None if url is None else url.addresses) == (redis and (("127.0.0.1", 8),))


def test_users_own_settings_do_not_reach_the_stack() -> None:
    """What a shell says to another gateway, store or core is left out; the model's stay."""
    strange = {
        "GATEWAY_SERVER_PORT": "x",
        "CORE_TOKEN": "x",
        "AWS_PROFILE": "x",
        "OPA_LOG_LEVEL": "x",
        "TEMPORAL_ADDRESS": "x",
    }
    kept = {"CORE_OPENAI_MODEL": "m", "PATH": "/bin", "LANG": "C.UTF-8"}
    env = inherited({**strange, **kept})
    assert not strange.keys() & env.keys()
    assert kept.items() <= env.items()


def test_children_import_the_code_their_parent_runs() -> None:
    """They start in a folder of their own, so our place comes first, and relative ones hold."""
    first, *others = inherited({"PYTHONPATH": "somewhere"})["PYTHONPATH"].split(":")
    assert first == str(Path(devstack.__file__).parents[1])
    assert others == [str(Path("somewhere").absolute())]


def test_core_has_an_account_of_its_own_at_the_store() -> None:
    """The gateway's keys, which reach the API keys' bucket, are not the core's."""
    core = core_env(SECRETS, port=1, data_dir=Path("/d"), s3="http://s", temporal="t:1")
    gateway = settings_for()
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY"):
        assert core[f"CORE_{name}"] != gateway[f"GATEWAY_{name}"]


def test_secrets_are_new_every_time_and_do_not_show() -> None:
    """Two stacks share none, and a printed object tells nothing."""
    assert Secrets().jwt != SECRETS.jwt
    assert SECRETS.jwt not in repr(SECRETS)
    assert SECRETS.gateway_store.secret_key not in repr(SECRETS.gateway_store)
