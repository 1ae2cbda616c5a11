"""An action that loses cancellations, for tests of code that ends tasks."""

import asyncio


class LosesCancellations:
    """Raises TimeoutError for the first `losses` cancellations, as a driver may do; then it ends when cancelled."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.running = asyncio.Event()

    async def __call__(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.losses == 0:
                raise
            self.losses -= 1
            raise TimeoutError from None
