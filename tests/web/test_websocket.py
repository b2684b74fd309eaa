"""A WebSocket upgrade is refused plainly: what is not spoken yet is no traceback."""

from channels.testing import WebsocketCommunicator

from controlplane.asgi import application


async def test_an_upgrade_is_refused_before_it_opens() -> None:
    upgrade = WebsocketCommunicator(application, "/v1/responses")
    accepted, _ = await upgrade.connect()
    assert not accepted
    await upgrade.disconnect()
