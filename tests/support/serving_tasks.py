"""Connections of a scripted server, each served in a task; none outlives the server."""

import asyncio


class ServingTasks:
    """Give it to `asyncio.start_server`: it runs `serve(reader, writer)` for each connection."""

    def __init__(self, serve):
        self._serve = serve
        self._tasks = set()

    def __call__(self, reader, writer):
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)

        def ended(_):  # also when it was cancelled before it began
            self._tasks.discard(task)
            writer.transport.abort()

        task.add_done_callback(ended)

    async def end(self, server):
        """Close the port and every connection, those included that asyncio is still accepting."""
        server.close()
        for _ in range(5):  # iterations of the loop in which asyncio makes and closes transports
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0.001)
