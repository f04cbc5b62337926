"""The sandbox's mailbox: a mail server whose every answer a test may script."""

import os
import smtplib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.places import free_port
from tests.stack.servers import server


@dataclass(frozen=True)
class Mailbox:
    smtp_port: int
    http: httpx.Client
    folder: Path

    def send(self, to: str = "dana@example.com", **more: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as session:
            session.send_message(_mail(to, **more))

    def arm(self, **fault: Any) -> str:
        reply = self.http.post("/sandbox/faults", json=fault)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    def mails(self, **asked: str) -> list[dict[str, Any]]:
        found = self.http.get("/api/mails", params=asked).json()["mails"]
        assert isinstance(found, list)
        return found

    def await_hit(self, fault: str) -> dict[str, Any]:
        asked = {"wait": "hit", "timeout": "10"}
        seen: dict[str, Any] = self.http.get(
            f"/sandbox/faults/{fault}", params=asked
        ).json()
        assert seen["hits"] == 1
        return seen


def _mail(to: str, *, message_id: str = "<receipt.chk_1@x.test>") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Acme payments <pay@acme.test>"
    mail["To"] = to
    mail["Subject"] = "Your Acme plan is ready — receipt $249.00"
    mail["Message-ID"] = message_id
    mail.set_content("You're in. Ünïcode too.\n.\nA line after a lone dot.")
    mail.add_alternative("<p>You’re in.</p>", subtype="html")
    return mail


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """One mailbox for all tests of this file."""
    folder = tmp_path_factory.mktemp("mailbox")
    smtp, web = free_port(), free_port()
    home = f"http://127.0.0.1:{web}"
    with (
        server(*_command(smtp, web, folder), home=home, log=folder / "log"),
        httpx.Client(base_url=home, trust_env=False, timeout=20) as client,
    ):
        yield Mailbox(smtp, client, folder)


def _command(smtp: int, web: int, folder: Path) -> list[str]:
    return [
        *("sandbox.mailbox", "--smtp-port", str(smtp), "--http-port", str(web)),
        *("--data", str(folder / "mailbox.db")),
    ]


@pytest.fixture
def mailbox(running: Mailbox) -> Mailbox:
    """An empty mailbox that behaves well."""
    running.http.delete("/api/mails")
    running.http.delete("/sandbox/faults")
    return running


def test_mail_is_kept_with_headers_text_and_html(mailbox: Mailbox) -> None:
    """What was sent is what a test and a person can read, to the letter."""
    mailbox.send()

    (mail,) = mailbox.mails()
    assert mail["to"] == ["dana@example.com"]
    assert mail["subject"] == "Your Acme plan is ready — receipt $249.00"
    assert mail["headers"]["Message-ID"] == "<receipt.chk_1@x.test>"
    assert "Ünïcode too.\n.\nA line after a lone dot." in mail["text"]
    assert "<p>You’re in.</p>" in mail["html"]


@pytest.mark.parametrize(
    "asked",
    [
        {"to": "DANA@example.com"},
        {"kind": "receipt"},
        {"message_id": "<receipt.chk_1@x.test>"},
    ],
)
def test_mails_are_found_by_recipient_kind_and_message_id(
    mailbox: Mailbox, asked: dict[str, str]
) -> None:
    """Each filter finds the mail meant and leaves the other out."""
    mailbox.send()
    mailbox.send("eli@example.com", message_id="<declined.chk_2@x.test>")

    assert [mail["to"] for mail in mailbox.mails(**asked)] == [["dana@example.com"]]


def test_waiting_ends_with_the_mail(mailbox: Mailbox) -> None:
    """A long poll answers as soon as the mail is there, and not before."""
    sender = threading.Timer(0.2, mailbox.send)
    sender.start()

    asked = {"to": "dana@example.com", "timeout": "10"}
    answer = mailbox.http.get("/api/mails/wait", params=asked).json()

    sender.join()
    assert answer["complete"]
    assert answer["count"] == 1


def test_waiting_in_vain_says_so(mailbox: Mailbox) -> None:
    """A long poll that runs out of time answers with what there is."""
    answer = mailbox.http.get("/api/mails/wait", params={"timeout": "0.1"}).json()

    assert not answer["complete"]


def test_lost_250_leaves_the_mail_kept(mailbox: Mailbox) -> None:
    """The sender cannot know, yet the mail took effect: once."""
    mailbox.arm(action="accept_then_drop_before_250")

    with pytest.raises(smtplib.SMTPServerDisconnected):
        mailbox.send()

    assert len(mailbox.mails()) == 1


@pytest.mark.parametrize(
    ("action", "code"), [("temporary_451", 451), ("permanent_550", 550)]
)
def test_scripted_refusal_keeps_nothing(
    mailbox: Mailbox, action: str, code: int
) -> None:
    """A refused mail is not kept; the next one is taken again."""
    mailbox.arm(action=action)

    with pytest.raises(smtplib.SMTPDataError) as refused:
        mailbox.send()
    mailbox.send()

    assert refused.value.smtp_code == code
    assert len(mailbox.mails()) == 1


def test_refused_recipient_is_refused_at_rcpt(mailbox: Mailbox) -> None:
    """A mailbox that does not exist is said where real servers say it."""
    mailbox.arm(action="refuse_recipient_550", to="dana@example.com")

    with pytest.raises(smtplib.SMTPRecipientsRefused):
        mailbox.send()
    mailbox.send("eli@example.com")


def test_hang_ends_when_its_time_is_over(mailbox: Mailbox) -> None:
    """A server that never answers is one whose connection ends without a word."""
    mailbox.arm(action="hang", seconds=0.1)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        mailbox.send()

    assert mailbox.mails() == []


@pytest.mark.parametrize(
    ("action", "kept_while_held"), [("hold_before_accept", 0), ("accept_then_hold", 1)]
)
def test_hold_shows_the_moment_before_and_after_the_effect(
    mailbox: Mailbox, action: str, kept_while_held: int
) -> None:
    """A test can stand right before or right after the moment a mail is sent."""
    fault = mailbox.arm(action=action, to="dana@example.com")
    sender = threading.Thread(target=mailbox.send)
    sender.start()

    seen = mailbox.await_hit(fault)
    kept = len(mailbox.mails())
    mailbox.http.post(f"/sandbox/faults/{fault}/release")
    sender.join(10)

    assert seen["held"] == 1
    assert kept == kept_while_held
    assert len(mailbox.mails()) == 1


def test_sender_that_dies_before_acceptance_has_sent_nothing(mailbox: Mailbox) -> None:
    """A mail whose sender was killed while it was held never arrives."""
    fault = mailbox.arm(action="hold_before_accept")
    sender = smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=10)
    sender.ehlo()
    sender.mail("pay@acme.test")
    sender.rcpt("dana@example.com")
    sender.putcmd("data")
    sender.getreply()
    sender.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
    mailbox.await_hit(fault)

    sender.close()
    seen = mailbox.http.get(f"/sandbox/faults/{fault}?wait=free&timeout=10").json()
    mailbox.http.post(f"/sandbox/faults/{fault}/release")
    mailbox.send("eli@example.com")

    assert seen["held"] == 0
    assert [mail["to"] for mail in mailbox.mails()] == [["eli@example.com"]]


def test_wrong_fault_is_refused_with_a_sentence(mailbox: Mailbox) -> None:
    """A misspelt fault never counts as armed."""
    reply = mailbox.http.post("/sandbox/faults", json={"action": "explode"})

    assert reply.status_code == 400
    assert "action is one of" in reply.json()["error"]


def test_pages_show_the_mail_in_a_frame_that_can_do_nothing(mailbox: Mailbox) -> None:
    """A mail's HTML is seen as it looks and can neither run nor fetch anything."""
    mailbox.send()
    (mail,) = mailbox.mails()

    index = mailbox.http.get("/").text
    page = mailbox.http.get(f"/mails/{mail['id']}").text
    frame = mailbox.http.get(f"/mails/{mail['id']}/html")

    assert "Your Acme plan is ready — receipt $249.00" in index
    assert f'src="/mails/{mail["id"]}/html" sandbox=' in page
    assert "Message-ID: &lt;receipt.chk_1@x.test&gt;" in page
    assert "default-src 'none'" in frame.headers["content-security-policy"]
    assert "allow-scripts" not in frame.headers["content-security-policy"]
    assert mailbox.http.get("/mails/999999").status_code == 404


def test_mails_survive_a_killed_mailbox(tmp_path: Path) -> None:
    """A mail that was answered with 250 is there after kill -9 and a new start."""
    smtp, web = free_port(), free_port()
    home, log = f"http://127.0.0.1:{web}", tmp_path / "log"
    command = _command(smtp, web, tmp_path)
    with (
        httpx.Client(base_url=home, trust_env=False) as client,
        server(*command, home=home, log=log) as first,
    ):
        Mailbox(smtp, client, tmp_path).send()
        os.kill(first.pid, 9)
        first.wait()

    with (
        httpx.Client(base_url=home, trust_env=False) as client,
        server(*command, home=home, log=log),
    ):
        assert len(Mailbox(smtp, client, tmp_path).mails()) == 1
