"""A load of single-row Predict requests over gRPC: requests per second and their times.

    python benchmarks/grpc_load.py --address localhost:8500 --request request.bin --cpus 1

`request.bin` is a serialized PredictRequest. So many requests are always under way, each on its way
again once it is answered, from processes that do nothing else. They send bytes and count answers;
what these say is the tests' business.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

METHOD = "/tensorflow.serving.PredictionService/Predict"

_together: Barrier
"""All processes of a load; set in each of them."""


@dataclass(frozen=True)
class Load:
    """What a load found.

    Attributes:
        streams: Requests under way at once.
        seconds: Measured, after the warm-up.
        requests: Answered OK within them.
        errors: Others, by gRPC code.
        rate: Requests a second.
        p50_ms: Half of the requests took no longer.
        p99_ms: Nor did 99 % of them.
        max_ms: The slowest. The three are None if there was no request.
    """

    streams: int
    seconds: float
    requests: int
    errors: dict[str, int]
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


def load(
    address: str,
    request: bytes,
    *,
    streams: int = 32,
    seconds: float = 10,
    warm_up: float = 2,
    processes: int = 1,
    cpus: Sequence[int] = (),
) -> Load:
    """Put a load on a server.

    Args:
        address: `host:port`.
        request: A serialized PredictRequest.
        streams: Requests under way at once, shared out to the processes.
        seconds: To measure.
        warm_up: Seconds before that.
        processes: That send.
        cpus: Processors to pin them to; none: anywhere.
    """
    context = multiprocessing.get_context("spawn")
    share = [streams // processes + (n < streams % processes) for n in range(processes)]
    given = [(address, request, each, warm_up, seconds) for each in share]
    setup = (context.Barrier(processes), tuple(cpus))
    with context.Pool(processes, _set_up, setup) as pool:
        found = pool.starmap(_send, given, chunksize=1)
    times = sorted(taken for times, _ in found for taken in times)
    errors = sum((failed for _, failed in found), Counter[str]())
    return Load(
        streams,
        seconds,
        len(times),
        dict(errors),
        round(len(times) / seconds, 1),
        *(_quantile_ms(times, q) for q in (0.5, 0.99, 1)),
    )


def _quantile_ms(times: Sequence[float], q: float) -> float | None:
    """A quantile of sorted seconds, in milliseconds; None if there are none."""
    return round(1000 * times[min(len(times) - 1, int(q * len(times)))], 2) if times else None


def _set_up(together: Barrier, cpus: tuple[int, ...]) -> None:
    global _together
    _together = together
    if cpus:
        os.sched_setaffinity(0, cpus)


def _send(
    address: str, request: bytes, streams: int, warm_up: float, seconds: float
) -> tuple[list[float], Counter[str]]:
    """One process's streams: seconds of each request within the measured time, and errors."""
    return asyncio.run(_streams(address, request, streams, warm_up, seconds))


async def _streams(
    address: str, request: bytes, streams: int, warm_up: float, seconds: float
) -> tuple[list[float], Counter[str]]:
    import grpc

    times: list[float] = []
    errors: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        predict = channel.unary_unary(METHOD)
        await asyncio.wait_for(channel.channel_ready(), 30)
        _together.wait(60)
        begin = time.perf_counter() + warm_up
        end = begin + seconds

        async def stream() -> None:
            while (sent := time.perf_counter()) < end:
                problem = ""
                try:
                    await predict(request, timeout=30)
                except grpc.aio.AioRpcError as error:
                    problem = error.code().name
                now = time.perf_counter()
                if begin <= now < end and problem:
                    errors[problem] += 1
                elif begin <= now < end:
                    times.append(now - sent)

        await asyncio.gather(*(stream() for _ in range(streams)))
    return times, errors


def main() -> None:
    """Put the load on that the command line asks for, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="localhost:8500")
    parser.add_argument("--request", type=Path, required=True, help="a serialized PredictRequest")
    parser.add_argument("--streams", type=int, default=32, help="requests under way at once")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2, help="seconds before that")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cpus", default="", help="to pin the processes to, as 1 or 2,3")
    given = parser.parse_args()
    found = load(
        given.address,
        given.request.read_bytes(),
        streams=given.streams,
        seconds=given.seconds,
        warm_up=given.warm_up,
        processes=given.processes,
        cpus=[int(cpu) for cpu in given.cpus.split(",") if cpu],
    )
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
