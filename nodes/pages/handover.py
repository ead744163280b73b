"""A link that lets somebody in once, on the page from which it is handed on."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from markupsafe import Markup

from nodes.asks import draw_qr
from protocol.peer.access_store import ONCE_DAYS
from protocol.peer.web.once import Once
from protocol.peer.web.pages import Pages
from protocol.peer.web.requests import caller_of


class Handover:
    """Makes links, and shows each once.

    Args:
        pages: shows them.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._once: Once[str] = Once()

    async def show(
        self,
        request: web.Request,
        key: str,
        make: Callable[[], Awaitable[str]],
        *,
        name: str,
        back: str,
    ) -> web.Response:
        """Make a link and show it; a second click on its button shows the same.

        Args:
            request: of whoever makes it.
            key: drawn with the button.
            make: makes the link.
            name: whom it lets in.
            back: the page to go on to.
        """
        person = caller_of(request).person_id
        link = await self._once.do(person, f"{request.path} {key}", make)
        return self._pages.show(
            request,
            "handover.html",
            name=name,
            link=link,
            # Our own drawing, of letters and digits alone.
            qr=Markup(draw_qr(link)),  # noqa: S704
            days=ONCE_DAYS,
            back=back,
        )
