"""Serving: what hub and node do alike from start to stop.

``serve`` is one process: the clerk first (lock, migrations, life), then what the
house adds, then HTTP. It stops on SIGTERM and Ctrl-C, or when the clerk meets
what it may not go on with; then the process ends with an error.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from protocol.envelope import BODY_LENGTH_MAX
from protocol.errors import LedgerBrokenError, OutageError, RestoredError
from protocol.peer import log
from protocol.peer.audit import Auditor, MakePlan
from protocol.peer.batch import House
from protocol.peer.clerk import PEER_MIGRATIONS, Clerk
from protocol.peer.clock import Clock
from protocol.peer.database import AWAY, Database
from protocol.peer.endpoint import Endpoint
from protocol.peer.metrics import Metrics
from protocol.peer.migration_store import migrate
from protocol.peer.settings import Settings, SettingsError
from protocol.peer.steps import KillSwitch
from protocol.peer.web import openapi, problems
from protocol.peer.web.audits import AuditApi
from protocol.peer.web.listening import listen, name_nobody
from protocol.peer.web.pages import Pages, Site
from protocol.peer.web.routes import Route, definitions, token_route
from protocol.peer.web.sessions import SessionPages
from protocol.peer.web.sign_in import Door

_LOG = logging.getLogger(__name__)
_STOPPING_S = 5.0
_LOCK_WAIT_S = 3.0
#: How often a server looks whether its nightly audit is due.
_NIGHT_LOOK_S = 60.0

Task = Callable[[], Coroutine[None, None, None]]


@dataclass
class Server:
    """The parts of a running server, for the house to build on.

    Attributes:
        settings: as loaded.
        database: open.
        clerk: the single writer; ready once it has the lock.
        clock: the wall clock.
        metrics: what is counted.
        kill_switch: where a trial wants this process to die.
        door: signs people in.
        tasks: what runs beside the clerk, such as the courier.
        api: what the house answers to people and their programs, pages too.
        routes: what the house answers to other servers.
        pages: shows pages, at a server that has some.
        on_shutdown: called when the server stops taking requests.
    """

    settings: Settings
    database: Database
    clerk: Clerk
    clock: Clock
    metrics: Metrics
    kill_switch: KillSwitch
    door: Door
    tasks: list[Task] = field(default_factory=list)
    api: list[Route] = field(default_factory=list)
    routes: list[web.RouteDef] = field(default_factory=list)
    pages: Pages | None = None
    on_shutdown: list[Callable[[web.Application], Coroutine[None, None, None]]] = field(
        default_factory=list
    )


def build(
    settings: Settings, database: Database, house: House, migrations: tuple[str, Path]
) -> Server:
    """Put the parts together that every server has."""
    clock = Clock(settings.test.clock_offset_ms)
    metrics = Metrics()
    kill_switch = KillSwitch(settings.test.kill_at)
    clerk = Clerk(
        house, database, clock, metrics, settings.limits, kill_switch, migrations
    )
    door = Door(database, clock)
    return Server(settings, database, clerk, clock, metrics, kill_switch, door)


def add_pages(server: Server, site: Site) -> Pages:
    """Let a server show pages, those to sign in to begin with."""
    pages = Pages(site, server.database, server.clock)
    around = SessionPages(
        pages,
        server.door,
        server.database,
        server.clock,
        server.clerk.check_may_change,
    )
    server.pages = pages
    server.api += around.routes()
    return pages


def add_audit(server: Server, make_plan: MakePlan, scope: str) -> None:
    """Let a server audit itself: each night, and when its staff asks.

    Args:
        server: being put together.
        make_plan: the house's part.
        scope: of the staff's tokens.
    """
    auditor = Auditor(server.database, make_plan, server.clock, server.metrics)
    server.api += AuditApi(auditor, scope).routes()
    settings = server.settings.audit
    if settings.nightly:

        async def look() -> None:
            await auditor.run_when_due(settings.hour)

        server.tasks.append(lambda: every(server, _NIGHT_LOOK_S, look))


async def prepare_database(
    settings: Settings, migrations: tuple[str, Path]
) -> Database:
    """Open a server's database and bring its tables up to date.

    Raises:
        OutageError: no database there, or a running server keeps it.
    """
    database = await Database.open(settings.database)
    try:
        async with asyncio.timeout(_LOCK_WAIT_S):
            connection = await database.become_clerk()
        try:
            now = Clock(settings.test.clock_offset_ms).now()
            await migrate(connection, [PEER_MIGRATIONS, migrations], now)
        finally:
            await connection.close()
    except TimeoutError:
        await database.close()
        raise OutageError("this server is running; stop it first") from None
    except BaseException:
        await database.close()
        raise
    return database


async def serve(server: Server) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    runner = web.AppRunner(_application(server), shutdown_timeout=_STOPPING_S)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(server.clerk.run(), name="clerk")]
        await runner.setup()
        host, port = server.settings.server.address()
        try:
            listening = await listen(runner, host, port)
        except OSError as error:
            raise SettingsError(
                f"server.listen is {server.settings.server.listen}, where this machine "
                f"does not let us listen: {error.strerror or error}."
            ) from None
        _LOG.info("listening on %s", server.settings.server.listen)
        running += [group.create_task(task()) for task in server.tasks]
        await stop.wait()
        _LOG.info("stopping")
        listening.close()
        await runner.cleanup()
        for task in running:
            task.cancel()


def _application(server: Server) -> web.Application:
    pages = server.pages
    shown = [] if pages is None else [pages.middleware()]
    application = web.Application(
        middlewares=[problems.middleware(server.metrics), *shown],
        client_max_size=BODY_LENGTH_MAX,
    )
    endpoint = Endpoint(server.clerk, server.database, server.metrics)
    table = [token_route(server.door), *server.api]
    application.add_routes(
        [
            *endpoint.routes(),
            *([endpoint.welcome()] if pages is None else []),
            *definitions(table, server.door, pages),
            openapi.definition(
                f"Interlets: {server.clerk.house.own}",
                [route for route in table if not route.is_page],
            ),
            *server.routes,
        ]
    )
    application.on_response_prepare.append(name_nobody)
    for callback in server.on_shutdown:
        application.on_shutdown.append(callback)
    return application


async def every(server: Server, pause_s: float, look: Task) -> None:
    """Look again and again for what is due, while this process is the clerk.

    In a standby the clerk is not ready, and nothing is looked for. No failure of what
    looks ends the server, only books that contradict themselves.
    """
    while True:
        await asyncio.sleep(pause_s)
        if not server.clerk.is_ready:
            continue
        try:
            await look()
        except RestoredError:
            # The alarms tell it already, and nothing is lost by looking again.
            continue
        except (OutageError, TimeoutError, *AWAY) as error:
            _LOG.warning("looking for what is due: %s", error)
        except LedgerBrokenError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, members go on paying
            _LOG.error("looking for what is due: %s", log.where(error))


def configure_log(settings: Settings, name: str) -> None:
    """Log as the settings say, under this server's name."""
    log.configure(settings.log, name)


def run(main: Coroutine[None, None, None]) -> None:
    """Run a server's main; one failure inside a group is told as itself."""
    try:
        asyncio.run(main)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
