"""Dead letters of a stack: messages that are put into the queues of a service, and what is stored of them."""

from typing import Any
from uuid import uuid4

import aio_pika
from yarl import URL

from quartet_cli.stack import Stack
from quartet_testing.client import Api, Document
from quartet_testing.conditions import eventually


async def put_message(stack: Stack, service: str, queue: str, body: bytes, reason: str | None = None) -> str:
    """Put a message into a queue of a service, with the reason of a dead letter if there is one; returns its id."""
    message_id = str(uuid4())
    url = URL(stack.environment(service, "worker")["QUARTET_BROKER_URL"])
    password = (stack.home.secrets / service / "quartet_broker_password").read_text().strip()
    headers: dict[str, Any] = {} if reason is None else {"x-quartet-reason": reason, "x-quartet-attempt": 6}
    async with await aio_pika.connect(url.with_password(password)) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(body, message_id=message_id, headers=headers)
        await channel.default_exchange.publish(message, queue)
    return message_id


async def letter_of(api: Api, service: str, message_id: str) -> Document:
    """The dead letter of a message, once it is stored."""

    async def probe() -> Document | None:
        found = (await api.get(f"/{service}/rabbitmq/dead-letters", params={"count": 1000})).json()["dead_letters"]
        return next((one for one in found if one["message_id"] == message_id), None)

    return await eventually(probe, f"the dead letter {message_id}")
