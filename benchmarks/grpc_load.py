"""Put a load of single-row Predict requests over gRPC on a server; measure rate and times.

    python benchmarks/grpc_load.py --address localhost:8500 --request request.bin --cpus 1

`request.bin` is a serialized PredictRequest. A fixed number of requests is always open: when one is
answered, it is sent again. The processes that send them do nothing else. They send bytes and count
answers; whether these are right is checked elsewhere.
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
    """The results of a load.

    Attributes:
        streams: How many requests were open at the same time.
        seconds: The measured time, without the warm-up.
        requests: How many requests were answered OK in this time.
        errors: How many were not, by gRPC code.
        rate: Requests per second.
        p50_ms: The median time of a request; None if there was no request.
        p99_ms: The 99th percentile of the times; None if there was no request.
        max_ms: The time of the slowest request; None if there was no request.
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
        streams: How many requests are open at the same time, in all processes together.
        seconds: How long to measure.
        warm_up: Seconds of load before that.
        processes: How many processes send requests.
        cpus: The processors on which they run; empty for any.
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
    """Send requests from one process; return the seconds of each measured request, and errors."""
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
    """Run the load that the command line asks for, and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="localhost:8500")
    parser.add_argument("--request", type=Path, required=True, help="a serialized PredictRequest")
    parser.add_argument("--streams", type=int, default=32, help="requests open at the same time")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2, help="seconds before that")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cpus", default="", help="processors for the load, such as 1 or 2,3")
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
