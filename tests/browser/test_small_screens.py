"""The pages beside the journeys, for the people who try things out."""

from __future__ import annotations

from tests.browser.visiting import Visitor


def test_the_sandbox_is_readable_on_a_phone(visitor: Visitor) -> None:
    """Mailbox, processor, its log and the application fit, however long the ids."""
    visitor.buy()
    mail = visitor.open_mail("receipt")
    at = visitor.stack.at
    for name, address in {
        "mailbox": at.mailbox,
        "mail-alone": f"{mail.url}/html",
        "processor": at.processor,
        "processor-log": f"{at.processor}/requests",
        "application-front": at.application,
    }.items():
        visitor.page.goto(address)
        visitor.look(name)


def test_an_address_that_leads_nowhere_says_so(visitor: Visitor) -> None:
    """A cut checkout address gets a page with a way on."""
    visitor.excuse("404")
    visitor.page.goto(f"{visitor.stack.at.shop}/c/cut-off")

    visitor.see("This address leads to no checkout.")
    visitor.look("no-checkout")
