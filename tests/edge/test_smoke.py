from .conftest import Gateway
from .stub_core import DONE, META, TOKEN


async def test_login_and_stream(gateway: Gateway) -> None:
    response = await gateway.client.post(
        "/api/v1/query", json={"query": "hi"}, headers=await gateway.bearer()
    )
    assert response.status_code == 200, response.text
    print(response.headers, response.text)
    assert response.content.endswith(META + TOKEN + DONE)
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/nope", "/api/v1/auth/me"):
        r = await gateway.client.get(path)
        print(path, r.status_code, r.headers, r.text[:300])
    r = await gateway.client.request("FOO", "/healthz")
    print(r.status_code, r.text)
    r = await gateway.client.request("OPTIONS", "/healthz")
    print(r.status_code, r.text, r.headers)
