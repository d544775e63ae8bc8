"""The sample application: takes orders, fails when the table is gone, works again after cutover."""

import json
import os
import random
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg

ORDERS_SQL = """
create schema if not exists shop authorization shop;
create table if not exists shop.customers (
  id bigint primary key, name text not null);
create table if not exists shop.orders (
  id bigint generated always as identity primary key,
  customer bigint not null references shop.customers, amount numeric(10, 2) not null,
  placed_at timestamptz not null default clock_timestamp());
create table if not exists shop.migrations (
  version int primary key, at timestamptz not null default clock_timestamp());
alter table shop.customers owner to shop;
alter table shop.migrations owner to shop;
insert into shop.migrations values (1) on conflict do nothing;
alter table shop.orders owner to shop;
insert into shop.customers select n, 'customer ' || n from generate_series(1, 100) n
  on conflict do nothing;
"""
_random = random.Random()  # noqa: S311 - amounts of made-up orders


def _connect() -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        os.environ["DATABASE_URL"], autocommit=True, connect_timeout=3, application_name="checkout"
    )


def place(count: int) -> int:
    """Place `count` orders, each its own transaction, and return how many succeeded."""
    with _connect() as session:
        for _ in range(count):
            session.execute(
                "insert into shop.orders (customer, amount) values (%s, %s)",
                [_random.randint(1, 100), round(_random.uniform(5, 500), 2)],
            )
    return count


def orders_per_second() -> float:
    """Return how many orders come, as the shop's settings say.

    Raises:
        ValueError: the settings say something else than a number.
    """
    path = os.environ.get("SHOP_SETTINGS", "")
    if not path or not os.path.exists(path):  # noqa: PTH110 - the image has few modules to load
        return float(os.environ.get("SHOP_ORDERS_PER_SECOND", "5"))
    with open(path, encoding="utf-8") as settings:  # noqa: PTH123 - as above
        return float(json.load(settings)["orders_per_second"])


class Till:
    """Takes orders in the background and remembers how the last one went."""

    def __init__(self) -> None:
        self.placed, self.problem = 0, "no order yet"

    def run(self) -> None:
        """Place orders until the process ends; a failure is remembered and tried again."""
        while True:
            rate = 5.0
            try:
                rate = orders_per_second()
                self.placed += place(1)
                self.problem = ""
            except (psycopg.Error, ValueError, KeyError) as error:
                self.problem = str(error).strip().splitlines()[0]
            time.sleep(1 / rate)


class Pages(BaseHTTPRequestHandler):
    """Health, numbers, and orders in bulk."""

    till: Till

    def do_GET(self) -> None:
        """Answer `/healthz` with 200 only when the last order went through."""
        if urlsplit(self.path).path == "/healthz":
            problem = self.till.problem
            self._answer(503 if problem else 200, {"healthy": not problem, "problem": problem})
        else:
            self._answer(200, {"placed": self.till.placed, "problem": self.till.problem})

    def do_POST(self) -> None:
        """Place `count` orders."""
        asked = parse_qs(urlsplit(self.path).query)
        try:
            self._answer(200, {"placed": place(int(asked.get("count", ["1"])[0]))})
        except psycopg.Error as error:
            self._answer(503, {"problem": str(error).strip().splitlines()[0]})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep quiet: a log line a request helps nobody."""


def main() -> None:
    """Serve on the loopback port that the settings name."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # as a container's first process too
    till = Till()
    threading.Thread(target=till.run, daemon=True).start()
    Pages.till = till
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["SHOP_PORT"])), Pages)
    server.serve_forever()


if __name__ == "__main__":
    main()
