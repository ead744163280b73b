"""What a member of one group asks with a link, one of another opens and pays."""

import http.client

from tests.federation.servers import wait_for
from tests.federation.world import Federation


def test_an_ask_made_at_mechelen_is_opened_at_oostende_and_paid(
    federation: Federation,
) -> None:
    an, jan = federation.member("an@mechelen"), federation.member("jan@oostende")
    before = an.account()["balance"]
    made = an.ask("POST", "/api/v1/asks", {"amount": 3, "memo": "Fiets 🚲"})
    assert made.status == 201
    mechelen = federation.server("mechelen").port
    assert made.told["link"].startswith(f"http://127.0.0.1:{mechelen}/ask#")
    opened = jan.ask("POST", "/api/v1/asks/open", {"ask": made.told["link"]})
    assert (opened.status, opened.told["to"]) == (200, "an@mechelen")
    # 12 blussers an hour, 20 garnalen: 3 are a quarter of an hour, which is 5.
    assert opened.told["quote"]["payer_amount"] == 5
    paid = federation.pay(
        "jan@oostende",
        opened.told["to"],
        opened.told["amount"],
        key=f"ask-{opened.told['id']}",
        payer_amount_max=5,
        memo=opened.told["memo"],
    )
    assert federation.end_of(paid)["state"] == "cleared"
    wait_for(lambda: an.account()["balance"] == before + 3, "An's 3 blussers", 10)
    assert an.entries()[0]["memo"] == "Fiets 🚲"


def test_the_page_behind_a_link_tells_what_to_do(federation: Federation) -> None:
    port = federation.server("mechelen").port
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", "/ask", headers={"Accept-Language": "nl-BE"})
        answer = line.getresponse()
        assert (answer.status, answer.getheader("Content-Language")) == (200, "nl")
        assert "Iemand vraagt je een betaling" in answer.read().decode()
    finally:
        line.close()
